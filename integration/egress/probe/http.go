package main

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// raw says HTTP requests as they are written, or what is none, each in a packet
// of its own, and reads answers until the server ends or nothing comes.
func raw(args []string) (string, error) {
	if len(args) < 2 {
		return "", errUsage
	}
	c, err := connect("tcp", args[0])
	if err != nil {
		return name(err), nil
	}
	defer c.Close()
	var words []string
	in := bufio.NewReader(c)
	for i, arg := range args[1:] {
		b, err := text(arg)
		if err != nil {
			return "", err
		}
		if i > 0 {
			time.Sleep(50 * time.Millisecond) // another packet
		}
		if _, err := c.Write(b); err != nil {
			words = append(words, name(err))
			break
		}
	}
	for {
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		answer, err := http.ReadResponse(in, nil)
		if err == nil {
			words = append(words, strconv.Itoa(answer.StatusCode))
			if answer.StatusCode == http.StatusSwitchingProtocols {
				words = append(words, switched(in))
				break
			}
			_, err = io.Copy(io.Discard, answer.Body)
		}
		if err != nil {
			if w := name(err); w != "EOF" || len(words) == 0 {
				words = append(words, strings.SplitN(w, ":", 2)[0])
			}
			break
		}
	}
	return strings.Join(words, " "), nil
}

// switched is what comes back after a change of protocol.
func switched(in *bufio.Reader) string {
	line, err := in.ReadString('\n')
	if err != nil {
		return name(err)
	}
	return strings.TrimSpace(line)
}

func get(args []string) (string, error) {
	var words []string
	client := &http.Client{Timeout: limit}
	for _, url := range args {
		r, err := client.Get(url)
		if err != nil {
			words = append(words, name(err))
			continue
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			b = []byte(name(err))
		}
		words = append(words, string(b))
	}
	return strings.Join(words, " "), nil
}

// post uploads bytes that do not repeat soon.
func post(args []string) (string, error) {
	if len(args) != 2 {
		return "", errUsage
	}
	n, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	r, err := http.Post(args[0], "application/octet-stream", io.TeeReader(noise(n), sum))
	if err != nil {
		return name(err), nil
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return name(err), nil
	}
	if want := fmt.Sprintf("%d %x\n", n, sum.Sum(nil)[:8]); string(b) != want {
		return fmt.Sprintf("sent %q, arrived %q", want, b), nil
	}
	return "arrived", nil
}

// noise is n bytes, the same each time.
func noise(n int64) io.Reader { return io.LimitReader(&scramble{x: 1}, n) }

type scramble struct{ x uint64 }

func (s *scramble) Read(b []byte) (int, error) {
	for i := range b {
		if i%8 == 0 { // xorshift64
			s.x ^= s.x << 13
			s.x ^= s.x >> 7
			s.x ^= s.x << 17
		}
		b[i] = byte(s.x >> (i % 8 * 8))
	}
	return len(b), nil
}

// pour sends bytes while it reads them back, ends its half, and reads to the end.
func pour(args []string) (string, error) {
	if len(args) != 2 {
		return "", errUsage
	}
	n, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return "", err
	}
	c, err := connect("tcp", args[0])
	if err != nil {
		return name(err), nil
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	ended := make(chan error, 1)
	sent, got := sha256.New(), sha256.New()
	go func() {
		_, err := io.Copy(struct{ io.Writer }{c}, io.TeeReader(noise(n), sent))
		if half, ok := c.(interface{ CloseWrite() error }); ok {
			err = errors.Join(err, half.CloseWrite())
		}
		ended <- err
	}()
	back, err := io.Copy(got, struct{ io.Reader }{c})
	if err := errors.Join(err, <-ended); err != nil {
		fmt.Fprintln(os.Stderr, err, back)
		return name(err), nil
	}
	if back != n || string(got.Sum(nil)) != string(sent.Sum(nil)) {
		return fmt.Sprintf("%d of %d bytes came back", back, n), nil
	}
	return "came back", nil
}
