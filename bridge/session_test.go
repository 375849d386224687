package bridge

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

// Progress of a task goes on after the response that announced it, until the
// task has ended.
func TestTaskProgress(t *testing.T) {
	j := conversation(t, "")
	progress := `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1}}`
	stray := func(want bool) {
		t.Helper()
		if got := j.toHost.pass([]byte(progress)) == nil; got != want {
			t.Fatalf("stray is %v, want %v", got, want)
		}
	}
	stray(true)
	j.passes(&j.toServer, `{"jsonrpc":"2.0","id":50,"method":"tools/call","params":{"name":"t","task":{"ttl":1},"_meta":{"progressToken":"t"}}}`)
	stray(false)
	j.passes(&j.toHost, `{"jsonrpc":"2.0","id":50,"result":{"task":{"taskId":"x","status":"working"}}}`)
	stray(false)
	j.passes(&j.toServer, `{"jsonrpc":"2.0","id":51,"method":"tasks/get","params":{"taskId":"x"}}`)
	j.passes(&j.toHost, `{"jsonrpc":"2.0","id":51,"result":{"taskId":"x","status":"working"}}`)
	stray(false)
	j.passes(&j.toHost, `{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{"taskId":"x","status":"completed"}}`)
	stray(true)
}

// However long a conversation is, what is remembered of it is bounded.
func TestMemoryIsBounded(t *testing.T) {
	j := conversation(t, "")
	for i := range 20 * remembered {
		id := string(rune('a'+i%26)) + string(quote(string(rune(0x4e00 + i)))[1:])
		j.passes(&j.toServer, `{"jsonrpc":"2.0","id":"`+id+`,"method":"tools/call","params":{"name":"t","_meta":{"progressToken":"`+id+`}}}`)
		switch i % 3 {
		case 0:
			j.passes(&j.toHost, `{"jsonrpc":"2.0","id":"`+id+`,"result":{"task":{"taskId":"`+id+`}}}`)
		case 1:
			j.passes(&j.toServer, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"`+id+`}}`)
		default:
			j.passes(&j.toHost, `{"jsonrpc":"2.0","id":"`+id+`,"error":{"code":1,"message":"no"}}`)
		}
	}
	s := j.session
	for name, n := range map[string]int{
		"done": len(s.host.done.m), "withdrawn": len(s.withdrawn.m), "tasks": len(s.tasks.m), "task tokens": len(s.taskTokens.m),
	} {
		if n == 0 || n > remembered {
			t.Errorf("%s: %d entries", name, n)
		}
	}
	if len(s.host.open) > 10 || len(s.tokens) > 10 {
		t.Errorf("%d calls and %d tokens are left", len(s.host.open), len(s.tokens))
	}
}

// An id that the host uses again is answered once, although the answer to a call
// that was cancelled may come.
func TestCancelledIDAgain(t *testing.T) {
	j := conversation(t, "")
	call := `{"jsonrpc":"2.0","id":60,"method":"tools/call","params":{"name":"t"}}`
	answer := `{"jsonrpc":"2.0","id":60,"result":{"content":[]}}`
	j.passes(&j.toServer, call)
	j.passes(&j.toServer, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":60}}`)
	j.passes(&j.toServer, call)
	j.passes(&j.toHost, answer)
	if out := j.toHost.pass([]byte(answer)); out != nil {
		t.Errorf("a second answer has passed: %s", out)
	}
}

// A cancellation that the host does not get has cancelled nothing.
func TestCancellationKeptBack(t *testing.T) {
	j := conversation(t, "26")
	before := j.Waiting()
	if out := j.toHost.pass([]byte(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":4,"Reason":"x"}}`)); out != nil {
		t.Fatalf("it has passed: %s", out)
	}
	if now := j.Waiting(); now != before {
		t.Errorf("%d calls wait; before there were %d", now, before)
	}
	j.passes(&j.toHost, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":4}}`)
	if now := j.Waiting(); now != before-1 {
		t.Errorf("%d calls wait after a cancellation; before there were %d", now, before)
	}
}

// What a line can make mcpbox hold is bounded by more than the line's length.
func TestLongPartsAreNotHeld(t *testing.T) {
	long := strings.Repeat("x", maxMethod)
	for line, passes := range map[string]bool{
		`{"jsonrpc":"2.0","id":70,"method":"` + long + `"}`:                                                   true,
		`{"jsonrpc":"2.0","id":71,"method":"` + long + `y"}`:                                                  false,
		`{"jsonrpc":"2.0","method":"` + long + `\u0079"}`:                                                     false,
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":["` + long + long + `"]}}`: false,
	} {
		j := conversation(t, "")
		if out := j.toHost.pass([]byte(line)); (out != nil) != passes {
			t.Errorf("%.60s: passes: %v", line, out != nil)
		}
		for _, e := range j.events {
			if n := len(e.Method) + len(e.ID) + len(e.Detail); n > 2*maxMethod {
				t.Errorf("%.60s: an observer is told %d bytes", line, n)
			}
		}
	}
	j := conversation(t, "")
	j.passes(&j.toServer, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":["`+long+`"]}}`)
	if e := j.events[0]; e.ID != "" {
		t.Errorf("what is no id is told as one: %.60s", e.ID)
	}
}

// A line of very many small values takes no more room than it has bytes, whether it
// is a batch or not.
func TestManyElements(t *testing.T) {
	for era, rule := range map[string]string{"": ruleBatch, "03": ruleBatch} {
		j := conversation(t, era)
		line := []byte("[" + strings.Repeat("1,", 1<<20) + "1]")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out := j.toHost.pass(line)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(2*len(line)) {
			t.Errorf("era %q: a line of %d bytes took %d", era, len(line), n)
		}
		if out != nil || len(j.events) != 1 || j.events[0].Rule != rule {
			t.Errorf("era %q: %.20s, %d events, the first by %s", era, out, len(j.events), j.events[0].Rule)
		}
	}
	j := conversation(t, "03")
	one := `{"jsonrpc":"2.0","method":"notifications/x"}`
	j.passes(&j.toHost, "["+strings.Repeat(one+",", maxElements-1)+one+"]")
	if out := j.toHost.pass([]byte("[" + strings.Repeat(one+",", maxElements) + one + "]")); out != nil {
		t.Errorf("a batch of %d messages has passed", maxElements+1)
	}
}

// Neither side can have any number of requests wait, nor a client withdraw
// initialize, which "MUST NOT be cancelled".
func TestRequestsAreBounded(t *testing.T) {
	j := conversation(t, "")
	request := func(p *pump, id int) bool {
		return p.pass(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":"r%d","method":"ping"}`, id)) != nil
	}
	for _, side := range []struct {
		p    *pump
		most int
		open func() int
	}{
		{&j.toServer, maxCalls, j.Waiting},
		{&j.toHost, maxAsked, func() int { return len(j.session.server.open) }},
	} {
		n := side.open()
		for ; n < side.most; n++ {
			if !request(side.p, n) {
				t.Fatalf("%s: request %d of %d is refused", side.p.dir, n, side.most)
			}
		}
		if request(side.p, n) || j.events[len(j.events)-1].Rule != ruleMany || side.open() != side.most {
			t.Errorf("%s: one more than %d has passed", side.p.dir, side.most)
		}
	}
}

func TestInitializeIsNotCancelled(t *testing.T) {
	j := conversation(t, "")
	before := j.Waiting()
	j.passes(&j.toServer, `{"jsonrpc":"2.0","id":"again","method":"initialize","params":{}}`)
	j.passes(&j.toServer, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"again"}}`)
	if now := j.Waiting(); now != before+1 {
		t.Errorf("%d calls wait, and before there were %d", now, before)
	}
	if !j.Fail("\"again\"", errGone) || strings.Contains(string(j.serverIn.queue), "cancelled") {
		t.Errorf("the server is told that it was: %s", j.serverIn.queue)
	}
}

// What a server has not read is answered, and what it has read is not.
func TestGiveUpNewer(t *testing.T) {
	j := conversation(t, "")
	j.passes(&j.toServer, `{"jsonrpc":"2.0","id":80,"method":"ping"}`)
	read := j.session.newest()
	j.passes(&j.toServer, `{"jsonrpc":"2.0","id":82,"method":"ping"}`)
	j.giveUp(errShut, nil, read)
	if got := errorsOf(t, j.hostOut); got != "82:-31005" {
		t.Errorf("answered: %s", got)
	}
}

// A request of the server's that an inspector refuses waits for nothing.
func TestRefusedRequestDoesNotWait(t *testing.T) {
	j := conversation(t, "")
	before := len(j.session.server.open)
	j.cfg.Inspectors = []Inspector{&refuser{"roots/list"}}
	if out := j.toHost.pass([]byte(`{"jsonrpc":"2.0","id":5,"method":"roots/list"}`)); out != nil {
		t.Fatalf("it has passed: %s", out)
	}
	if n := len(j.session.server.open); n != before {
		t.Errorf("%d requests wait; before there were %d", n, before)
	}
	if out := j.toServer.pass([]byte(`{"jsonrpc":"2.0","id":5,"result":{"roots":[]}}`)); out != nil {
		t.Errorf("an answer to it has passed: %s", out)
	}
}

// Once the server has closed its input, what is asked of it is answered at once.
func TestShutInput(t *testing.T) {
	j := conversation(t, "")
	j.toServer.shut = true
	before := j.Waiting()
	if out := j.toServer.pass([]byte(`{"jsonrpc":"2.0","id":83,"method":"ping"}`)); out != nil {
		t.Errorf("%s was passed on", out)
	}
	if got := errorsOf(t, j.hostOut); got != "83:-31005" || j.Waiting() != before {
		t.Errorf("answered: %s; %d calls wait, %d before", got, j.Waiting(), before)
	}
}

// Behind a line that could be written in part only, nothing is written: it would be
// the end of that line for who reads.
func TestTornLine(t *testing.T) {
	dst := &tearing{}
	o := newOutlet(dst, new(atomic.Int64), new(atomic.Int64))
	if err := o.write([]byte("{\"a\":1}\n")); err == nil {
		t.Fatal("the write did not fail")
	}
	if err := o.write([]byte("{\"b\":2}\n")); err == nil || dst.got != "{\"a" {
		t.Errorf("%v; written: %q", err, dst.got)
	}
}

// tearing takes three bytes of the first write, and all of the others.
type tearing struct{ got string }

func (w *tearing) Write(b []byte) (int, error) {
	if w.got == "" {
		w.got = string(b[:3])
		return 3, errors.New("no room")
	}
	w.got += string(b)
	return len(b), nil
}

// Once Run has returned, the host gets nothing of the server's any more.
func TestNothingForTheHostAfterTheEnd(t *testing.T) {
	j := conversation(t, "")
	out := &tearing{got: "-"}
	j.toHost.dst = newOutlet(out, new(atomic.Int64), new(atomic.Int64))
	if err := j.toHost.write([]byte("a\n"), 1, 0); err != nil {
		t.Fatal(err)
	}
	j.ended.Store(true)
	if err := j.toHost.write([]byte("b\n"), 1, 0); !errors.Is(err, errEnded) || out.got != "-a\n" {
		t.Errorf("%v; the host got %q", err, out.got)
	}
}
