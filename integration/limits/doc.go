// Package limits shows that no server exhausts the machine: a hostile program of
// ours (hog) does its worst in each tier that the machine has, and once more where
// there is no limit, so that it is known what it could have done.
//
// The tests run on any machine with a Linux that boxes run on:
//
//	MCPBOX_BIN                mcpbox, instead of one that is built here
//	MCPBOX_LIMITS_PREBUILT    a directory with hog and mcpbox-layersoff; nothing is built
//	MCPBOX_LIMITS_BEAT        how long the host may take to start a program (5s): more where
//	                          processors are emulated by a busy machine
//	MCPBOX_EXPECT_TIER        fail unless this is the tier that mcpbox picks here
//
// By themselves they take the tier that mcpbox picks, and those below it, which a
// build with the tag layersoff is told to use. As root they also run as an ordinary
// user, and as one to whom cgroups of v1 were delegated. What a container comes to,
// with runc and with gVisor's runsc, stands in one table with what a native box does
// (worst_test.go); kinds_test.go has what is looked at while it runs.
package limits
