// Command demo runs @modelcontextprotocol/server-filesystem in a box with one
// declared directory, uses it as a real client would, and then has it, and a
// hostile server, try three things that a box must refuse. Each is first done
// without the box, in the same words, to show that it would have worked.
//
// `make demo` calls it, as an ordinary user with an empty home.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	box := flag.String("mcpbox", "", "the mcpbox `program`")
	npm := flag.String("npm", "", "`directory` whose node_modules has server-filesystem")
	evil := flag.String("evil", "", "evil.mjs")
	node := flag.String("node", "node", "the Node.js `program`")
	shown := flag.String("show", "", "the `path` of mcpbox to print in the configuration to paste")
	flag.Parse()

	d := &demo{mcpbox: *box, node: *node, evil: *evil, server: filepath.Join(*npm, "node_modules/@modelcontextprotocol/server-filesystem/dist/index.js")}
	if err := d.run(); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	fmt.Print(snippet(*shown, d.node, d.server))
}

// demo is one user's home and what was seen so far.
type demo struct {
	mcpbox, node, server, evil string

	home    string // the user's
	project string // the one declared directory
	failed  int
}

func (d *demo) run() error {
	var err error
	if d.home, err = os.UserHomeDir(); err != nil {
		return err
	}
	if d.home, err = filepath.EvalSymlinks(d.home); err != nil {
		return err
	}
	d.project = filepath.Join(d.home, "projects", "x")
	for path, text := range map[string]string{
		"projects/x/README.md": "Hello from the declared directory.\n",
		".ssh/id_ed25519":      "canary: this would be a private key\n",
		"Documents/notes.txt":  "notes of a person\n",
	} {
		path = filepath.Join(d.home, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}

	d.title("The job: server-filesystem in a box, with %s declared, as uid %d", d.tilde(d.project), os.Geteuid())
	if err := d.job(); err != nil {
		return err
	}
	d.title("A secret: the same server, told to serve the whole disk, reads a private key")
	if err := d.secret(); err != nil {
		return err
	}
	d.title("A write outside: the same server overwrites a document")
	if err := d.write(); err != nil {
		return err
	}
	d.title("The network: a hostile server phones home")
	if err := d.network(); err != nil {
		return err
	}
	if d.failed > 0 {
		return fmt.Errorf("%d checks failed", d.failed)
	}
	return nil
}

// snippet is what a user pastes into the configuration of an MCP host.
func snippet(mcpbox, node, server string) string {
	return fmt.Sprintf(`
All as promised. To give an MCP host the same server in the same box, paste this
into its configuration, with a directory of yours in the place of /home/you/projects/x:

{
  "mcpServers": {
    "fs": {
      "command": %q,
      "args": ["run", "--name", "fs", "--rw", "/home/you/projects/x", "--",
               %q, %q,
               "/home/you/projects/x"]
    }
  }
}
`, mcpbox, node, server)
}
