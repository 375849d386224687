package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/native"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	// First of all: this binary is also what runs as the stages of a box.
	native.Init()
	initContainerd()
	testscript.Main(attentive{m}, map[string]func(){
		"mcpbox": func() {
			os.Exit(execute(os.Args[1:], console{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
		},
	})
}

// attentive runs tests whose commands hear SIGINT. What a shell starts in its
// background ignores it, and so does all that is started from there.
type attentive struct{ m *testing.M }

func (a attentive) Run() int {
	if signal.Ignored(syscall.SIGINT) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGINT)
	}
	return a.m.Run()
}

// TestScript runs the command lines of testdata/script, each in a directory
// with a home of its own.
func TestScript(t *testing.T) {
	needBox(t)
	// A policy that the group could write is refused, and the user that boxes of
	// root run as has to be able to read what scripts unpack. There is no going
	// back: scripts run in parallel, after this function.
	syscall.Umask(0o022)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			for name, dir := range scriptDirs {
				env.Setenv(name, filepath.Join(env.WorkDir, dir))
			}
			env.Setenv("LANG", "C.UTF-8")
			env.Setenv("GORACE", raceOptions)
			env.Defer(func() {
				if t, ok := env.T().(interface{ Failed() bool }); !ok || t.Failed() {
					endLeft(env.WorkDir)
				}
			})
			return errors.Join(os.MkdirAll(filepath.Join(env.WorkDir, scriptDirs["HOME"]), 0o755),
				showSystemd(filepath.Join(env.WorkDir, scriptDirs["XDG_RUNTIME_DIR"])))
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Geteuid() == 0, nil
			case "containerd":
				return withContainerd, nil
			case "cgroup":
				return new(native.Backend).Tier().Kernel(), nil
			}
			return false, errors.New("unknown condition " + cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "json": jsonValue, "oci": ociConfig, "listen": listen},
	})
}

// endLeft ends the programs of a script that has failed. It is over when nobody holds
// their output any more, and those that others of them have started would for ever.
func endLeft(work string) {
	for again := true; again; {
		again = false
		files, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, file := range files {
			env, err := os.ReadFile(file)
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err == nil && strings.Contains("\x00"+string(env), "\x00WORK="+work+"\x00") {
				again = syscall.Kill(pid, syscall.SIGKILL) == nil || again
			}
		}
	}
}

// raceOptions spares each mcpbox the second that the race detector, where these
// tests are built with it, waits at the end of a program.
const raceOptions = "atexit_sleep_ms=0"

// showSystemd links the systemd of the user who runs the tests, where there is one,
// into a script's run directory: the condition cgroup, too, is about that one.
func showSystemd(run string) error {
	own := os.Getenv("XDG_RUNTIME_DIR")
	if _, err := os.Stat(filepath.Join(own, "systemd/private")); own == "" || err != nil {
		return nil
	}
	return errors.Join(os.Mkdir(run, 0o700), os.Symlink(filepath.Join(own, "systemd"), filepath.Join(run, "systemd")),
		os.Symlink(filepath.Join(own, "bus"), filepath.Join(run, "bus")))
}

// scriptDirs are where a script's user keeps things, below $WORK.
var scriptDirs = map[string]string{
	"HOME":            "home",
	"XDG_CONFIG_HOME": "config",
	"XDG_STATE_HOME":  "state",
	"XDG_CACHE_HOME":  "cache",
	"XDG_RUNTIME_DIR": "run",
}

// exits is a command of scripts: "exits CODE PROGRAM [ARG...]" is exec for
// programs of which the very exit code matters.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case err == nil && want == 0:
	case err == nil:
		ts.Fatalf("exit code 0, want %d", want)
	case !errors.As(err, &exit):
		ts.Fatalf("%v", err)
	case exit.ExitCode() != want:
		ts.Fatalf("exit code %d, want %d", exit.ExitCode(), want)
	}
}

// jsonValue is a command of scripts: "json FILE KEY... = VALUE" succeeds if the
// JSON in FILE, every line of it, is well-formed, and if the last one has VALUE
// at the end of the keys, which are names and indices. Without "= VALUE"
// something has to be there; with "!" before it, nothing.
func jsonValue(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: json FILE [KEY...] [= VALUE]")
	}
	var at any
	for dec := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0]))); dec.More(); {
		at = nil
		ts.Check(dec.Decode(&at))
	}
	keys := args[1:]
	var want string
	equal := slices.Index(keys, "=")
	if equal >= 0 {
		keys, want = keys[:equal], strings.Join(keys[equal+1:], " ")
	}
	for _, key := range keys {
		switch v := at.(type) {
		case map[string]any:
			at = v[key]
		case []any:
			i, err := strconv.Atoi(key)
			if at = nil; err == nil && i < len(v) {
				at = v[i]
			}
		default:
			at = nil
		}
	}
	is := at != nil && (equal < 0 || fmt.Sprint(at) == want)
	if is == neg {
		ts.Fatalf("%s is %v", strings.Join(keys, " "), at)
	}
}

// ociConfig is a command of scripts: "oci FILE" succeeds if FILE is an OCI
// runtime configuration, with the fields that one must have and none that there
// is not.
func ociConfig(ts *testscript.TestScript, _ bool, args []string) {
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	dec.DisallowUnknownFields()
	var spec specs.Spec
	ts.Check(dec.Decode(&spec))
	if spec.Version != specs.Version || spec.Root == nil || spec.Process == nil || spec.Process.Cwd == "" || len(spec.Process.Args) == 0 {
		ts.Fatalf("something is missing")
	}
}

// listen is a command of scripts: "listen NAME" starts a service at 127.0.0.1
// that says hello to whoever connects, and sets the variable NAME to its port.
func listen(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "hello\n")
			c.Close()
		}
	}()
}

// needBox skips the test on a machine that cannot run boxes. Where nothing may
// be missing it fails it.
func needBox(t *testing.T) {
	t.Helper()
	for _, l := range new(native.Backend).Check() {
		if l.State == sandbox.Fatal {
			lack(t, "no box can run here: "+l.Name+": "+l.Detail)
		}
	}
}

// lack ends a test that needs something this machine does not have.
func lack(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("MCPBOX_REQUIRE") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}
