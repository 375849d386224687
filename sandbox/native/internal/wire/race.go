//go:build race

package wire

// raceEnv spares each box the second that the race detector, where tests are
// built with it, waits at the end of a program.
var raceEnv = []string{"GORACE=atexit_sleep_ms=0"}
