package relay

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The MCP Inspector prints of a server in a box, to the byte, what it prints of
// the same server started by itself, and it ends.
func TestInspector(t *testing.T) {
	node, cli := node22(t), module(t, "@modelcontextprotocol/inspector/clients/launcher/build/index.js")
	for _, row := range []struct {
		name   string
		server func(*testing.T) server
		args   []string
		has    string // in the result
	}{
		{"tools", nodeEverything, []string{"--method", "tools/list"}, "get-structured-content"},
		{"call", nodeEverything, []string{"--method", "tools/call", "--tool-name", "get-structured-content", "--tool-arg", "location=Chicago"}, "structuredContent"},
		{"image", nodeEverything, []string{"--method", "tools/call", "--tool-name", "get-tiny-image"}, "image/png"},
		{"failing call", nodeEverything, []string{"--method", "tools/call", "--tool-name", "no-such-tool"}, ""},
		{"resources", nodeEverything, []string{"--method", "resources/list"}, "demo://"},
		{"templates", nodeEverything, []string{"--method", "resources/templates/list"}, "resourceTemplates"},
		{"prompts", nodeEverything, []string{"--method", "prompts/list"}, "args-prompt"},
		{"prompt", nodeEverything, []string{"--method", "prompts/get", "--prompt-name", "args-prompt", "--prompt-args", "city=Rome"}, "Rome"},
		{"modern tools", goEverything, []string{"--protocol-era", "modern", "--method", "tools/list"}, "json_schema_2020_12_tool"},
		{"modern call", goEverything, []string{"--protocol-era", "modern", "--method", "tools/call", "--tool-name", "test_multiple_content_types"}, "resource"},
		{"modern prompts", goEverything, []string{"--protocol-era", "modern", "--method", "prompts/list"}, "test_simple_prompt"},
		{"either era, an old server", nodeEverything, []string{"--protocol-era", "auto", "--method", "tools/list"}, "get-structured-content"},
		{"either era, a new server", goEverything, []string{"--protocol-era", "auto", "--method", "tools/list"}, "json_schema_2020_12_tool"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var printed [2]string
			var status [2]int
			for i, w := range ways {
				r := w.command(t, row.server(t))
				args := append([]string{cli, "--cli"}, row.args...)
				args = append(append(args, "--connect-timeout", "60000", "--transport", "stdio", "--"), r.cmd.Args...)
				printed[i], status[i] = inspect(t, r, exec.Command(node, args...))
				r.heard(t)
			}
			if printed[0] != printed[1] {
				t.Errorf("printed otherwise: %s", differ([]byte(printed[1]), []byte(printed[0])))
			}
			if status[0] != status[1] {
				t.Errorf("status %d without a box, %d in it", status[0], status[1])
			}
			if row.has != "" && (!json.Valid([]byte(printed[0])) || !strings.Contains(printed[0], row.has)) {
				t.Errorf("without a box: no result with %q: %s", row.has, printed[0])
			}
			if row.has == "" && status[0] == 0 {
				t.Errorf("a call that must fail printed %q", printed[0])
			}
		})
	}
}

// inspect runs the Inspector, and returns its stdout and its exit status.
func inspect(t *testing.T, r *run, cmd *exec.Cmd) (string, int) {
	t.Helper()
	cmd.Dir, cmd.Env, cmd.SysProcAttr = r.cmd.Dir, r.cmd.Env, r.cmd.SysProcAttr
	cmd.Stderr = &r.stderr
	cmd.WaitDelay = 5 * time.Second // for a process left behind that holds stdout
	hung := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	out, err := cmd.Output()
	if !hung.Stop() {
		t.Errorf("%s: the Inspector hung\n%s", r.way.name, &r.stderr)
	}
	if cmd.ProcessState == nil || err != nil && !cmd.ProcessState.Exited() {
		t.Errorf("%s: %v\n%s", r.way.name, err, &r.stderr)
		return "", -1
	}
	return string(out), cmd.ProcessState.ExitCode()
}
