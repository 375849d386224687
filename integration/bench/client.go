package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// task is what a client is asked to do, as the parameters of a request.
type task struct {
	Address string `json:"address"`
	Bytes   int64  `json:"bytes,omitempty"` // that come from there, or of a result
	Count   int    `json:"count,omitempty"` // of connections
}

// crowd is what became of connections that were made at once.
type crowd struct {
	Served  int     `json:"served"`
	Seconds float64 `json:"seconds"` // until the last one was
	Failure string  `json:"failure"` // of one that was not
}

// answerEveryLine is the server that runs in the boxes: it does what the method
// asks for, says what came of it, and gives any other request an empty result.
func answerEveryLine(in io.Reader, out io.Writer) error {
	var held []net.Conn
	defer func() { // at the end, for the garbage collector would close them, too
		for _, c := range held {
			c.Close()
		}
	}()
	texts := map[int64][]byte{}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var m struct {
			ID     json.RawMessage
			Method string
			Params task
		}
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return err
		}
		if m.ID == nil {
			continue
		}
		result, err := any(struct{}{}), error(nil)
		switch m.Method {
		case "initialize":
			result = json.RawMessage(`{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1"}}`)
		case "result":
			if texts[m.Params.Bytes] == nil {
				texts[m.Params.Bytes] = longText(m.Params.Bytes)
			}
			if err := longResult(out, m.ID, texts[m.Params.Bytes]); err != nil {
				return err
			}
			continue
		case "download":
			result, err = m.Params.download()
		case "connect":
			result, err = m.Params.connect()
		case "hold":
			result, held = m.Params.hold()
		}
		if err != nil { // no server would end by it, but a measurement does
			return fmt.Errorf("%s: %w", m.Method, err)
		}
		text, err := json.Marshal(result)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, `{"jsonrpc":"2.0","id":%s,"result":%s}`+"\n", m.ID, text); err != nil {
			return err
		}
	}
	return lines.Err()
}

// longText is the inside of a JSON string of this length: prose as programs have
// it, with line feeds, quotes, and letters beyond ASCII now and then.
func longText(size int64) []byte {
	const line = `    return fmt.Errorf(\"cannot read %s: %w\", path, err) // naïve, but it does for a line of usual length\n`
	return bytes.Repeat([]byte(line), int(size)/len(line)+1)
}

// longResult answers a request with a text.
func longResult(out io.Writer, id json.RawMessage, text []byte) error {
	for _, part := range [][]byte{[]byte(`{"jsonrpc":"2.0","id":` + string(id) + `,"result":{"content":[{"type":"text","text":"`), text, []byte(`"}]}}` + "\n")} {
		if _, err := out.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// patience is how long anything in the network may take that does not move
// gigabytes.
const patience = 20 * time.Second

func (t task) dial() (net.Conn, error) { return net.DialTimeout("tcp", t.Address, patience) }

// download reads until the other side ends, and returns the time from the
// beginning of the connection, in seconds.
func (t task) download() (float64, error) {
	began := time.Now()
	c, err := t.dial()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	var sum int64
	buf := make([]byte, blockSize)
	for {
		n, err := c.Read(buf)
		sum += int64(n)
		switch {
		case err == io.EOF && sum == t.Bytes:
			return time.Since(began).Seconds(), nil
		case err == io.EOF:
			return 0, fmt.Errorf("%d bytes came instead of %d", sum, t.Bytes)
		case err != nil:
			return 0, err
		}
	}
}

// connect makes connections one after the other, each until its first byte has
// come, and returns how long that took, in seconds.
func (t task) connect() ([]float64, error) {
	var times []float64
	for range t.Count {
		began := time.Now()
		c, err := t.dial()
		if err != nil {
			return nil, err
		}
		_, err = io.ReadFull(c, make([]byte, 1))
		times = append(times, time.Since(began).Seconds())
		c.Close()
		if err != nil {
			return nil, err
		}
	}
	return times, nil
}

// hold makes connections all at once, has something sent to and fro on each, and
// returns them open.
func (t task) hold() (r crowd, held []net.Conn) {
	var all sync.WaitGroup
	held = make([]net.Conn, t.Count)
	failures := make([]error, t.Count)
	began := time.Now()
	for i := range t.Count {
		all.Go(func() {
			c, err := t.dial()
			if err == nil {
				err = use(c)
			}
			held[i], failures[i] = c, err
		})
	}
	all.Wait()
	r.Seconds = time.Since(began).Seconds()
	for _, err := range failures {
		if err == nil {
			r.Served++
		} else {
			r.Failure = err.Error()
		}
	}
	return r, slices.DeleteFunc(held, func(c net.Conn) bool { return c == nil })
}

// use lets the other side repeat what it is told.
func use(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		return err
	}
	sent := make([]byte, 64<<10)
	for i := range sent {
		sent[i] = byte(rand.Uint32())
	}
	go c.Write(sent) // an error shows as one of the reading below
	came := make([]byte, len(sent))
	if _, err := io.ReadFull(c, came); err != nil {
		return err
	}
	if !bytes.Equal(came, sent) {
		return errors.New("something else came back")
	}
	return c.SetDeadline(time.Time{})
}
