// How stage 1 is forked; see spawn.c.

// SPAWN_FDS is how many descriptors the child gets, as 0, 1, 2 and so on.
enum { SPAWN_FDS = 7 };

struct spawn {
	const char *path;
	char *argv[3], *envp[4]; // the last of each is NULL
	int fds[SPAWN_FDS];
	int ready; // the child writes a byte when it waits for its maps
	int go;    // and reads one when they are written
	int go_end; // the other end of go, which the child must not keep open
	int root;  // become uid 0 and gid 0 of the new namespace

	int pid;   // set before the child runs
	int error; // errno of the child's failure, or 0
};

// spawn returns the child's process id once it has executed path or exited, or
// a negative errno.
int spawn(struct spawn *s, int namespaces);
