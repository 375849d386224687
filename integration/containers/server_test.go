package containers

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/image"
	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// filesystemServer is an image of a public server, as npm installs it.
func filesystemServer(t testing.TB) image.Recipe {
	t.Helper()
	node, modules := os.Getenv("MCPBOX_NODE"), os.Getenv("MCPBOX_SERVERS")
	if node == "" {
		node = "/usr/bin/node"
	}
	if modules == "" {
		modules = "../../build/servers"
	}
	modules = filepath.Join(modules, "demo", "node_modules")
	for _, path := range []string{node, filepath.Join(modules, "@modelcontextprotocol", "server-filesystem")} {
		if _, err := os.Stat(path); err != nil {
			need(t, "no server to run: "+err.Error()+"; run scripts/setup test")
		}
	}
	r := image.Recipe{Ref: "example.com/filesystem:1", Programs: []string{node}, Files: map[string]string{"/app/node_modules": modules}, Links: map[string]string{"/bin": "/usr/bin"}}
	if !strings.HasPrefix(node, "/usr/bin/") {
		r.Links["/usr/bin/node"] = node
	}
	r.Config.Env = []string{"PATH=/usr/bin"}
	r.Config.Entrypoint = []string{"node", "/app/node_modules/@modelcontextprotocol/server-filesystem/dist/index.js"}
	return r
}

// transport speaks with a box.
type transport struct{ box sandbox.Box }

func (t transport) Connect(ctx context.Context) (mcp.Connection, error) {
	return (&mcp.IOTransport{Reader: t.box.Stdout(), Writer: t.box.Stdin()}).Connect(ctx)
}

// TestServer: a public server of npm does its work in an image, with the one
// directory that it was given, and with nothing else of the host.
func TestServer(t *testing.T) {
	m := start(t, filesystemServer(t))
	for _, runtime := range []string{"runc", "runsc"} {
		t.Run(runtime, func(t *testing.T) {
			if _, err := exec.LookPath(runtime); err != nil {
				need(t, runtime+" is not installed; run scripts/setup test")
			}
			m.runtime = runtime
			testServer(t, m)
		})
	}
}

func testServer(t *testing.T, m *machine) {
	docs := t.TempDir()
	if err := os.WriteFile(filepath.Join(docs, "note.txt"), []byte("the content"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(docs), 0o755); err != nil {
		t.Fatal(err)
	}
	config := m.image.Config
	spec := m.specOf(t, `files.read = ["`+docs+`"]`, append(config.Entrypoint, docs)...)
	began := time.Now()
	box, err := m.backend(t).Start(t.Context(), spec, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, m.Log())
	}
	defer box.Kill()
	go io.Copy(os.Stderr, box.Stderr())
	ready := time.Since(began)
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), transport{box}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the program ran after %s, and had answered initialize after %s", ready, time.Since(began))
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "read_text_file", Arguments: map[string]any{"path": filepath.Join(docs, "note.txt")}})
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := result.Content[0].(*mcp.TextContent); !ok || text.Text != "the content" {
		t.Errorf("%+v", result.Content[0])
	}
	result, err = session.CallTool(t.Context(), &mcp.CallToolParams{Name: "write_file", Arguments: map[string]any{"path": filepath.Join(docs, "new.txt"), "content": "x"}})
	if err != nil || !result.IsError {
		t.Errorf("it wrote into a directory that it may read: %+v, %v", result, err)
	}
	box.Stdin().Close()
	box.Kill()
	if exit, err := box.Wait(); err != nil {
		t.Error(err)
	} else {
		t.Logf("%+v", exit)
	}
	if _, err := os.Stat(filepath.Join(docs, "new.txt")); err == nil {
		t.Error("there is a file on the host")
	}
}
