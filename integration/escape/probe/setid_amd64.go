package main

import (
	"slices"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

// legacySetIDAttacks use the calls that newer architectures left out.
var legacySetIDAttacks = []attack{
	{"W-4/chmod", "sets the set-user-ID bit with chmod", func(s *escape.Scenario) outcome {
		return marked(s, func(_ int, path string) error { return raw(unix.SYS_CHMOD, path, suid) })
	}},
	{"W-4/creat", "creates a set-user-ID file with creat", func(s *escape.Scenario) outcome {
		return born(s, func(path string) error { return raw(unix.SYS_CREAT, path, suid) })
	}},
	{"W-4/open", "creates one with open", func(s *escape.Scenario) outcome {
		return born(s, func(path string) error { return raw(unix.SYS_OPEN, path, unix.O_CREAT|unix.O_WRONLY, suid) })
	}},
	{"W-4/mknod", "creates one with mknod", func(s *escape.Scenario) outcome {
		return born(s, func(path string) error { return raw(unix.SYS_MKNOD, path, unix.S_IFREG|suid, 0) })
	}},
}

// nativeAttacks exist on this architecture only.
func nativeAttacks() []attack { return slices.Concat(archAttacks, legacySetIDAttacks) }
