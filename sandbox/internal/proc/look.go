package proc

import (
	"runtime"
	"time"
)

// Memory cannot be filled faster than fillRate. So after a look that found the
// box a certain way below its limit, the next one need not be before the box
// could have come all that way: an idle server with room to spare is looked at a
// few times in a second, one that fills its memory every millisecond in the end.

// fillRate is how many bytes one processor can fill in a second: pages of the
// kernel's usual size, at the pace of the fastest machines.
const fillRate = 4 << 30

// ShortestLook is the least time between two looks.
const ShortestLook = time.Millisecond

const longestLook = 250 * time.Millisecond

// LookAgain is how long a box needs at least to take that much more.
func LookAgain(headroom int64) time.Duration {
	d := time.Duration(float64(headroom) / FillRate() * float64(time.Second))
	return min(max(d, ShortestLook), longestLook)
}

// FillRate is how many bytes the machine can fill in a second.
func FillRate() float64 { return fillRate * float64(min(runtime.NumCPU(), 8)) }
