package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
)

// tap runs a command, and writes down in dir what it is given and what it says.
// A byte is in the record before it goes on, so that the record of what was said
// has all that anybody can have heard.
func tap(dir string, argv []string) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	runtime.LockOSThread() // with whose end the command would be killed
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	given, err := record(dir, "in")
	if err != nil {
		return err
	}
	said, err := record(dir, "out")
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_, err := io.Copy(io.MultiWriter(given, in), os.Stdin)
		in.Close()
		if err != nil && !errors.Is(err, syscall.EPIPE) { // the command may be gone
			os.Stderr.WriteString("peer: " + err.Error() + "\n")
		}
	}()
	if _, err := io.Copy(io.MultiWriter(said, os.Stdout), out); err != nil {
		return err
	}
	return cmd.Wait()
}

func record(dir, name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
}
