package main

import (
	"fmt"

	"github.com/mcpbox/mcpbox/sandbox"
)

// describeExceeded says for which limit a server was killed, and how to raise it.
func describeExceeded(e *sandbox.LimitError) string {
	switch {
	case e.Late && e.Detail != "":
		return fmt.Sprintf("%s: it has written %s there, and ended before it could be killed", e.Detail, size(e.Used))
	case e.Late:
		return fmt.Sprintf("wrote %s more to its directories, of %s, and ended before it could be killed ([limits] disk to raise)", size(e.Used), size(e.Allowed))
	case e.Limit == "disk" && e.Detail != "":
		return fmt.Sprintf("killed: %s, and it has written %s there", e.Detail, size(e.Used))
	case e.Limit == "disk":
		return fmt.Sprintf("killed: wrote %s more to its directories, of %s ([limits] disk to raise)", size(e.Used), size(e.Allowed))
	}
	return fmt.Sprintf("killed: used %s of %s memory ([limits] memory, --memory to raise)", size(e.Used), size(e.Allowed))
}

// describeTier says by what limits hold.
func describeTier(t sandbox.Tier) string {
	if t.Kernel() {
		return fmt.Sprintf("Memory, processors and processes are limited by the kernel (%s).", t)
	}
	return `Memory is limited by a watchdog that measures and kills, processors by a low
priority: there is no cgroup for boxes here (mcpbox doctor says why).`
}
