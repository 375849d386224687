package policy

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// localeNames are variables that say how a user wants text, time and numbers
// written: they pass without being declared.
var localeNames = []string{
	"LANG", "LANGUAGE", "LC_ALL", "LC_ADDRESS", "LC_COLLATE", "LC_CTYPE", "LC_IDENTIFICATION", "LC_MEASUREMENT",
	"LC_MESSAGES", "LC_MONETARY", "LC_NAME", "LC_NUMERIC", "LC_PAPER", "LC_TELEPHONE", "LC_TIME", "TZ",
}

// boxPath is where a box looks for programs, after the directories of the
// program that it was made for.
const boxPath = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"

// environ builds the environment: nothing of the host's but what the locale
// needs and what the policy passes. What is declared wins over the base, so a
// policy may pass LD_PRELOAD, but must say so.
func (b *builder) environ() []string {
	dirs := slices.Concat(b.prog.PathDirs, []string{boxPath})
	env := map[string]string{
		"HOME":    path.Clean(b.facts.Home),
		"USER":    b.user,
		"LOGNAME": b.user,
		"PATH":    strings.Join(dirs, ":"),
		"TMPDIR":  "/tmp",
	}
	for _, name := range localeNames {
		if value, ok := b.h.LookupEnv(name); ok {
			env[name] = value
		}
	}
	b.imageEnv(env)
	for _, name := range b.p.Env.Pass {
		if _, set := b.p.Env.Set[name]; set {
			continue
		}
		value, ok := b.h.LookupEnv(name)
		if !ok {
			b.report.EnvMissing = append(b.report.EnvMissing, name)
			continue
		}
		env[name] = value
		b.report.EnvPassed = append(b.report.EnvPassed, name)
	}
	for name, value := range b.p.Env.Set {
		env[name] = value
	}
	b.report.EnvSet = slices.Sorted(maps.Keys(b.p.Env.Set))
	slices.Sort(b.report.EnvPassed)
	slices.Sort(b.report.EnvMissing)
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// validName reports whether s can be the name of a variable.
func validName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// checkEnv refuses what no environment can hold. Files were checked when they
// were read; flags come here unchecked.
func (b *builder) checkEnv() error {
	for _, name := range slices.Concat(b.p.Env.Pass, slices.Sorted(maps.Keys(b.p.Env.Set))) {
		if !validName(name) {
			return fmt.Errorf("environment: %q is not the name of a variable", name)
		}
	}
	for name, value := range b.p.Env.Set {
		if strings.ContainsRune(value, 0) {
			return fmt.Errorf("environment: the value of %s holds a NUL byte", name)
		}
	}
	return nil
}
