package servers

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// connects reads in the journal of the one run of a server where it got, and
// the rules that would have let it get further; each once, sorted.
func connects(t *testing.T, home, id string) (done, not []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(home, ".local/state/mcpbox/journal", id, "*.jsonl"))
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
			done = append(done, net.JoinHostPort(c.Name, strconv.Itoa(c.Port)))
		case "closed":
		case "refused":
			not = append(not, c.Allow)
		default:
			not = append(not, in.Text())
		}
	}
	slices.Sort(done)
	slices.Sort(not)
	return slices.Compact(done), slices.Compact(not)
}

// said reports whether mcpbox wrote on stderr that it refused something and, if
// rule is not empty, that rule would allow it.
func said(stderr, id, rule string) bool {
	for line := range strings.Lines(stderr) {
		refused, ok := strings.CutPrefix(line, "mcpbox: "+id+": refused ")
		words := strings.Fields(refused)
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
	need(t, noNetwork == nil, "no network namespace of the test's own")
	before := sent(t)
	for _, network := range []string{"udp4", "udp6", "tcp4"} {
		address := "127.0.0.1:1"
		if network == "udp6" {
			address = "[::1]:1"
		}
		c, err := net.Dial(network, address)
		if err == nil {
			_, err = c.Write([]byte("x"))
			c.Close()
		}
		if refused := network == "tcp4"; refused != (err != nil) {
			t.Errorf("%s: %v", network, err)
		}
	}
	after := sent(t)
	if got := (traffic{after.connections - before.connections, after.datagrams - before.datagrams}); got != (traffic{1, 2}) {
		t.Errorf("a connection and two datagrams were counted as %+v", got)
	}
}
