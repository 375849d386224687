package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/mcpbox/mcpbox/integration/relay/transcript"
)

// play is the server of a transcript: when it has been asked, it says what the
// transcript has up to the answer.
func play(path string) error {
	t, err := transcript.Load(path)
	if err != nil {
		return err
	}
	rest := t.Server
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var asked transcript.Head
		if err := json.Unmarshal(line, &asked); err != nil {
			return fmt.Errorf("%w: %s", err, line)
		}
		if !asked.IsRequest() {
			continue
		}
		n, err := transcript.Answer(rest, asked)
		if err != nil {
			return err
		}
		for _, message := range rest[:n] {
			if _, err := os.Stdout.Write(append(message, '\n')); err != nil {
				return err
			}
		}
		rest = rest[n:]
	}
}
