package servers

import (
	"bufio"
	"cmp"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/integration/setup"
	"github.com/mcpbox/mcpbox/policy"
)

// connects reads in the journal of the one run of a server where it got, and
// the rules that would have let it get further; each once, sorted.
func connects(t *testing.T, home, id string) (done, not []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(home, ".local/state/mcpbox/journal", id, "*.jsonl"))
	files = slices.DeleteFunc(files, func(name string) bool { return strings.Contains(name, ".messages.") })
	if err != nil || len(files) != 1 {
		t.Errorf("journals: %q, %v", files, err)
		return nil, nil
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for in.Scan() {
		var c struct {
			Event, Verdict, Name, Address, Allow string
			Port                                 int
		}
		if json.Unmarshal(in.Bytes(), &c) != nil || c.Event != "connect" {
			continue // of a run that goes on, the last line may be half of one
		}
		switch c.Verdict {
		case "connected":
			done = append(done, net.JoinHostPort(cmp.Or(c.Name, c.Address), strconv.Itoa(c.Port)))
		case "closed":
		case "refused":
			// Metadata services are not to be allowed by pasting a line.
			at := net.JoinHostPort(cmp.Or(c.Name, c.Address), strconv.Itoa(c.Port))
			not = append(not, cmp.Or(c.Allow, hint(at)))
		default:
			not = append(not, in.Text())
		}
	}
	slices.Sort(done)
	slices.Sort(not)
	return slices.Compact(done), slices.Compact(not)
}

// said reports whether mcpbox wrote on stderr that it refused something and, if
// rule is not empty, that rule would allow it; for a metadata service, which is
// not to be allowed by pasting a line, only the former.
func said(stderr, id, rule string) bool {
	for line := range strings.Lines(stderr) {
		refused, ok := strings.CutPrefix(line, "mcpbox: "+id+": refused ")
		words := strings.Fields(refused)
		at, err := netip.ParseAddrPort(rule)
		name := strings.TrimSuffix(rule, ":443")
		if ok && (err == nil && policy.IsMetadata(at.Addr()) || policy.IsMetadataName(name)) {
			if strings.Contains(refused, name) {
				return true
			}
			continue
		}
		if ok && (rule == "" || slices.Contains(words, rule) && slices.Contains(words, "--egress")) {
			return true
		}
	}
	return false
}

// traffic is what this network namespace has sent since it is there.
type traffic struct {
	connections int // that were begun, to whatever end
	datagrams   int
}

// sent reads the kernel's counters (RFC 4022, RFC 4113).
func sent(t *testing.T) traffic {
	t.Helper()
	counters := map[string]int{}
	for _, path := range []string{"/proc/self/net/snmp", "/proc/self/net/snmp6"} {
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) && strings.HasSuffix(path, "6") {
			continue // a kernel without IPv6
		}
		if err != nil {
			t.Fatal(err)
		}
		// snmp6 has a name and a number in each line; snmp has names in one,
		// behind that of the protocol, and numbers in the next.
		var names []string
		for line := range strings.Lines(string(text)) {
			words := strings.Fields(line)
			if len(words) == 2 {
				counters[words[0]], _ = strconv.Atoi(words[1])
				continue
			}
			for i, word := range words[1:] {
				if n, err := strconv.Atoi(word); err == nil {
					counters[words[0]+names[i+1]] = n
				}
			}
			names = words
		}
	}
	for _, name := range []string{"Tcp:ActiveOpens", "Udp:OutDatagrams"} {
		if _, ok := counters[name]; !ok {
			t.Fatalf("the kernel does not count %s", name)
		}
	}
	return traffic{counters["Tcp:ActiveOpens"], counters["Udp:OutDatagrams"] + counters["Udp6OutDatagrams"]}
}

// The counters go up for what they shall find.
func TestSentCounts(t *testing.T) {
	setup.Need(t, noNetwork == nil, "a network namespace of the test's own")
	before := sent(t)
	want := traffic{connections: 1}
	for _, at := range []string{"127.0.0.1:1", "[::1]:1"} {
		c, err := net.Dial("udp", at)
		if err != nil {
			t.Logf("%v: no IPv6 here?", err)
			continue
		}
		if _, err := c.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		c.Close()
		want.datagrams++
	}
	if _, err := net.Dial("tcp", "127.0.0.1:1"); err == nil {
		t.Error("somebody listens on port 1")
	}
	after := sent(t)
	same(t, "what was counted", want, traffic{after.connections - before.connections, after.datagrams - before.datagrams})
	if want.datagrams == 0 {
		t.Error("no datagram was sent")
	}
}
