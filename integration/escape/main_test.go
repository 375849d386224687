package escape

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv(stageVariable) != "" {
		if err := stage(os.Args[1:]); err != nil {
			fmt.Fprintf(os.Stderr, "stage: %v\n", err)
			os.Exit(stageFailed)
		}
	}
	code := m.Run()
	if p, err := build(); p != nil {
		_ = err // a test has reported it
		_ = os.RemoveAll(p.dir)
	}
	os.Exit(code)
}
