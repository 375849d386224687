// A fork with setns(2), which a process with several threads, as every program in Go
// is, may not call for a user namespace.
//
// Until execve the child calls nothing but system calls. It has memory of its own:
// what is shared with the launcher (CLONE_VM) would make that undumpable, as entering
// a user namespace does (commit_creds in kernel/cred.c).

#define _GNU_SOURCE
#include "join.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { last_signal = 64 };

// A kernel's struct sigaction, all zero: SIG_DFL.
static struct { unsigned long handler, flags, restorer, mask; } const by_default;

static void fail(const char *what, unsigned long length)
{
	syscall(SYS_write, 0, what, length);
	syscall(SYS_exit_group, 125);
}

static void child(struct join *j)
{
	// Before any signal can arrive: the handlers are the launcher's.
	for (int sig = 1; sig <= last_signal; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			syscall(SYS_rt_sigaction, sig, &by_default, 0, 8);
	unsigned long none = 0;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, 0, sizeof none);
	if (syscall(SYS_dup3, j->socket, 0, 0) != 0 || syscall(SYS_dup3, 2, 1, 0) != 1)
		syscall(SYS_exit_group, 125);
	static const char refused[] = "{\"Error\":\"the kernel does not let this user into the user namespace of containerd (setns(2))\"}\n";
	if (syscall(SYS_setns, j->userns, CLONE_NEWUSER))
		fail(refused, sizeof refused - 1);
	syscall(SYS_execve, j->path, j->argv, j->envp);
	static const char executed[] = "{\"Error\":\"mcpbox cannot be executed in the user namespace of containerd\"}\n";
	fail(executed, sizeof executed - 1);
}

int join(struct join *j)
{
	unsigned long all = ~0ul, before;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
	long pid = syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		child(j);
	int error = errno;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, sizeof before);
	return pid < 0 ? -error : pid;
}
