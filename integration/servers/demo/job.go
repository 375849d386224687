package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// job is what the server is for: it works in the declared directory. It is
// started by the words of snippet, tildes and all, which no shell expands.
func (d *demo) job() error {
	s, err := d.boxed([]string{"--name", "fs", "--rw", "~/projects/x"}, d.node, d.server, "~/projects/x")
	if err != nil {
		return err
	}
	hello := s.InitializeResult().ServerInfo
	d.check(true, "box", fmt.Sprintf("%s %s answered initialize", hello.Name, hello.Version))

	tools, err := s.ListTools(s.ctx, nil)
	if err != nil {
		return err
	}
	d.check(len(tools.Tools) > 0, "box", fmt.Sprintf("%d tools listed", len(tools.Tools)))

	text, done := s.call("list_directory", map[string]any{"path": d.project})
	d.check(done && strings.Contains(text, "README.md"), "box", "listed "+d.project+": "+text)
	text, done = s.call("read_text_file", map[string]any{"path": filepath.Join(d.project, "README.md")})
	d.check(done && strings.Contains(text, "Hello"), "box", "read README.md: "+text)

	file := filepath.Join(d.project, "made-in-the-box.txt")
	text, done = s.call("write_file", map[string]any{"path": file, "content": "made in the box\n"})
	onHost, _ := os.ReadFile(file)
	d.check(done && string(onHost) == "made in the box\n", "box", text)

	s.close()
	ours := ""
	for line := range strings.Lines(s.stderr.String()) {
		if strings.HasPrefix(line, "mcpbox") {
			ours += line
		}
	}
	d.check(ours == "", "box", "mcpbox had nothing to say on stderr "+ours)
	return nil
}

// both runs try with server-filesystem serving the whole disk, first bare and
// then in the box that job used. The server's own rule of which directories it
// serves is thus out of the way, as a hostile server's would be.
func (d *demo) both(try func(where string, s *session)) error {
	s, err := d.bare(d.node, d.server, "/")
	if err != nil {
		return err
	}
	try("bare", s)
	s.close()
	s, err = d.boxed([]string{"--name", "fs", "--rw", d.project}, d.node, d.server, "/")
	if err != nil {
		return err
	}
	defer s.close()
	// The control: in this box, too, the server works.
	text, done := s.call("read_text_file", map[string]any{"path": filepath.Join(d.project, "README.md")})
	d.check(done, "box", "reads the declared directory: "+text)
	try("box", s)
	return nil
}

func (d *demo) secret() error {
	key := filepath.Join(d.home, ".ssh", "id_ed25519")
	return d.both(func(where string, s *session) {
		text, done := s.call("read_text_file", map[string]any{"path": key})
		got := strings.Contains(text, "canary")
		if where == "bare" {
			d.check(done && got, where, "reads "+key+": "+text)
		} else {
			d.check(!done && !got, where, "does not: "+text)
		}
	})
}

func (d *demo) write() error {
	file := filepath.Join(d.home, "Documents", "notes.txt")
	before, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return d.both(func(where string, s *session) {
		text, done := s.call("write_file", map[string]any{"path": file, "content": "overwritten\n"})
		after, err := os.ReadFile(file)
		if where == "bare" {
			d.check(done && string(after) == "overwritten\n", where, "overwrites "+file+": "+text)
			// For the second attempt.
			if err := os.WriteFile(file, before, 0o600); err != nil {
				d.check(false, where, err.Error())
			}
			return
		}
		d.check(!done && err == nil && string(after) == string(before), where, "does not: "+text)
	})
}
