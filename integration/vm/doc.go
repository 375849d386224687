// Command vm runs compiled tests of this repository in a virtual machine with
// stock Debian, as a user has it: a login session and a systemd of the user's,
// control groups v2 with delegated controllers, AppArmor, and Debian's own
// kernel. Machines that build software, and containers, have none of that.
//
//	host                                guest
//	────                                ─────
//	scripts/vm-image: Debian's          kernel ─ initramfs: guest (start.go)
//	  packages on a disk, a kernel        mounts the disks, leaves two units in /run
//	this program:                       systemd, as Debian has it
//	  compiles tests (things.go)          └ steps.service: guest steps, as root
//	  packs guest as the initramfs            ├ a login session of user 1000: a step
//	  starts QEMU (machine.go)                ├ the same, in a service of the user's
//	  ◄── events, a line of JSON each ────    ├ …
//	  prints them, sums up (report.go)        └ powers off
//
// There is one boot for all steps, whose list is batch.go. An emulated processor
// is ten to twenty times slower than a real one, so the list is what a virtual
// machine alone can tell, and not the whole suite. Where KVM works, it is used.
//
// Nothing is changed in the guest but this: it has a user called user, with id
// 1000, whose systemd stays between sessions; some units that cost much time and
// concern nobody are masked (machine.go), among them the one that loads AppArmor's
// profiles, of which none is for programs that tests start; our things are mounted,
// read-only, at /mnt. What a run writes goes when it ends.
//
// `make test-vm` calls it. From nothing it has taken twelve minutes on two busy
// processors, and two less once the disk was there: QEMU's processor time, which the
// summary gives for each step, says what a step costs, however busy the machine is.
// By hand, after that: build/vm/host -image build/vm/trixie -run PATTERN; with
// -emulate as where there is no KVM.
package main
