// Package transcript reads the transcripts of conversations with which go-sdk
// tests its servers.
package transcript

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/rogpeppe/go-internal/txtar"
)

// Transcript is what either side says, a message each, on one line and
// otherwise as it is in the file.
type Transcript struct {
	Client, Server [][]byte
}

// Head is what tells messages apart.
type Head struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
}

// IsRequest reports whether a message wants an answer.
func (h Head) IsRequest() bool { return h.Method != "" && h.ID != nil }

// Load reads a transcript from a file.
func Load(path string) (Transcript, error) {
	var t Transcript
	archive, err := txtar.ParseFile(path)
	if err != nil {
		return t, err
	}
	for _, f := range archive.Files {
		switch f.Name {
		case "client":
			t.Client, err = messages(f.Data)
		case "server":
			t.Server, err = messages(f.Data)
		}
		if err != nil {
			return t, fmt.Errorf("%s: %s: %w", path, f.Name, err)
		}
	}
	if len(t.Client) == 0 {
		return t, fmt.Errorf("%s: nobody says anything", path)
	}
	return t, t.pair()
}

// pair gives each response of the client the id of the request that it is for:
// in the files they are in the same order, and the ids are left to who plays
// them.
func (t *Transcript) pair() error {
	var asked []json.RawMessage
	for _, m := range t.Server {
		var h Head
		if err := json.Unmarshal(m, &h); err != nil {
			return err
		}
		if h.IsRequest() {
			asked = append(asked, h.ID)
		}
	}
	for i, m := range t.Client {
		var h Head
		if err := json.Unmarshal(m, &h); err != nil {
			return err
		}
		if h.Method != "" {
			continue
		}
		if len(asked) == 0 {
			return fmt.Errorf("nobody has asked for %s", m)
		}
		t.Client[i] = bytes.Replace(m, append([]byte(`"id": `), h.ID...), append([]byte(`"id": `), asked[0]...), 1)
		asked = asked[1:]
	}
	return nil
}

func messages(text []byte) (list [][]byte, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	for {
		var m json.RawMessage
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return nil, err
		}
		list = append(list, bytes.ReplaceAll(m, []byte("\n"), []byte(" ")))
	}
}

// Answer counts the messages up to the answer to a request.
func Answer(list [][]byte, to Head) (int, error) {
	for i, m := range list {
		var h Head
		if err := json.Unmarshal(m, &h); err != nil {
			return 0, err
		}
		if h.Method == "" && bytes.Equal(h.ID, to.ID) {
			return i + 1, nil
		}
	}
	return 0, fmt.Errorf("no answer to %s %s", to.Method, to.ID)
}
