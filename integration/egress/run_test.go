package egress

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// patience is how long any command may take: a hang is a failure.
const patience = 60 * time.Second

// ran is how a command ended.
type ran struct {
	stdout, stderr string
	code           int // -1 if a signal ended it
	took           time.Duration
	journal        string // of a box
}

func (r ran) outcome() string {
	words := strings.Fields(r.stdout)
	if r.code != 0 {
		words = append(words, "exit", strconv.Itoa(r.code))
	}
	return strings.Join(words, " ")
}

// newSecret is a word that is nobody else's, and that can be a label.
func newSecret() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b)
	return "s" + hex.EncodeToString(b)
}

// rewind forgets what was heard, and begins changing answers anew.
func (w *world) rewind() {
	w.zone.turn("rebind.example.com", addressGood, "127.0.0.1")
	w.zone.turn("rebind-lan.example.com", addressGood, hostLAN)
	w.watch.forget()
}

// args fills in the words of a row, for a box of a's.
func (w *world) args(t *testing.T, a account, list []string, secret string) []string {
	t.Helper()
	replace := strings.NewReplacer("{probe}", a.file(w, "probe"), "{ca}", a.file(w, "ca.pem"), "{secret}", secret,
		"{lan}", hostLAN, "{card}", hostPublic, "{card6}", hostV6)
	args := make([]string, len(list))
	for i, s := range list {
		args[i] = replace.Replace(s)
	}
	if len(args) > 0 && !filepath.IsAbs(args[0]) {
		path := program(args[0])
		setup.Need(t, path != "", args[0])
		args[0] = path
	}
	return args
}

// bare runs a row's command as it is.
func (w *world) bare(t *testing.T, a account, r row, secret string) ran {
	t.Helper()
	return run(t, a.command(w, w.args(t, a, r.run, secret)...))
}

// boxed runs it in a box.
func (w *world) boxed(t *testing.T, a account, r row, secret string) ran {
	t.Helper()
	cmd, journal := w.box(t, a, r, w.args(t, a, r.run, secret)...)
	got := run(t, cmd)
	got.journal = journal()
	return got
}

// box is a command that runs args in a box with what a row declares, and a
// function that returns the run's journal and removes it.
func (w *world) box(t *testing.T, a account, r row, args ...string) (*exec.Cmd, func() string) {
	t.Helper()
	const server = "client"
	line := []string{w.file("mcpbox"), "run", "--raw", "--name", server}
	if a.in != nil {
		line = append(line, "--backend", "containerd", "--image", a.in.image, "--runtime", a.in.runtime)
	} else if !r.alone {
		line = append(line, "--ro", w.file("ca.pem"), "--ro", w.file("probe"))
	}
	for _, v := range variables(a.file(w, "ca.pem")) {
		line = append(line, "--env", v)
	}
	for _, rule := range r.rules {
		line = append(line, "--egress", rule)
	}
	line = append(line, w.args(t, a, append([]string{"/"}, r.flags...), "")[1:]...)
	a.policy(t, server, r.policy)
	cmd := a.command(w, append(append(line, "--"), args...)...)
	cmd.Env = append(cmd.Env, r.env...)
	if a.in != nil {
		cmd.Env = append(cmd.Env, "CONTAINERD_ADDRESS="+a.in.address)
	}
	return cmd, func() string {
		dir := filepath.Join(a.home, ".local/state/mcpbox/journal", server)
		files, _ := filepath.Glob(filepath.Join(dir, "*.jsonl"))
		var all []byte
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Error(err)
			}
			all = append(all, b...)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
		return string(all)
	}
}

// policy writes the policy file of a server, or removes it.
func (a account) policy(t *testing.T, server, text string) {
	t.Helper()
	path := filepath.Join(a.home, ".config/mcpbox/servers", server+".toml")
	if text == "" {
		_ = os.Remove(path)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root: in a user namespace / belongs to nobody, and so no policy file below it is believed")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for p := path; p != a.home; p = filepath.Dir(p) {
		a.give(t, p)
	}
}

// run runs a command to its end. Its input stays open, and empty.
func run(t *testing.T, cmd *exec.Cmd) ran {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	cmd.WaitDelay = 5 * time.Second
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hung := time.AfterFunc(patience, func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT) // a Go program then says where
		time.Sleep(time.Second)
		_ = cmd.Process.Kill()
	})
	err := cmd.Wait()
	if !hung.Stop() {
		t.Errorf("%q hung", cmd.Args)
	}
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Errorf("%q: %v", cmd.Args, err)
	}
	return ran{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode(), took: time.Since(began)}
}

// record is a line of a journal about a connection.
type record struct {
	Event    string `json:"event"`
	Verdict  string `json:"verdict"`
	Proto    string `json:"proto"`
	Name     string `json:"name"`
	Address  string `json:"address"`
	Port     int    `json:"port"`
	Rule     string `json:"rule"`
	Reason   string `json:"reason"`
	Allow    string `json:"allow"`
	Sent     int64  `json:"sentBytes"`
	Received int64  `json:"receivedBytes"`
	Count    int64  `json:"count"`
}

// records are those of a run.
func (r ran) records(t *testing.T) []record {
	t.Helper()
	var list []record
	for line := range strings.Lines(r.journal) {
		var c record
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatalf("journal: %v: %s", err, line)
		}
		if c.Event == "connect" {
			list = append(list, c)
		}
	}
	if r.journal == "" {
		t.Error("no journal")
	}
	return list
}

// connections are the journal's lines about them.
func (r ran) connections() string {
	var b strings.Builder
	for line := range strings.Lines(r.journal) {
		if strings.Contains(line, `"event":"connect"`) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// refusals are what the journal says was refused or failed, each kind once:
//
//	refused tcp 1.1.1.1:443 allow 1.1.1.1:443
//	refused dns evil.test allow evil.test:443
//	refused tcp good.example.com:443
//
// the last being one that no further rule would allow.
func (r ran) refusals(t *testing.T) []string {
	var list []string
	for _, c := range r.records(t) {
		if c.Verdict != "refused" && c.Verdict != "failed" {
			continue
		}
		to := c.Name
		if to == "" {
			to = c.Address
		}
		if c.Port != 0 {
			to = net.JoinHostPort(to, strconv.Itoa(c.Port))
		}
		text := fmt.Sprintf("%s %s %s", c.Verdict, c.Proto, to)
		if c.Allow != "" {
			text += " allow " + c.Allow
		}
		if c.Reason == "" {
			t.Errorf("journal: no reason for %s", text)
		}
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

// told checks that a person was told of what was refused, with what to type, and
// of nothing else.
func (r ran) told(t *testing.T) {
	var said string
	for line := range strings.Lines(r.stderr) {
		if strings.HasPrefix(line, "mcpbox: client: refused ") {
			said += line
		}
		if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), unicode.IsControl) {
			t.Errorf("stderr would control a terminal: %q", line)
		}
	}
	expected := 0
	for _, c := range r.records(t) {
		if c.Verdict != "refused" || c.Proto == "udp" && c.Port == 443 {
			continue // QUIC is refused as a matter of course
		}
		if expected++; expected > 5 {
			continue
		}
		to := c.Name
		if to == "" {
			to = c.Address
		}
		if !strings.Contains(said, to) || c.Allow != "" && !strings.Contains(said, c.Allow) {
			t.Errorf("stderr does not tell of %s, allowed by %q: %s", to, c.Allow, r.stderr)
		}
	}
	if (expected == 0) != (said == "") {
		t.Errorf("%d refusals, and stderr says %q", expected, said)
	}
}
