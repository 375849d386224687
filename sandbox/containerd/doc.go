// Package containerd makes boxes with containerd: of an OCI image in the place of
// the host's programs, run by runc, or by gVisor's runsc.
//
// All of mcpbox's lies in containerd's namespace [Namespace]. Those of Docker and
// of Kubernetes are not looked at.
//
// # Images
//
// An [Image] is what a reference meant once: its digest says which. A tag that
// moves is another image. Every record in containerd's image store is named after
// reference and digest together, so that two servers may run one tag from two
// days.
//
// Where it comes from, a registry or a file, is not trusted. containerd compares
// digests and applies layers below a root directory; before it does, this package
// bounds what there is to fetch, to keep in memory, to unpack and to name. An image
// is recorded last, when all of it is unpacked: what is interrupted leaves nothing
// that counts as an image, and containerd removes the rest.
//
// # Boxes
//
//	launcher     host       lowers the specification, keeps the journal, relays
//	   │ gRPC
//	containerd → shim → runc or runsc: namespaces, mounts, cgroups
//	   ▼
//	PID 1        container  confines itself, looks at what it is in, then only reaps
//	   │ fork
//	   ▼
//	the server
//
// Read on in this order: backend.go (Start), spec.go (what a runtime is asked for),
// container.go (what is asked of containerd), internal/pid1 (what runs first inside),
// reap.go (what is done about what is left).
//
//   - The root file system is the image's, mounted read-only, with a directory of the
//     run as one more layer above it: mount points, the files of /etc, PID 1. Nothing
//     is ever written to a snapshot.
//   - Arguments and environment of the server go to PID 1 through a FIFO. containerd
//     keeps specifications on the disk; secrets are not in them.
//   - The network namespace is made by the launcher, with its sockets in it
//     (network.go), and entered by the runtime. It belongs to nobody inside.
//   - What can be had in the user namespace is limited from inside, by a hook of runc's,
//     for which that runs PID 1's program as root of the container, with nobody else
//     there yet (internal/pid1/limit.go).
//   - What the runtime was asked for, PID 1 looks for before it starts the server:
//     user, capabilities, filter, interfaces, limits of the user namespace, and each
//     mount, that it is read-only and of the file that the launcher saw.
//
// What a native box has beside that a container has not: a second user namespace, in
// the place of which PID 1 has no privilege to lose. integration/escape has, attack by
// attack, what comes to something else.
//
// # How a box ends
//
// PID 1 exits when the server does, or when the launcher's end of a FIFO closes,
// however that came about: containerd's shims would keep the container. Box.Kill
// kills PID 1, with which the kernel ends the rest, and needs no containerd for that.
// What remains then is a shim, a mount, an empty cgroup and some records. The launcher
// removes them when the server has ended, and [Reap], by the record in the run's
// directory, when it could not. A process that waits in the kernel for what does not come
// cannot be ended by anybody ([sandbox.Exit.Stuck]); then launcher and Reap give up within
// seconds, and the record stays for the next look. In gVisor that is its kernel, or the
// helper that opens files for it, which is in the box's cgroup and nothing else of it.
// A box that the runtime has frozen does not notice that its launcher has died; a process
// of its own does (guard.go), and reaps.
//
// # Root
//
// Started by root, a box has the same user as a native one, who owns nothing. What it
// may write to is mounted with mapped owners, by runc 1.2 or newer; PID 1 refuses a box
// in which that was left out. Root of the container is one more such user, and only the
// runtime is ever it.
//
// A containerd that is not root's (rootless.go) makes the same boxes, with runc, and with
// limits as the native backend has them without a cgroup (watchdog.go, stop.go).
//
// # gVisor
//
// With runsc the server's system calls are those of a kernel in user space (runsc.go).
// Connections leave through the same sockets, as that kernel uses those of the
// namespace that it was started in. Some things hold otherwise: the filter is kept by
// that kernel; PID 1 is root in it; the limit on processes is one on the threads of all
// of gVisor, and where it is reached the whole box may end; who opens the declared
// files is root, and judges by the box's user, and has them mounted by a program that
// looks whether they are still those that the policy saw (internal/pid1/pin.go); and
// root cannot give write access, as there are no mapped owners.
package containerd
