package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Explanation says what a box allows, for people and, as JSON, for programs.
type Explanation struct {
	Command []string `json:"command"`
	Profile string   `json:"profile,omitempty"`
	Why     string   `json:"profile_why,omitempty"`
	Sources []string `json:"policies,omitempty"`
	*Report
}

// Explain describes a box that [Spec] made.
func Explain(p *Policy, spec *specs.Spec, r *Report) *Explanation {
	return &Explanation{
		Command: spec.Process.Args,
		Profile: p.Profile,
		Why:     p.Why,
		Sources: p.Sources,
		Report:  r,
	}
}

// String is the explanation in English, for somebody who wants to know what a
// server can do to the machine.
func (e *Explanation) String() string {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		// Each is one line: what an image says of its command, and names of files, could
		// be made to look like lines of ours.
		fmt.Fprintf(&b, "%-12s %s\n", label, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", `\u000a`))
	}
	list := func(label string, items []string, none string) {
		if len(items) == 0 {
			line(label, "%s", none)
		}
		for i, item := range items {
			if i > 0 {
				label = ""
			}
			line(label, "%s", item)
		}
	}
	line("runs", "%s", quoteAll(e.Command))
	if im := e.Image; im != nil {
		line("image", "%s, with containerd and %s", im.Ref, im.Runtime)
		if im.Digest != "" {
			line("", "%s", im.Digest)
		}
	}
	if e.Profile != "" {
		why := ""
		if e.Why != "" {
			why = " (" + e.Why + ")"
		}
		line("profile", "%s%s", e.Profile, why)
	}
	if files := e.files(); len(files) > 0 {
		list("policy", files, "")
	}
	b.WriteByte('\n')
	nothing := "none of your files"
	if len(e.Programs) > 0 {
		nothing = "nothing declared"
	}
	list("reads", e.Read, nothing)
	list("writes", e.Write, "none of your files")
	if e.Staged && len(e.Write) > 0 {
		line("", "(staged: up to %s of changes to each are kept apart; to apply them: mcpbox changes)", FormatSize(e.Limits.Staged))
	}
	if len(e.Protected) > 0 {
		list("but not", e.Protected, "")
	}
	if len(e.Hidden) > 0 {
		list("hidden", e.Hidden, "")
	}
	if len(e.Programs) > 0 {
		list("also reads", e.Programs, "")
		line("", "(all of it: the program lies there)")
	}
	if e.Image != nil {
		line("system", "the image's files, read-only; of /etc, names and addresses of the box's own; none of the host's")
	} else {
		line("system", "programs and libraries (/usr), certificates, and of /etc what programs need to run;")
		line("", "no accounts, passwords or settings of services, no /sys, no /run")
	}
	if e.HomeDir != "" {
		line("home", "%s, its own, on disk in %s, which it finds again the next time", e.Home, e.HomeDir)
		line("scratch", "/tmp and /dev/shm, in memory, %s each, gone at the end", FormatSize(e.Limits.Tmp))
	} else {
		line("scratch", "/tmp, /dev/shm and an empty home %s, in memory, %s each, gone at the end", e.Home, FormatSize(e.Limits.Tmp))
	}
	if e.Image != nil && len(e.Image.Volumes) > 0 {
		line("", "and the image's %s, likewise", strings.Join(e.Image.Volumes, ", "))
	}
	line("starts in", "%s", e.Cwd)
	b.WriteByte('\n')
	list("network", e.Network.lines(), "")
	switch e.Mode {
	case SocketsPrivate:
		line("sockets", "unix sockets among the program's own processes; none of the host's")
	case SocketsHost:
		list("sockets", e.Sockets, "unix sockets among the program's own processes; none of the host's")
	default:
		line("sockets", "no unix sockets, of the host or of its own")
	}
	if n := len(e.MaskedSockets); n > 0 {
		line("", "%d in declared directories masked", n)
	}
	line("environment", "HOME, USER, LOGNAME, PATH, TMPDIR, and LANG, LC_* and TZ where set")
	if e.Image != nil && len(e.Image.Env) > 0 {
		line("", "from the image: %s", strings.Join(e.Image.Env, ", "))
	}
	if len(e.EnvPassed) > 0 {
		line("", "from yours: %s", strings.Join(e.EnvPassed, ", "))
	}
	if len(e.EnvSet) > 0 {
		line("", "set: %s", strings.Join(e.EnvSet, ", "))
	}
	if len(e.EnvMissing) > 0 {
		line("", "to pass, but not set here: %s", strings.Join(e.EnvMissing, ", "))
	}
	line("limits", "%s of memory, %.4g of the processors, %d processes and threads,", FormatSize(e.Limits.Memory), e.Limits.CPUs, e.Limits.Pids)
	line("", "%d open files each, messages up to %s", e.Limits.OpenFiles, FormatSize(e.Limits.Message))
	if len(e.OnDisk()) > 0 {
		line("", "%s more in what it writes to on disk", FormatSize(e.Limits.Disk))
	}
	if e.Limits.Egress > 0 {
		line("", "%s over the network, both ways together", FormatSize(e.Limits.Egress))
	}
	line("runaways", "a request without an answer for %s: %s; no answer at all for %s: %s", FormatDuration(e.Runaway.CallTimeout), e.Runaway.OnCall, FormatDuration(e.Runaway.StartTimeout), e.Runaway.OnStart)
	line("journal", "%s of each run, %s of all; when it cannot be written, %s", FormatSize(e.Journal.Max), FormatSize(e.Journal.Keep), e.Journal.Full.words())
	line("never", "other processes, devices, the kernel's keys, more rights by way of setuid programs")
	if len(e.Write) > 0 && e.Staged {
		line("", "names that make your own programs run code, where writable: git hooks and configuration,")
		line("", "shell and editor settings, agents' instructions; new ones are never applied")
	} else if len(e.Write) > 0 {
		line("", "names that make your own programs run code, where writable: git hooks and configuration,")
		line("", "shell and editor settings, agents' instructions; new ones are reported at the end, not prevented")
	}
	for i, n := range e.Notes {
		if i == 0 {
			b.WriteByte('\n')
		}
		line(levelWord(n.Level), "%s", n)
	}
	return b.String()
}

func levelWord(l Level) string {
	if l == Warning {
		return "warning"
	}
	return "note"
}

// files lists the sources that are files.
func (e *Explanation) files() []string {
	var list []string
	for _, s := range e.Sources {
		if path.IsAbs(s) {
			list = append(list, s)
		}
	}
	return list
}

// quoteAll writes arguments as one would type them.
func quoteAll(args []string) string {
	var list []string
	for _, a := range args {
		plain := a != "" && !slices.ContainsFunc([]byte(a), func(c byte) bool {
			return c <= ' ' || c >= 0x7f || strings.IndexByte(`"'$&;|<>()*?[]#~=%!{}\`+"`", c) >= 0 && c != '='
		})
		if !plain {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		list = append(list, a)
	}
	return strings.Join(list, " ")
}
