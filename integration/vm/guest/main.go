// Command guest is the harness's half inside the virtual machine. The kernel
// starts it as the first process, from the initramfs, where it makes the way for
// Debian's systemd; systemd then starts it again, as a service of root's, which
// runs the steps. It is static, and one program, so that the disk with Debian
// needs nothing of ours.
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	var err error
	switch {
	case os.Getpid() == 1:
		err = start()
	case len(os.Args) == 2 && os.Args[1] == "steps":
		err = steps()
	case len(os.Args) == 3 && os.Args[1] == "place":
		err = place(os.Args[2])
	case len(os.Args) > 2 && os.Args[1] == "delegated":
		err = delegated(os.Args[2:])
	case len(os.Args) == 3 && os.Args[1] == "advice":
		err = errors.Join(advice(os.Args[2]), memfd(os.Args[2]))
	default:
		err = fmt.Errorf("usage: guest steps | guest place PLACE | guest delegated COMMAND... | guest advice MCPBOX")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}
