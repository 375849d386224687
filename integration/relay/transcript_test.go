package relay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/relay/transcript"
)

// go-sdk's transcripts, with a client and a server that say exactly what stands
// in them, spaces and all: each hears the other as it spoke.
func TestTranscripts(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/modelcontextprotocol/go-sdk").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "mcp/testdata/conformance/server/*.txtar"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d transcripts found, want 10 or more: %v", len(files), err)
	}
	for _, file := range files {
		for _, w := range ways {
			t.Run(filepath.Base(file)+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				converse(t, w, file)
			})
		}
	}
}

func converse(t *testing.T, w way, file string) {
	script, err := transcript.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(file) == "resources.txtar" {
		// Its client answers roots/list and has declared no roots. "Both parties
		// MUST [...] Only use capabilities that were successfully negotiated" (MCP
		// 2025-11-25, Lifecycle), so the relay keeps that question from it.
		i := slices.IndexFunc(script.Client, func(m []byte) bool { return bytes.Contains(m, []byte(`"capabilities": {}`)) })
		script.Client[i] = bytes.Replace(script.Client[i], []byte(`"capabilities": {}`), []byte(`"capabilities": {"roots": {}}`), 1)
	}
	s := peer(t, "play", file)
	s.flags = []string{"--ro", file}
	r := w.command(t, s)
	in, err := r.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hung := time.AfterFunc(patience, func() { _ = r.cmd.Process.Kill() })
	out := bufio.NewReader(pipe)
	var sent, received bytes.Buffer
	rest := script.Server
	for _, m := range script.Client {
		m = append(bytes.Clone(m), '\n')
		sent.Write(m)
		if _, err := in.Write(m); err != nil {
			t.Fatalf("%v\n%s", err, &r.stderr)
		}
		var head transcript.Head
		if err := json.Unmarshal(m, &head); err != nil {
			t.Fatal(err)
		}
		if !head.IsRequest() {
			continue
		}
		n, err := transcript.Answer(rest, head)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range rest[:n] {
			got, err := out.ReadBytes('\n')
			received.Write(got)
			if err != nil || !bytes.Equal(bytes.TrimSuffix(got, []byte("\n")), want) {
				t.Fatalf("%v: %s\n%s", err, differ(got, want), &r.stderr)
			}
		}
		rest = rest[n:]
	}
	if len(rest) > 0 {
		t.Errorf("the server did not say %s", rest[0])
	}
	in.Close()
	if more, err := io.ReadAll(out); err != nil || len(more) > 0 {
		t.Errorf("more came: %q, %v", more, err)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &r.stderr)
	}
	if !hung.Stop() {
		t.Error("the server did not end")
	}
	r.same(t, sent.Bytes(), received.Bytes())
}
