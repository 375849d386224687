package journal

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/policy"
)

// What is kept of a message is the policy's decision, and bounded.
func TestMessageRecord(t *testing.T) {
	type kept struct{ digest, body string }
	long := strings.Repeat("z", 1<<20)
	for mode, want := range map[policy.BodyMode]kept{
		policy.BodyNone:   {},
		policy.BodyDigest: {digest: "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"},
		policy.BodyFull:   {digest: "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356", body: "{}\n"},
	} {
		h := history{state: filepath.Join(t.TempDir(), "mcpbox")}
		j, err := Open(Config{State: h.state, Name: "fs", Policy: policy.Journal{Bodies: mode, Max: 1 << 20}, Secrets: []string{"a \"secret\""}})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(j.Start(Start{Name: "fs"}),
			j.Message(Message{Direction: ToServer, Kind: Request, RPCID: `"a"`, Call: 3}, []byte("{}\n")),
			j.Message(Message{Direction: ToHost, Kind: Noise, Reason: `it says a "secret"`}, []byte(`a "secret" {"x":"a \"secret\""}`)),
			j.Message(Message{Direction: ToHost, Kind: Noise}, []byte(long)),
			j.Exit(Exit{}), j.Close()); err != nil {
			t.Fatal(err)
		}
		list := h.entries(t, j)
		if len(list) != 5 {
			t.Fatalf("%d records", len(list))
		}
		var m, said, cut Message
		if err := errors.Join(list[2].Decode(&m), list[3].Decode(&said), list[4].Decode(&cut)); err != nil {
			t.Fatal(err)
		}
		if m.Direction != ToServer || m.RPCID != `"a"` || m.Call != 3 || (kept{m.Digest, m.Body}) != want {
			t.Errorf("%s: %s", mode, list[2].Line)
		}
		if said.Reason != "it says [redacted]" || mode == policy.BodyFull && said.Body != `[redacted] {"x":"[redacted]"}` {
			t.Errorf("%s: %s", mode, list[3].Line)
		}
		if n := len(cut.Body); mode == policy.BodyFull && (n == 0 || n > 1<<16) {
			t.Errorf("%d bytes of a long message are kept", n)
		}
		if states, faults := h.verify(t); states != "whole" {
			t.Errorf("%s, %q", states, faults)
		}
	}
}

// Messages are written soon, by themselves.
func TestMessagesAreFlushed(t *testing.T) {
	h := history{state: filepath.Join(t.TempDir(), "mcpbox")}
	j := openSmall(t, h.state)
	defer j.Close()
	for round := 1; round < 3; round++ {
		if err := j.Message(Message{Direction: ToServer, Kind: Request}, nil); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); len(h.entries(t, j)) < 1+round; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("it waits for more")
			}
		}
	}
}

func BenchmarkMessage(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "mcpbox")
	j, err := Open(Config{State: dir, Name: "fs"})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	if err := j.Start(Start{}); err != nil {
		b.Fatal(err)
	}
	body := []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hello"}}}` + "\n")
	b.ReportAllocs()
	for b.Loop() {
		j.Message(Message{Direction: ToServer, Kind: Request, Method: "tools/call", Tool: "echo", RPCID: "1", Call: 1, Size: int64(len(body))}, body)
	}
}

func BenchmarkOpen(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "mcpbox")
	for b.Loop() {
		j, err := Open(Config{State: dir, Name: "fs"})
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(j.Start(Start{}), j.Exit(Exit{}), j.Close()); err != nil {
			b.Fatal(err)
		}
	}
}
