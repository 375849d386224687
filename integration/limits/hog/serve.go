package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// stubborn says in a file that it is there, and heeds neither signals nor the end of
// its input. Nor does a process that it leaves to itself.
func stubborn(file string) {
	cmd := exec.Command(os.Args[0], "daemon", "2")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	must(cmd.Run())
	for sig := unix.Signal(1); sig < 32; sig++ {
		ignore(sig)
	}
	count(file).Add(1)
	sleep()
}

// answer is a server that answers whatever it is asked.
func answer() {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var m struct{ ID json.RawMessage }
		must(json.Unmarshal(in.Bytes(), &m))
		if m.ID != nil {
			fmt.Printf(`{"jsonrpc":"2.0","id":%s,"result":{}}`+"\n", m.ID)
		}
	}
}

// flood says more than anybody wants to hear, of one kind.
func flood(kind string) {
	to, text := os.Stdout, `{"jsonrpc":"2.0","method":"notifications/x"}`+"\n"
	switch kind {
	case "messages":
	case "stderr":
		to, text = os.Stderr, "a line that nobody wants to read\n"
	case "line": // without an end
		text = "a"
	default:
		fail("hog: no flood of %q", kind)
	}
	text = strings.Repeat(text, 4096/len(text))
	for {
		_, err := to.WriteString(text)
		must(err)
		if kind != "line" { // some thousand in a second are enough
			time.Sleep(10 * time.Millisecond)
		}
	}
}
