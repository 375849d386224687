// The fork of stage 1, which cannot be written in Go.
//
// Package syscall forks without CLONE_VM where a user namespace is involved,
// because the parent has to write the namespace's maps before the child may
// go on. In a program with several threads each page that is touched from then
// until the child's execve is copied, and each copy interrupts every processor:
// together more than all the work of making the namespaces. Here the child
// borrows the memory of the parent, of which one thread is suspended until
// execve (as with vfork(2)), while another one writes the maps.
//
// Until execve the child runs on a stack of its own, changes no memory but its
// spawn structure, and calls nothing but system calls.

#define _GNU_SOURCE
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { stack_size = 64 << 10, last_signal = 64, above = 100, many = 400 };

// A process with several threads waits for all processors (synchronize_rcu in
// fs/file.c) each time that its table of descriptors grows: five milliseconds at
// 64, 128 and 256 of them, which a box with a rule for a suffix has. So both
// tables grow before there is a second thread: this one's, and the child's.
__attribute__((constructor)) static void grow_table(void)
{
	int fd = syscall(SYS_fcntl, 2, F_DUPFD_CLOEXEC, many);
	if (fd >= 0)
		syscall(SYS_close, fd);
}

// Go's threads have next to nothing of malloc(3), and the C library would map and
// trim 128 MiB for each of them.
__attribute__((constructor)) static void share_heap(void)
{
#ifdef M_ARENA_MAX
	mallopt(M_ARENA_MAX, 1);
#endif
}

static void fail(struct spawn *s)
{
	s->error = errno;
	syscall(SYS_exit, 125);
}

static void read_byte(struct spawn *s, int fd)
{
	char b;
	long n;
	do
		n = syscall(SYS_read, fd, &b, 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		fail(s);
	if (n == 0) // the maps could not be written
		syscall(SYS_exit, 125);
}

// A kernel's struct sigaction, all zero: SIG_DFL.
struct { unsigned long handler, flags, restorer, mask; } static const by_default;

static int child(void *arg)
{
	struct spawn *s = arg;

	// Before any signal can arrive: the parent's handlers would run in the
	// parent's memory.
	for (int sig = 1; sig <= last_signal; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			syscall(SYS_rt_sigaction, sig, &by_default, 0, 8);

	// If the launcher dies now, nobody writes to go any more, once this copy
	// of its other end is closed; if its thread dies, the kernel kills.
	if (syscall(SYS_close, s->go_end) || syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
		fail(s);
	if (syscall(SYS_write, s->ready, "", 1) != 1)
		fail(s);
	read_byte(s, s->go);

	if (s->root) {
		// By system call: the library's functions change every thread.
		if (syscall(SYS_setgroups, 0, 0) || syscall(SYS_setresgid, 0, 0, 0) || syscall(SYS_setresuid, 0, 0, 0))
			fail(s);
	}
	// Again: the change of user has cleared it.
	if (syscall(SYS_setsid) < 0 || syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
		fail(s);

	// Out of the way first, so that none is overwritten before it is placed.
	int moved[SPAWN_FDS];
	for (int i = 0; i < SPAWN_FDS; i++)
		if ((moved[i] = syscall(SYS_fcntl, s->fds[i], F_DUPFD_CLOEXEC, above)) < 0)
			fail(s);
	for (int i = 0; i < SPAWN_FDS; i++)
		if (syscall(SYS_dup3, moved[i], i, 0) < 0)
			fail(s);
	if (syscall(SYS_chdir, "/"))
		fail(s);
	syscall(SYS_fcntl, 0, F_DUPFD_CLOEXEC, many); // see grow_table; execve closes it

	unsigned long none = 0;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, 0, sizeof none);
	syscall(SYS_execve, s->path, s->argv, s->envp);
	fail(s);
	return 0;
}

int spawn(struct spawn *s, int namespaces)
{
	char *stack = malloc(stack_size);
	if (!stack)
		return -ENOMEM;
	unsigned long all = ~0ul, before;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
	int pid = clone(child, stack + stack_size, CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | namespaces | SIGCHLD, s, &s->pid);
	int error = errno;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, sizeof before);
	free(stack);
	return pid < 0 ? -error : pid;
}
