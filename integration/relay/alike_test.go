package relay

import (
	"bytes"
	"encoding/base64"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// The TypeScript SDKs read every line that the relay passes as JSON.parse does,
// or pass over it, as over any line that their schemas do not know.
// TestReadAlike of ../../bridge compares the other parsers.
func TestReadAlikeByTypeScript(t *testing.T) {
	text, err := os.ReadFile("../../bridge/testdata/hostile.txt")
	if err != nil {
		t.Fatal(err)
	}
	var passes, kept []string
	for _, row := range strings.Split(string(text), "\n") {
		if row == "" || row[0] == '#' {
			continue
		}
		fields := make([]string, 5)
		for i := range fields {
			fields[i], row, _ = strings.Cut(row, " ")
			row = strings.TrimLeft(row, " ")
		}
		line, err := strconv.Unquote(row)
		if err != nil {
			t.Fatalf("%s: %v", row, err)
		}
		switch {
		case fields[4] == "line" && !strings.HasPrefix(line, "["): // the SDKs have no batches
			passes = append(passes, line)
		case fields[1] == "malformed":
			kept = append(kept, line)
		}
	}
	for _, sdk := range []string{"sdk/dist/esm/shared/stdio.js", "client/dist/index.mjs"} {
		path := module(t, "@modelcontextprotocol/"+sdk)
		same := 0
		for i, got := range readByTypeScript(t, path, passes) {
			switch got {
			case "same":
				same++
			case "refused":
				t.Logf("%s refuses %q", sdk, passes[i])
			default:
				t.Errorf("%q passes, and %s reads %s", passes[i], sdk, got)
			}
		}
		accepted := 0
		for _, got := range readByTypeScript(t, path, kept) {
			if got != "refused" {
				accepted++
			}
		}
		t.Logf("%s reads %d of %d lines that pass, and %d of %d that do not", sdk, same, len(passes), accepted, len(kept))
		if same < len(passes)*8/10 || accepted < 10 {
			t.Errorf("%s reads too few: nothing was compared", sdk)
		}
	}
}

func readByTypeScript(t *testing.T, path string, lines []string) []string {
	t.Helper()
	var in bytes.Buffer
	for _, line := range lines {
		in.WriteString(base64.StdEncoding.EncodeToString([]byte(line)) + "\n")
	}
	cmd := exec.Command(node22(t), "testdata/read.mjs", path)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(all) != len(lines) {
		t.Fatalf("%d lines were read of %d", len(all), len(lines))
	}
	return all
}
