package journal

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// redacted stands for a secret.
const redacted = "[redacted]"

// secrets are texts that no record holds, the longest first.
type secrets []secret

type secret struct {
	text   string
	inside []byte // as it stands within a string of JSON
}

func newSecrets(list []string) secrets {
	var s secrets
	for _, text := range list {
		if text != "" {
			s = append(s, secret{text, inside(text)})
		}
	}
	slices.SortFunc(s, func(a, b secret) int { return len(b.text) - len(a.text) })
	return s
}

// inside is text as it stands within a string of a record.
func inside(text string) []byte {
	data, err := json.Marshal(text)
	if err != nil || len(data) < 2 {
		return nil // there is no string of which this is so
	}
	return escape(nil, data[1:len(data)-1])
}

// redact takes the secrets out of the strings of a record, though not out of its
// keys, which are ours.
func (s secrets) redact(record []byte) []byte {
	if !slices.ContainsFunc(s, func(secret secret) bool { return bytes.Contains(record, secret.inside) }) {
		return record
	}
	var out []byte
	for {
		open := bytes.IndexByte(record, '"')
		if open < 0 {
			return append(out, record...)
		}
		end := open + stringLength(record[open:])
		out = append(out, record[:open]...)
		text := record[open:end]
		if record = record[end:]; !bytes.HasPrefix(record, []byte(":")) {
			text = s.redactString(text)
		}
		out = append(out, text...)
	}
}

// redactString does it for one string with its quotes.
func (s secrets) redactString(quoted []byte) []byte {
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		return quoted
	}
	clean := s.redactText(text)
	if clean == text {
		return quoted
	}
	return append(append([]byte{'"'}, inside(clean)...), '"')
}

func (s secrets) redactText(text string) string {
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret.text, redacted)
	}
	return text
}

// redactBody does it for a message, which holds them as they are, or as JSON has
// them within strings.
func (s secrets) redactBody(body []byte) string {
	text := string(body)
	for _, secret := range s {
		quoted, _ := json.Marshal(secret.text)
		text = strings.ReplaceAll(text, secret.text, redacted)
		text = strings.ReplaceAll(text, string(quoted[1:len(quoted)-1]), redacted)
	}
	return text
}

// stringLength is the length of the JSON string that text begins with.
func stringLength(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}
