package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"github.com/mcpbox/mcpbox/integration/relay/transcript"
)

// chaos is a server that answers as servers do, calls of tools only once it has
// been sent a ping, until it has read the message with this number. Then it does
// the fault, and goes on if that lets it.
func chaos(fault, number string) error {
	at, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	if faults[fault] == nil {
		return fmt.Errorf("unknown fault %q", fault)
	}
	var held [][]byte
	in := bufio.NewReader(os.Stdin)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err == io.EOF || errors.Is(err, os.ErrClosed) {
			return nil
		} else if err != nil {
			return err
		}
		var asked transcript.Head
		if err := json.Unmarshal(line, &asked); err != nil {
			return fmt.Errorf("%w: %s", err, line)
		}
		var answers [][]byte
		if asked.IsRequest() {
			answers = append(answers, answer(asked))
		}
		switch asked.Method {
		case "tools/call":
			held, answers = append(held, answers...), nil
		case "ping":
			answers, held = append(held, answers...), nil
		}
		if n == at {
			faults[fault](bytes.Join(answers, nil))
		}
		for _, a := range answers {
			if err := say(a); err != nil {
				return nil // the fault
			}
		}
	}
}

func answer(to transcript.Head) []byte {
	result := `{}`
	switch to.Method {
	case "initialize":
		result = `{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"logging":{}},"serverInfo":{"name":"chaos","version":"1"}}`
	case "tools/list":
		result = `{"tools":[{"name":"t","inputSchema":{"type":"object"}}]}`
	case "tools/call":
		result = `{"content":[{"type":"text","text":"done"}]}`
	}
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":%s}`+"\n", to.ID, result)
}

func say(text []byte) error {
	_, err := os.Stdout.Write(text)
	return err
}

func forever(text []byte) {
	for say(text) == nil {
	}
}

// hang never returns, whatever asks it to.
func hang() { select {} }

// faults are given what the server was about to say.
var faults = map[string]func(answers []byte){
	"exits": func([]byte) { exit(3) },
	"is killed": func([]byte) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		hang()
	},
	"hangs": func([]byte) { hang() },
	"closes its output": func([]byte) {
		os.Stdout.Close()
		_, _ = io.Copy(io.Discard, os.Stdin)
		hang()
	},
	"closes its input": func([]byte) { os.Stdin.Close() },
	"closes both": func([]byte) {
		os.Stdout.Close()
		os.Stdin.Close()
		hang()
	},
	"floods with messages": func([]byte) {
		forever([]byte(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"flood"}}` + "\n"))
	},
	"floods with noise":   func([]byte) { forever([]byte("no message at all\n")) },
	"floods without line": func([]byte) { forever(bytes.Repeat([]byte("x"), 64<<10)) },
	"floods with requests": func([]byte) {
		for i := 0; say(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":"ping"}`+"\n", i)) == nil; i++ {
		}
	},
	"exits within a line": func(answers []byte) {
		_ = say(answers[:len(answers)/2])
		exit(3)
	},
	"hangs within a line": func(answers []byte) {
		_ = say(answers[:len(answers)/2])
		hang()
	},
	"makes noise": func([]byte) {
		for _, noise := range []string{
			"Listening on stdio\n", "{\n", "}\n", "\n", "\r\n", "[1]\n", "null\n", "\x00\xff\n", `{"level":30,"msg":"up"}` + "\n",
			`{"id":3,"res` + "\n", "\x1b[31mred\x1b[0m\n",
		} {
			_ = say([]byte(noise))
		}
	},
	"forges answers": func([]byte) {
		for _, id := range []string{"99", `"3"`, "3.0", "null", `"mcpbox"`, "-1"} {
			_ = say([]byte(`{"jsonrpc":"2.0","id":` + id + `,"result":{"content":[{"type":"text","text":"forged"}]}}` + "\n"))
		}
	},
	"answers twice": func(answers []byte) { _ = say(answers) },
	"fills its stderr": func([]byte) {
		text := bytes.Repeat([]byte("log "), 1<<10)
		for range 1 << 10 {
			_, _ = os.Stderr.Write(append(text, '\n'))
		}
	},
}

// exit ends the server at once.
func exit(code int) {
	_ = syscall.Exec("/bin/sh", []string{"sh", "-c", "exit " + strconv.Itoa(code)}, nil)
	hang()
}
