package containers

import (
	"os"
	"strings"
	"testing"
)

// TestExplainRefusal: explain says of a box which does not start what the start says, and
// of no other. Whether root can give write access is the runtime's to say.
func TestExplainRefusal(t *testing.T) { each(t, testExplainRefusal) }

func testExplainRefusal(t *testing.T, m *machine) {
	u := newUser(t, m)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"--ro", "--rw"} {
		args := []string{"--name", "e", "--backend", "containerd", "--image", m.image.Ref, "--runtime", m.runtime, flag, dir, "--", "true"}
		out, err := u.command(append([]string{"run", "--raw"}, args...)...).CombinedOutput()
		explained := u.do(append([]string{"explain"}, args...)...)
		_, said, told := strings.Cut(explained, "Note: it would not start: ")
		t.Logf("%s: %v, %s%s", flag, err, out, said)
		switch {
		case flag == "--ro" && err != nil:
			t.Errorf("the control: %v, %s", err, out)
		case told != (err != nil):
			t.Errorf("%s: it starts: %t, and explain says: %s", flag, err == nil, explained)
		case told && !strings.Contains(string(out), strings.TrimSpace(said)):
			t.Errorf("%s: the start says %s, and explain %s", flag, out, said)
		}
		if refused := flag == "--rw" && m.runtime == "runsc"; refused && !told {
			t.Error("gVisor gives write access to a box of root's")
		}
	}
}
