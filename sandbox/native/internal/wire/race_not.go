//go:build !race

package wire

var raceEnv []string
