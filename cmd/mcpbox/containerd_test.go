//go:build !nocontainerd

package main

import (
	"runtime/debug"
	"testing"

	"github.com/mcpbox/mcpbox/sandbox/containerd"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestCollectsAgain: garbage is not collected while a container starts, and is
// afterwards, also after an error.
func TestCollectsAgain(t *testing.T) {
	const percent, limit = 77, 1 << 30
	beforePercent, beforeLimit := debug.SetGCPercent(percent), debug.SetMemoryLimit(limit)
	defer func() {
		debug.SetGCPercent(beforePercent)
		debug.SetMemoryLimit(beforeLimit)
	}()
	e := &containerdEngine{Backend: &containerd.Backend{}}
	e.ready()
	if got := debug.SetMemoryLimit(-1); got != startMemory {
		t.Errorf("during the start: a limit of %d bytes", got)
	}
	if got := debug.SetGCPercent(-1); got != -1 {
		t.Errorf("during the start: %d %%", got)
	}
	if _, err := e.Start(t.Context(), &specs.Spec{Linux: &specs.Linux{}}, nil); err == nil {
		t.Error("it has started")
	}
	if got := debug.SetMemoryLimit(-1); got != limit {
		t.Errorf("afterwards: a limit of %d bytes", got)
	}
	if got := debug.SetGCPercent(percent); got != percent {
		t.Errorf("afterwards: %d %%", got)
	}
}
