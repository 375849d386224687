package egress

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// listening are the local addresses of this network namespace's sockets that
// wait for somebody, as the kernel prints them.
func listening(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet", "udplite"} {
		b, err := os.ReadFile("/proc/self/net/" + table)
		if err != nil {
			continue
		}
		for i, line := range slices.Collect(strings.Lines(string(b))) {
			f := strings.Fields(line)
			switch {
			case i == 0 || len(f) < 4:
			case strings.HasPrefix(table, "tcp") && f[3] != "0A":
			case table == "packet":
				list = append(list, table)
			default:
				list = append(list, table+" "+f[1])
			}
		}
	}
	slices.Sort(list)
	return list
}

// T-E13: the launcher listens to nobody on the host.
func TestNoListeners(t *testing.T) {
	eachBox(t, func(t *testing.T, w *world, a account) {
		before := listening(t)
		if !slices.ContainsFunc(before, func(s string) bool { return strings.HasPrefix(s, "tcp 0100007F:1F41") }) {
			t.Fatalf("127.0.0.1:8001 is not among %q: this sees nothing", before)
		}
		r := row{rules: []string{"tcp://good.example.com:7000", "*.cdn.example.net:443", "10.20.0.0/16:80"}}
		cmd, journal := w.box(t, a, r, a.file(w, "probe"), "hold", "good.example.com:7000")
		s := start(t, cmd)
		s.line()
		if during := listening(t); !slices.Equal(before, during) {
			t.Errorf("before %q\nduring %q", before, during)
		}
		s.end()
		journal()
	})
}

// E15: what the server listens on is its own. Neither the host nor another box
// reaches it, at any address.
func TestNotPublished(t *testing.T) {
	eachBox(t, func(t *testing.T, w *world, a account) {
		serve := []string{"{probe}", "serve", "0.0.0.0:4321"}
		dial := []string{"{probe}", "dial", "tcp", "127.0.0.1:4321", hostLAN + ":4321", "0.0.0.0:4321"}
		host := a // as whom, but in no box
		host.in = nil
		const refused = "ECONNREFUSED ECONNREFUSED ECONNREFUSED"

		bare := start(t, a.command(w, w.args(t, host, serve, "")...))
		bare.line()
		outside := w.args(t, host, dial, "")
		if got := run(t, a.command(w, outside...)); got.outcome() != "connected connected connected" {
			t.Errorf("bare: %q", got.outcome())
		}
		bare.end()

		cmd, journal := w.box(t, a, row{rules: []string{"good.example.com:443"}}, w.args(t, a, serve, "")...)
		s := start(t, cmd)
		if line := s.line(); line != "4321" {
			t.Fatalf("%q: %s", line, s.stderr())
		}
		if got := run(t, a.command(w, outside...)); got.outcome() != refused {
			t.Errorf("from the host: %q", got.outcome())
		}
		other, _ := w.box(t, a, row{}, w.args(t, a, dial, "")...)
		if got := run(t, other); got.outcome() != refused {
			t.Errorf("from another box: %q", got.outcome())
		}
		s.end()
		journal()
	})
}

// TestRights is the control of the rows that change the network: with every
// right in a namespace, the same commands succeed.
func TestRights(t *testing.T) {
	w := needWorld(t)
	for verb, want := range map[string]string{
		"route": "done", "unroute": "done", "link": "done", "sysctl": "done",
		"tun": "done|ENOENT|EACCES", "nft": "done|EPROTONOSUPPORT", // which not every kernel has, or everybody may open
	} {
		t.Run(verb, func(t *testing.T) {
			if got := run(t, w.rightful(verb)); !matches(want, got.outcome()) {
				t.Errorf("%q, want %q: %s", got.outcome(), want, got.stderr)
			}
		})
	}
}

// TestRecords looks at a journal in full: what was connected, with how much, and
// why what was refused was.
func TestRecords(t *testing.T) {
	eachBox(t, func(t *testing.T, w *world, a account) {
		r := row{rules: []string{"good.example.com:80", "*.cdn.example.net:443"}, run: []string{"sh", "-c",
			"curl -sS -o /dev/null http://good.example.com/bytes/1000; {probe} dial tcp good.example.com:22 a.cdn.example.net:80 [2606:4700::1]:443; curl -sS -o /dev/null --connect-to good.example.com:443:a.cdn.example.net:443 https://good.example.com/; true"}}
		got := w.boxed(t, a, r, "")
		want := []record{
			{Verdict: "connected", Proto: "tcp", Name: "good.example.com", Address: addressGood, Port: 80, Rule: "good.example.com:80"},
			{Verdict: "closed", Proto: "tcp", Name: "good.example.com", Address: addressGood, Port: 80, Rule: "good.example.com:80"},
			{Verdict: "refused", Proto: "tcp", Name: "good.example.com", Port: 22, Reason: "no rule allows it", Allow: "good.example.com:22"},
			{Verdict: "refused", Proto: "tcp", Name: "a.cdn.example.net", Port: 80, Reason: "no rule allows it", Allow: "a.cdn.example.net:80"},
			{Verdict: "refused", Proto: "tcp", Address: "2606:4700::1", Port: 443, Reason: "no rule allows it", Allow: "[2606:4700::1]:443"},
			{Verdict: "refused", Proto: "tcp", Name: "a.cdn.example.net", Port: 443, Rule: "*.cdn.example.net:443", Reason: `TLS server name`},
		}
		records := got.records(t)
		for _, r := range want {
			if !slices.ContainsFunc(records, func(c record) bool {
				ok := c.Verdict != "closed" || c.Sent > 20 && c.Received > 1000 && c.Received < 1500
				ok = ok && strings.Contains(c.Reason, r.Reason)
				c.Event, c.Sent, c.Received, c.Count, c.Reason = "", 0, 0, 0, r.Reason
				return c == r && ok
			}) {
				t.Errorf("no record %+v among\n%s", r, got.connections())
			}
		}
	})
}

// TestWatch is the control of every empty list of what was heard: the watch
// hears of each kind of packet, wherever it goes.
func TestWatch(t *testing.T) {
	w := needWorld(t)
	for to, want := range map[string]string{
		"tcp 1.2.3.4:5": "tcp 1.2.3.4:5", "tcp [2001:db8::1]:5": "tcp [2001:db8::1]:5", "tcp 169.254.169.254:80": "tcp 169.254.169.254:80",
		"udp 1.2.3.4:5": "udp 1.2.3.4:5", "udp [2001:db8::1]:5": "udp [2001:db8::1]:5", "tcp 127.0.0.1:5": "tcp 127.0.0.1:5",
		"udp 127.0.0.1:5": "udp 127.0.0.1:5", "tcp [::1]:5": "tcp [::1]:5", "tcp " + hostPublic + ":5": "tcp card:5",
		"ip4:icmp 1.2.3.4": "ping 1.2.3.4:0", "ip4:132 1.2.3.4": "protocol 132 1.2.3.4",
	} {
		w.watch.forget()
		network, address, _ := strings.Cut(to, " ")
		c, err := net.DialTimeout(network, address, 3*time.Second)
		if err == nil {
			_, _ = c.Write([]byte{8, 0, 0, 0, 0, 0, 0, 1})
			c.Close()
		}
		heard, err := w.watch.report()
		if err != nil || !slices.Contains(heard.events, want) {
			t.Errorf("%s: heard %q, want %q: %v", to, heard.events, want, err)
		}
	}
}
