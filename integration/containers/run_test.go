package containers

import (
	"io"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/sandbox"
)

// outcome runs a program to its end.
func (m *machine) outcome(t testing.TB, policy, stdin string, argv ...string) (stdout, stderr string, exit sandbox.Exit) {
	t.Helper()
	box, err := m.backend(t).Start(t.Context(), m.specOf(t, policy, argv...), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, m.Log())
	}
	defer box.Kill()
	go func() {
		io.WriteString(box.Stdin(), stdin)
		box.Stdin().Close()
	}()
	errs := make(chan string)
	go func() {
		data, _ := io.ReadAll(box.Stderr())
		errs <- string(data)
	}()
	out, err := io.ReadAll(box.Stdout())
	if err != nil {
		t.Error(err)
	}
	stderr = <-errs
	if exit, err = box.Wait(); err != nil {
		t.Error(err)
	}
	return string(out), stderr, exit
}

func TestRun(t *testing.T) {
	m := start(t, busybox(t))
	began := time.Now()
	out, errs, exit := m.outcome(t, "", "hello\n", "sh", "-c", "cat; id; ls -la / /dev /run/mcpbox /run/mcpbox/io $HOME; cat /proc/1/status /proc/self/cgroup /etc/passwd; cat /proc/mounts; ps; echo err >&2; exit 7")
	t.Logf("%s\n%s\n%s\n%+v", time.Since(began), out, errs, exit)
}
