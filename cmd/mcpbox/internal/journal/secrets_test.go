package journal

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// No secret is written, wherever it comes up, and what is left is a record.
func FuzzSecrets(f *testing.F) {
	for _, s := range [][2]string{{"hunter2hunter2", "--token=hunter2hunter2"}, {"a\"b\\c\n<d>", "x a\"b\\c\n<d> y"}, {"u001b123", "\x1b123"}, {"durationNs", "durationNs"}, {"\u202e\u202e", "\u202e\u202e\u202e"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, secret, text string) {
		if strings.ToValidUTF8(secret, "") != secret || secret == "" || strings.Contains(redacted, secret) {
			return
		}
		line, err := encode(Event{Kind: "k", Path: text, Detail: text + secret + text}, time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		line = append(newSecrets([]string{secret}).redact(line), '}')
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		text = strings.ReplaceAll(string([]rune(text)), secret, redacted)
		if strings.Contains(strings.ReplaceAll(e.Detail, redacted, ""), secret) && !strings.Contains(strings.ReplaceAll(text+redacted+text, redacted, ""), secret) {
			t.Errorf("%q is in %q", secret, e.Detail)
		}
		if e.Path != text {
			t.Errorf("%q, want %q", e.Path, text)
		}
	})
}
