package main

import (
	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

// hook is a program that git runs on the host at the user's next commit.
const hook = "#!/bin/sh\ntouch /tmp/pwned\n"

// protectedAttacks plant, in a directory that the box may write, what the
// user's own tools would run later. The first fifteen are steps of one
// campaign against a git repository.
var protectedAttacks = []attack{
	git("W-1/write-config", "adds a command to git's configuration", func(at place) error {
		return planted(at("config"), "[core]\n\tfsmonitor = /tmp/pwned\n").error()
	}),
	git("W-1/truncate-config", "empties git's configuration", func(at place) error {
		fd, err := unix.Open(at("config"), unix.O_WRONLY|unix.O_TRUNC, 0)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}),
	git("W-1/create-hook", "creates a hook", func(at place) error {
		defer unix.Unlink(at("hooks/pre-commit"))
		return planted(at("hooks/pre-commit"), hook).error()
	}),
	git("W-1/write-hook", "writes into a hook that exists", func(at place) error {
		return planted(at("hooks/pre-push"), hook).error()
	}),
	git("W-1/chmod-hook", "makes a sample hook executable", func(at place) error {
		return unix.Chmod(at("hooks/update.sample"), 0o755)
	}),
	git("W-1/unlink-hook", "deletes a hook that checks what is pushed", func(at place) error {
		return unix.Unlink(at("hooks/pre-receive"))
	}),
	git("W-1/unlink-config", "deletes the configuration, to make another", func(at place) error {
		return unix.Unlink(at("config.worktree"))
	}),
	git("W-1/rename-hooks", "renames the hooks aside", func(at place) error {
		if err := unix.Rename(at("hooks"), at("hooks.old")); err != nil {
			return err
		}
		return unix.Rename(at("hooks.old"), at("hooks"))
	}),
	git("W-1/rename-into", "writes a hook elsewhere and renames it into place", func(at place) error {
		if err := planted(at("x"), hook).error(); err != nil {
			return err
		}
		defer unix.Unlink(at("x"))
		defer unix.Unlink(at("hooks/post-commit"))
		return unix.Rename(at("x"), at("hooks/post-commit"))
	}),
	git("W-1/link-into", "links a file of the project into the hooks", func(at place) error {
		defer unix.Unlink(at("hooks/post-checkout"))
		return unix.Link(at("../main.go"), at("hooks/post-checkout"))
	}),
	git("W-1/rename-over-config", "renames another file over the configuration", func(at place) error {
		if err := planted(at("evil"), "[core]\n").error(); err != nil {
			return err
		}
		defer unix.Unlink(at("evil"))
		return unix.Rename(at("evil"), at("config"))
	}),
	git("W-1/exchange-config", "exchanges the configuration for another file", func(at place) error {
		if err := planted(at("evil"), "[core]\n").error(); err != nil {
			return err
		}
		defer unix.Unlink(at("evil"))
		return unix.Renameat2(unix.AT_FDCWD, at("evil"), unix.AT_FDCWD, at("config"), unix.RENAME_EXCHANGE)
	}),
	git("W-1/rename-ancestor", "renames .git aside, to make another", func(at place) error {
		if err := unix.Rename(at(""), at("../.gitold")); err != nil {
			return err
		}
		return unix.Rename(at("../.gitold"), at(""))
	}),
	git("W-1/exchange-ancestor", "exchanges .git for a directory of its own", func(at place) error {
		if err := unix.Mkdir(at("../evil"), 0o755); err != nil {
			return err
		}
		defer unix.Rmdir(at("../evil"))
		swap := func() error {
			return unix.Renameat2(unix.AT_FDCWD, at("../evil"), unix.AT_FDCWD, at(""), unix.RENAME_EXCHANGE)
		}
		if err := swap(); err != nil {
			return err
		}
		return swap()
	}),
	git("W-1/symlink-hooks", "replaces the hooks by a symbolic link", func(at place) error {
		if err := unix.Rename(at("hooks"), at("hooks.old")); err != nil {
			return err
		}
		if err := unix.Symlink("/tmp", at("hooks")); err != nil {
			return err
		}
		_ = unix.Unlink(at("hooks"))
		return unix.Rename(at("hooks.old"), at("hooks"))
	}),
	git("W-1/reopen", "opens git's configuration again through /proc, for writing", func(at place) error {
		fd, err := unix.Open(at("config"), unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		again, err := unix.Open(procFD(fd), unix.O_RDWR, 0)
		if err == nil {
			unix.Close(again)
		}
		return err
	}),
	{"W-5/protected-names", "writes into any of the files that editors, shells, agents and package managers run", func(s *escape.Scenario) outcome {
		var last outcome
		for _, name := range escape.Protected {
			if last = planted(s.In("project/"+name), "pwned\n"); last.ok {
				last.detail = name
				return last
			}
		}
		return last
	}},
	{"W-5/rename-editor", "renames the editor's directory aside", func(s *escape.Scenario) outcome {
		err := unix.Rename(s.In("project/.vscode"), s.In("project/.vsold"))
		if err == nil {
			err = unix.Rename(s.In("project/.vsold"), s.In("project/.vscode"))
		}
		return by(err)
	}},
	{"W-6/nested", "creates a hook in a repository six directories down", func(s *escape.Scenario) outcome {
		path := s.In("project/a/b/c/d/e/f/.git/hooks/pre-commit")
		defer unix.Unlink(path)
		return planted(path, hook)
	}},
	{"W-6/nested-ancestor", "renames a directory above a nested repository", func(s *escape.Scenario) outcome {
		err := unix.Rename(s.In("project/a"), s.In("project/z"))
		if err == nil {
			err = unix.Rename(s.In("project/z"), s.In("project/a"))
		}
		return by(err)
	}},
	{"M-6/linked-hooks", "creates a hook through hooks that are a symbolic link into the project", func(s *escape.Scenario) outcome {
		path := s.In("project/linked/.git/hooks/pre-commit")
		defer unix.Unlink(path)
		return planted(path, hook)
	}},
	{"M-6/linked-hooks-target", "creates a hook in the directory that linked hooks point at", func(s *escape.Scenario) outcome {
		path := s.In("project/linked/tracked-hooks/pre-commit")
		defer unix.Unlink(path)
		return planted(path, hook)
	}},
	{"M-6/replace-link", "replaces the link by hooks of its own", func(s *escape.Scenario) outcome {
		link := s.In("project/linked/.git/hooks")
		if err := unix.Unlink(link); err != nil {
			return by(err)
		}
		return by(unix.Symlink("../tracked-hooks", link))
	}},
	{"M-7/unhide", "deletes the mask over a hidden file", func(s *escape.Scenario) outcome {
		path := s.In("project/.env.doomed")
		return by(unix.Unlink(path))
	}},
	{"M-7/rename-hidden", "renames a hidden file to where nothing hides it", func(s *escape.Scenario) outcome {
		if err := unix.Rename(s.In("project/.env"), s.In("project/env")); err != nil {
			return by(err)
		}
		defer unix.Rename(s.In("project/env"), s.In("project/.env"))
		return stolen(s.In("project/env"))
	}},
}

// place names a file in the project's .git.
type place func(name string) string

func git(id, tries string, do func(place) error) attack {
	return attack{id, tries, func(s *escape.Scenario) outcome {
		return by(do(func(name string) string { return s.In("project/.git/" + name) }))
	}}
}

// error is the outcome as an error that [by] turns into the same outcome.
func (o outcome) error() error {
	if o.ok {
		return nil
	}
	return outcomeError(o.err)
}

type outcomeError string

func (e outcomeError) Error() string { return string(e) }
