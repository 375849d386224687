// Probe is a client that talks to the network as no honest program would, and
// says in a few words what came of it.
//
//	probe dial NETWORK ADDRESS...     connects, and closes
//	probe say NETWORK ADDRESS TEXT    connects, says TEXT, prints the first line of the answer
//	probe raw ADDRESS TEXT...         says each TEXT and prints the statuses of all HTTP answers
//	probe hello ADDRESS VARIANT       begins TLS in one of the ways of hello.go
//	probe ask NETWORK SERVER TYPE NAME...  asks a name server
//	probe get URL...                  fetches by Go's HTTP client
//	probe post URL BYTES              uploads, and compares the sum that the server saw
//	probe pour ADDRESS BYTES          sends to an echo server, and compares what comes back
//	probe many ADDRESS N              holds N connections to an echo server at once
//	probe flood ADDRESS N             begins N connections and gives each up at once
//	probe scan N                      connects to N addresses
//	probe burst NETWORK SERVER N SUFFIX  asks for N names below SUFFIX
//	probe wander N PORT SUFFIX        talks to echo servers of N names below SUFFIX
//	probe squat ADDRESS PREFIX        takes ADDRESS's port of a range of addresses, then says
//	probe admin VERB                  changes the network's configuration, see admin.go
//	probe facts                       prints what the network looks like from here
//	probe serve ADDRESS               listens, prints the port, and echoes until its input ends
//	probe hold ADDRESS                connects, says so, and stays
//
// TEXT knows Go's escapes. An errno is printed by its name; "slow" before it
// says that it took more than a second.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limit is how long a probe waits for anything.
const limit = 8 * time.Second

func main() {
	if len(os.Args) < 2 || verbs()[os.Args[1]] == nil {
		fmt.Fprintf(os.Stderr, "probe: what is %q?\n", os.Args[1:])
		os.Exit(2)
	}
	out, err := verbs()[os.Args[1]](os.Args[2:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "probe: %v\n", err)
		os.Exit(1)
	}
	fmt.Println(out)
}

// verb does one thing and says what came of it. An error is that the probe was
// called wrongly.
type verb func(args []string) (string, error)

func verbs() map[string]verb {
	return map[string]verb{
		"dial": dial, "say": say, "raw": raw, "hello": hello, "ask": ask, "get": get, "post": post, "pour": pour,
		"many": many, "flood": flood, "scan": scan, "burst": burst, "wander": wander, "squat": squat, "admin": admin, "facts": facts,
		"serve": serve, "hold": hold,
	}
}

var errUsage = errors.New("wrong arguments: see the comment of package main")

// name says what err comes down to.
func name(err error) string {
	var errno syscall.Errno
	var dns *net.DNSError
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "EOF"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return "NXDOMAIN"
		}
		return "DNS:" + strings.ReplaceAll(dns.Err, " ", "-")
	}
	return strings.ReplaceAll(err.Error(), " ", "-")
}

// timed is what f came to, marked if it took long.
func timed(f func() error) string {
	began := time.Now()
	word := name(f())
	if time.Since(began) > time.Second {
		return "slow " + word
	}
	return word
}

// text undoes the escapes of an argument.
func text(arg string) ([]byte, error) {
	s, err := strconv.Unquote(`"` + strings.ReplaceAll(arg, `"`, `\"`) + `"`)
	return []byte(s), err
}

// connect is a connection with a deadline.
func connect(network, address string) (net.Conn, error) {
	c, err := net.DialTimeout(network, address, limit)
	if err == nil {
		err = c.SetDeadline(time.Now().Add(limit))
	}
	return c, err
}

func dial(args []string) (string, error) {
	if len(args) < 2 {
		return "", errUsage
	}
	var words []string
	for _, address := range args[1:] {
		words = append(words, strings.Replace(timed(func() error {
			c, err := connect(args[0], address)
			if err == nil {
				c.Close()
			}
			return err
		}), "done", "connected", 1))
	}
	return strings.Join(words, " "), nil
}

func say(args []string) (string, error) {
	if len(args) != 3 {
		return "", errUsage
	}
	b, err := text(args[2])
	if err != nil {
		return "", err
	}
	return timed2(func() (string, error) {
		c, err := connect(args[0], args[1])
		if err != nil {
			return "", err
		}
		defer c.Close()
		if _, err := c.Write(b); err != nil {
			return "", err
		}
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.CloseWrite() // if it is reset by now, reading will say so
		} else {
			_ = c.SetDeadline(time.Now().Add(400 * time.Millisecond))
		}
		answer := make([]byte, 512)
		n, err := c.Read(answer)
		line, _, _ := strings.Cut(string(answer[:n]), "\n")
		if n == 0 {
			return "", err
		}
		return strings.TrimSpace(line), nil
	}), nil
}

// timed2 is timed for what has a result.
func timed2(f func() (string, error)) string {
	result := ""
	word := timed(func() (err error) {
		result, err = f()
		return err
	})
	if strings.HasSuffix(word, "done") {
		return strings.Replace(word, "done", result, 1)
	}
	return word
}
