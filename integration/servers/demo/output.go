package main

import (
	"fmt"
	"os"
	"strings"
)

func (d *demo) title(format string, args ...any) { fmt.Printf("\n%s\n", fmt.Sprintf(format, args...)) }

// check prints one line, PASS or FAIL, and counts the latter.
func (d *demo) check(ok bool, where, text string) {
	verdict := paint("32", "PASS")
	if !ok {
		verdict = paint("31", "FAIL")
		d.failed++
	}
	fmt.Printf("  %s  %-5s %s\n", verdict, where, d.tilde(firstLine(text)))
}

// paint colours s where stdout is a terminal and the user wants colours.
func paint(code, s string) string {
	info, err := os.Stdout.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 || os.Getenv("NO_COLOR") != "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (d *demo) tilde(s string) string { return strings.ReplaceAll(s, d.home, "~") }

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
