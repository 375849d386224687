// How a process is started in a user namespace that there is; see join.c.

struct join {
	const char *path;
	char **argv, **envp; // the last of each is NULL
	int userns;
	int socket; // the child's 0, on which it says what went wrong, as an offer does
};

// join returns the child's process id once it has executed path or exited, or a
// negative errno.
int join(struct join *j);
