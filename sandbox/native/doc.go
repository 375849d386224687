// Package native runs boxes with nothing but the kernel: user namespaces, a
// seccomp filter, Landlock. It needs no root, no daemon and no helper program.
//
// # Three processes
//
//	launcher    host           compiles the filter, keeps the journal, relays
//	   │ clone: user namespace 1; mount, pid, network, ipc, uts namespaces
//	   ▼
//	stage 1     PID 1          builds mounts and limits, then only reaps
//	   │ clone: user namespace 2
//	   ▼
//	stage 2  →  the server     no capability anywhere; confines itself, execve
//
// Two user namespaces are the only mode. Namespace 1 owns all the others; the
// server lives in namespace 2, which owns nothing. With one alone the server could
// ptrace PID 1, read its memory, and change the mounts of its own box.
//
// Read on in this order: backend.go (Start), embryo.go (stage 1 is cloned while the
// launcher still reads the policy), spawn.go and spawn.c (that clone),
// internal/wire (the conversation), internal/stage/stage1.go and stage2.go (each
// one list of steps, in an order that is explained where it binds), and fork.go
// there (stage 2 is cloned while stage 1 still has to make the mounts).
//
// # What each step is against
//
//   - The stages run from a sealed memfd (memfile.go): a server started as
//     "#!/proc/self/exe" gets to run the program of the stages, and must not
//     change what the next box runs (CVE-2019-5736).
//   - Every descriptor is close-on-exec, stage 1 marks those that mcpbox itself
//     inherited, and the standard streams are pipes of the box's own
//     (CVE-2024-21626, TIOCSTI).
//   - Mount sources are opened without following a link, compared with what the
//     launcher saw, and mounted through descriptors; so are the places that they
//     are mounted on, inside directories that other boxes may be writing to
//     (CVE-2021-30465, CVE-2025-31133).
//   - Mount attributes are set recursively while the mount is detached, so there
//     is no moment of write access, and no submount that was forgotten.
//   - A staged directory is an overlay that stage 1 mounts, with the host's
//     directory as a read-only layer and a sized tmpfs above it
//     (internal/stage/staged.go). Only the launcher holds on to that tmpfs: its
//     content outlives the box as long as the launcher wants it to, and not a
//     moment longer.
//   - PID 1 has no capability, in no thread of a program without cgo, no handler for any
//     signal, no terminal, no memory that can be read, and a filter of its own.
//   - The server's filter allows what it names and answers the rest with ENOSYS;
//     Landlock says by path what the mounts say already.
//
// # How a box ends
//
// PID 1 exits when the server does, when the launcher's end of the liveness pipe
// closes, or by SIGKILL: from Box.Kill through a pidfd, or from the kernel when
// the launcher's thread ends. In each case the kernel kills every other process
// of the PID namespace before PID 1 can be reaped. Nothing is left on the host
// but, if the launcher was killed, an empty cgroup, which the next one removes. A
// box that is frozen (freeze.go) ends in the same ways: SIGKILL does not wait for a
// process to go on, neither one that is stopped nor one in a frozen cgroup of v2.
//
// # Limits
//
// Memory, processor time and processes are limited by cgroups where this process
// may make some (internal/cgroup has the ways), and else by the launcher
// (watchdog.go). A box is put into its cgroup while stage 1 waits for its plan, so
// that every page of it counts; the limits follow with the plan (enforce.go).
//
// # Root
//
// Started by root, a box runs as a user id that owns nothing, from a range that
// nobody uses (identity.go). Directories that it may write to are mounted with
// mapped owners, so that files made there belong to their directory's owner; a
// file system that cannot do that is refused. What it may only read, it reads as
// any user of the machine would.
//
// # Kernels
//
// Linux 5.14 is the oldest (errors.go says why). Landlock is used from ABI 1 or, with
// writable directories, ABI 2 (Linux 5.19) on, and what is in force is reported by
// Box.Layers. A missing Landlock does not stop a box; anything else does.
package native
