// Package program finds the program that a command line names, and the least
// of the file system that it needs to start: its own file, the prefix that it
// was installed under, its interpreter, its shared libraries and its packages.
//
// Version managers put programs below the home directory, of which a box shows
// nothing. What is found there is shown as narrowly as the tool's documented
// layout allows: one version of Node, one virtual environment, one
// node_modules. A file with no such neighbourhood is shown alone. The home
// directory, its ancestors and the directories that many programs share
// (~/.local, ~/.config, ~/bin, …) are never shown for a program's sake.
//
// What lies in a directory that servers can write may have been made by one, to
// be shown more in its next box: a link among the packages, the first line of a
// script, the Python that pyvenv.cfg names. It leads nowhere outside that
// directory but to the system and to installed tools. Dot directories of the
// home that are not such a tool's are not shown at all, but for a program that
// the user named there.
//
// A program is started by the path it was found under, and the symbolic links on
// the way are named with it, because much depends on them: a virtual
// environment is entered by the name of its python, busybox tells its programs
// apart by argv[0].
//
// Launchers that pick the real program as they run ("shims" of pyenv, asdf,
// mise and Volta) are resolved here, from the files that they would read: the
// box has neither those files nor the other versions.
package program
