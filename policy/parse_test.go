package policy

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	p, err := Parse("/etc/p.toml", []byte(`# a policy
profile = "node"
unix_sockets = "host"
[files]
read = [ "~/a", # the first
  "~/b\"]", '~/c',

  """~/d""",
]
write = ["/w"]
sockets = ["/run/x"]
noexec_tmp = false
staged = true
[env]
pass = ["A", "B_2"]
set.C = "x"
set.D = "y"
[network]
mode = "filtered"
allow = ["api.github.com:443",
  "tcp://DB.example.com.:5432", '10.0.0.5/32:5432']
proxy = "http://ann:s%40crypt@proxy.example:3128"
ech = "allow"
[limits]
memory = "1GiB"
cpus = 2
disk = "3GiB"
require = "cgroup"
pids = 7
tmp = "1GB"
message = 65536
egress_bytes = "1GiB"
staged = "1MiB"
call_timeout = "90s"
start_timeout = "1h30m"
idle_cpu = "2s"
rate = 10
stderr = "64KiB"
restarts = 3
[runaway]
call_timeout = "kill"
start_timeout = "freeze"
idle_cpu = "cancel"
rate = "report"
stderr = "kill"
restarts = "kill"
[journal]
max = "1MiB"
keep = "1GiB"
full = "continue"
bodies = "full"
`))
	if err != nil {
		t.Fatal(err)
	}
	in := func(line int) Origin { return Origin{File: "/etc/p.toml", Line: line} }
	no, yes := false, true
	want := &Policy{
		Profile: "node", UnixSockets: SocketsHost, Sources: []string{"/etc/p.toml"},
		Files: Files{
			Read:    []Path{{"~/a", in(5)}, {`~/b"]`, in(6)}, {"~/c", in(6)}, {"~/d", in(8)}},
			Write:   []Path{{"/w", in(10)}},
			Sockets: []Path{{"/run/x", in(11)}}, NoexecTmp: &no, Staged: &yes,
		},
		Env: Env{Pass: []string{"A", "B_2"}, Set: map[string]string{"C": "x", "D": "y"}},
		Network: Network{
			Mode: NetworkFiltered, ECH: ECHAllow,
			Allow: []Rule{
				{Text: "api.github.com:443", Origin: in(20), Name: "api.github.com", Ports: []PortRange{{443, 443}}},
				{Text: "tcp://DB.example.com.:5432", Origin: in(21), Raw: true, Name: "db.example.com", Ports: []PortRange{{5432, 5432}}},
				{Text: "10.0.0.5/32:5432", Origin: in(21), Raw: true, Prefix: netip.MustParsePrefix("10.0.0.5/32"), Ports: []PortRange{{5432, 5432}}},
			},
			Proxy: &Proxy{"proxy.example", 3128, "ann", "s@crypt"},
		},
		Limits: Limits{Memory: 1 << 30, CPUs: 2, Disk: 3 << 30, Require: RequireCgroup, Pids: 7, Tmp: 1e9, Message: 65536, Egress: 1 << 30, Staged: 1 << 20},
		Runaway: Runaway{
			90 * time.Second, 90 * time.Minute, 2 * time.Second, 10, 64 << 10, 3,
			ActionKill, ActionFreeze, ActionCancel, ActionReport, ActionKill, ActionKill,
		},
		Journal: Journal{Max: 1 << 20, Keep: 1 << 30, Full: FullContinue, Bodies: BodyFull},
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
}

// TestParseErrors: each policy is refused with these words.
func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ toml, want string }{
		{"[files]\nwrit = []", `p.toml:2: unknown key "files.writ"; did you mean "files.write"?`},
		{"[file]\nread = []", `p.toml:1: unknown key "file"; did you mean "files"?`},
		{"\n[world]\nallow = []", `p.toml:2: unknown key "world"; known here: backend, env, files, home, image, journal, limits, network, packages, profile, runaway, runtime, unix_sockets`},
		{"network.deny = []", `p.toml:1: unknown key "network.deny"`},
		{"network = 'none'", `p.toml:1: network has to be a table`},
		{"[network]\nmode = 'host'", `p.toml:2: network.mode cannot be "host"; it has to be "filtered" or "none"`},
		{"[network]\nmode = true", `p.toml:2: network.mode has to be "filtered" or "none"`},
		{"[network]\nech = 'grease'", `p.toml:2: network.ech cannot be "grease"; it has to be "deny" or "allow"`},
		{"[network]\nech = false", `p.toml:2: network.ech has to be "deny" or "allow"`},
		{"[network]\nallow = 'a.example:443'", `p.toml:2: network.allow has to be a list of strings, such as ["api.github.com:443"]`},
		{"[network]\nallow = [443]", `p.toml:2: network.allow has to be a list of strings`},
		{"[network]\nallow = [\n'a.example:443',\n'b.example',\n]", `p.toml:4: network rule "b.example": there is no port; write b.example:443`},
		{"[network]\nallow = ['*:443', # one\n'a.example:0']", `p.toml:3: network rule "a.example:0": `},
		{"[network]\nproxy = 3128", `p.toml:2: network.proxy has to be a string, such as "http://proxy.example:3128"`},
		{"[network]\nproxy = 'socks5://p.example:1080'", `p.toml:2: network.proxy: a proxy is spoken to in plain HTTP, and not by socks5; write http://`},
		{"[limits]\negress_bytes = 0", `p.toml:2: limits.egress_bytes has to be from 1B to 1024TiB`},
		{"[limits]\negress_bytes = '2 lots'", `p.toml:2: limits.egress_bytes cannot be "2 lots"`},
		{"[journal]\nmax = '1KiB'", `p.toml:2: journal.max has to be from 1MiB to 1TiB`},
		{"[journal]\nfull = 'ignore'", `p.toml:2: journal.full cannot be "ignore"; it has to be "stop" or "continue"`},
		{"[journal]\nbodies = true", `p.toml:2: journal.bodies has to be "none", "digest" or "full"`},
		{"[journal]\nkept = '1GiB'", `p.toml:2: unknown key "journal.kept"; did you mean "journal.keep"?`},
		{"[tools]\ndeny = []", `unknown key "tools"`},
		{"\nbackend = 'docker'", `p.toml:2: backend cannot be "docker"; it has to be "native" or "containerd"`},
		{"backend = true", `p.toml:1: backend has to be "native" or "containerd"`},
		{"runtime = 'crun'", `p.toml:1: runtime cannot be "crun"; it has to be "runc" or "runsc"`},
		{"image = 7", `p.toml:1: image has to be a string: the reference of an OCI image`},
		{"image = ''", `p.toml:1: image cannot be "": take the line out`},
		{"\n\nimage = 'a b'", `p.toml:3: image cannot be "a b": a reference has only printable ASCII characters`},
		{"image = '-all'", `a reference does not start with a dash`},
		{"[env]\nimage = 'NODE_ENV'", `p.toml:2: env.image has to be a list of strings`},
		{"[env]\nimage = [\n'NODE_*']", `p.toml:3: env.image: "NODE_*" is not the name of a variable, nor "*"`},
		{"[env]\nimage = ['HOME']", `p.toml:2: env.image: "HOME" tells about the box, and no image can set it; write it into env.set`},
		{"[files]\nvolumes = [\n'/data',\n'cache']", `p.toml:4: files.volumes: "cache" has to be an absolute path inside the image`},
		{"[files]\nvolumes = ['/data/../etc']", `has to be an absolute path inside the image, without . and ..`},
		{"[files]\nvolumes = ['/proc/self']", `p.toml:2: files.volumes: "/proc/self" lies in /proc, which is the kernel's`},
		{"[files]\nvolumes = ['/']", `p.toml:2: files.volumes: "/" is the whole image, which is read-only; name directories in it`},
		{"[limits]\ncall_timeout = 5", `p.toml:2: limits.call_timeout has to be a time, such as "90s" or "5m"`},
		{"[limits]\ncall_timeout = '5'", `p.toml:2: limits.call_timeout cannot be "5"; it has to be a time, such as "90s" or "5m"`},
		{"[limits]\ncall_timeout = '-5s'", `p.toml:2: limits.call_timeout has to be from 10ms to 8760h0m0s`},
		{"[runaway]\nrate = 'shoot'", `p.toml:2: runaway.rate cannot be "shoot"; it has to be "report", "cancel", "freeze" or "kill"`},
		{"[runaway]\nrestarts = 'freeze'", `p.toml:2: runaway.restarts cannot be "freeze"; it has to be "report" or "kill"`},
		{"[runaway]\nspin = 'kill'", `p.toml:2: unknown key "runaway.spin"`},
		{"[limits]\nmemory = '1MiB'", `p.toml:2: limits.memory has to be from 32MiB to 16TiB`},
		{"[limits]\nmemory = 'half'", `p.toml:2: limits.memory cannot be "half"`},
		{"[limits]\ncpus = 0", `p.toml:2: limits.cpus has to be from 0.01 to 8192`},
		{"[limits]\ncpus = -1.5", `limits.cpus has to be from`},
		{"[limits]\ncpus = nan", `limits.cpus has to be from`},
		{"[limits]\ncpus = inf", `limits.cpus has to be from`},
		{"[limits]\ncpus = '2'", `p.toml:2: limits.cpus has to be a number of processors`},
		{"[limits]\ndisk = 0", `p.toml:2: limits.disk has to be from 1MiB to 1024TiB`},
		{"[limits]\nrequire = 'systemd'", `p.toml:2: limits.require cannot be "systemd"; it has to be "cgroup", or left out`},
		{"[limits]\nrequire = true", `p.toml:2: limits.require has to be "cgroup"`},
		{"[limits]\nmemroy = '1GiB'", `p.toml:2: unknown key "limits.memroy"; did you mean "limits.memory"?`},
		{"[files]\nREAD = []", `p.toml:2: unknown key "files.READ"`},
		{"[files]\nread = '~/x'", `p.toml:2: files.read has to be a list of strings`},
		{"[files]\nread = [1]", `p.toml:2: files.read has to be a list of strings`},
		{"[files]\nread = [['a']]", `p.toml:2: files.read has to be a list of strings`},
		{"[[files]]\nread = []", `p.toml:1: files has to be a table`},
		{"files = 1", `p.toml:1: files has to be a table`},
		{"[files]\nstaged = 'yes'", `p.toml:2: files.staged has to be true or false`},
		{"[files]\nnoexec_tmp = 'yes'", `p.toml:2: files.noexec_tmp has to be true or false`},
		{"profile = 1", `p.toml:1: profile has to be a string`},
		{"profile = ''", `p.toml:1: profile cannot be empty`},
		{"unix_sockets = true", `p.toml:1: unix_sockets has to be "none", "private" or "host"`},
		{"unix_sockets = 'all'", `p.toml:1: unix_sockets cannot be "all"`},
		{"[packages]\nscripts = [\n'@s/ok',\n'--x']", `p.toml:4: packages.scripts: "--x" is not the name of a package`},
		{"[packages]\nunsigned = ['a b']", `p.toml:2: packages.unsigned: "a b" is not the name of a package`},
		{"[env]\npass = [\n'OK',\n'A-B']", `p.toml:4: env.pass: "A-B" is not the name of a variable`},
		{"[env]\npass = ['A=B']", `"A=B" is not the name`},
		{"[env]\npass = ['']", `"" is not the name`},
		{"[env]\nset = 1", `p.toml:2: env.set has to be a table`},
		{"[env]\nset = []", `p.toml:2: env.set has to be a table`},
		{"[env]\nset = { A = 1 }", `p.toml:2: env.set has to be a table of strings`},
		{"[env]\nset = { 1A = 'x' }", `"1A" is not the name`},
		{"[env]\nset = { A = \"\\u0000\" }", `NUL`},
		{"[limits]\npids = 0", `p.toml:2: limits.pids has to be from 1 to`},
		{"[limits]\npids = -1", `from 1 to`},
		{"[limits]\npids = 2.5", `p.toml:2: limits.pids has to be a number`},
		{"[limits]\npids = '10'", `limits.pids has to be a number`},
		{"[limits]\ntmp = '1 lot'", `p.toml:2: limits.tmp cannot be "1 lot"`},
		{"[limits]\ntmp = '-1MiB'", `limits.tmp cannot be "-1MiB"`},
		{"[limits]\ntmp = 1", `limits.tmp has to be from 64KiB to 1TiB`},
		{"[limits]\nmessage = '1EiB'", `limits.message cannot be`},
		{"[limits]\nmessage = '99999999999999GiB'", `limits.message cannot be`},
		{"[limits]\npids = 1\npids = 2", `p.toml:3: `},
		{"[files", `p.toml:1: `},
		{"a = \xff", `p.toml:1: `},
		{"[limits]\npids = 0\nbogus = 1\n[files]\nred = []", "bogus"},
	} {
		p, err := Parse("p.toml", []byte(c.toml))
		if err == nil {
			t.Errorf("%q is accepted: %+v", c.toml, p)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v\nwant %s", c.toml, err, c.want)
		}
	}
	if _, err := Parse("p.toml", make([]byte, maxPolicy+1)); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("a huge policy: %v", err)
	}
	_, err := Parse("p.toml", []byte("[limits]\npids = 0\nbogus = 1\n[files]\nred = []"))
	var lines []string
	for line := range strings.Lines(err.Error()) {
		lines = append(lines, line[:8])
	}
	if got := strings.Join(lines, " "); got != "p.toml:2 p.toml:3 p.toml:5" {
		t.Errorf("all errors, in order: %v", err)
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "17": 17, "17B": 17, "1kB": 1000, "1KB": 1000, "1KiB": 1024, "256MiB": 256 << 20, "3 GiB": 3 << 30, "1TB": 1e12,
		"": -1, "B": -1, "MiB": -1, "1.5GiB": -1, "-1": -1, "+1": -1, "1e3": -1, " 1": -1, "1M": -1, "0x10": -1, "9999999999TiB": -1,
	} {
		n, ok := ParseSize(s)
		if !ok {
			n = -1
		}
		if n != want {
			t.Errorf("ParseSize(%q) = %d, want %d", s, n, want)
		}
		if ok {
			if back, ok := ParseSize(FormatSize(n)); !ok || back != n {
				t.Errorf("ParseSize(FormatSize(%d)) = %d", n, back)
			}
		}
	}
}

func TestExtend(t *testing.T) {
	yes, no := true, false
	base := &Policy{
		Profile: "a", Why: "because", UnixSockets: SocketsPrivate,
		Files: Files{Read: []Path{{Text: "/1"}, {Text: "/2"}}, Hide: []Path{{Text: "/h"}}, NoexecTmp: &yes, Staged: &yes},
		Env:   Env{Pass: []string{"A"}, Set: map[string]string{"B": "1", "C": "1"}},
		Network: Network{
			Mode: NetworkNone, ECH: ECHAllow, Proxy: &Proxy{Host: "1.example", Port: 1},
			Allow: []Rule{mustRule("a.example:443"), mustRule("b.example:443")},
		},
		Limits:  Limits{Pids: 1, Tmp: 2, Egress: 4, Staged: 5},
		Runaway: Runaway{1, 2, 3, 4, 5, 6, "a", "b", "c", "d", "e", "f"},
		Journal: Journal{Max: 1, Keep: 2, Full: FullStop, Bodies: BodyNone},
		Sources: []string{"x"},
	}
	over := &Policy{
		UnixSockets: SocketsNone,
		Files:       Files{Read: []Path{{Text: "/2"}, {Text: "/3"}}, Write: []Path{{Text: "/h"}}, NoexecTmp: &no},
		Env:         Env{Pass: []string{"A", "B"}, Set: map[string]string{"C": "2"}},
		Network: Network{
			Mode: NetworkFiltered, Proxy: &Proxy{Host: "2.example", Port: 2},
			Allow: []Rule{mustRule("B.example.:443"), mustRule("tcp://b.example:443"), mustRule("c.example:443")},
		},
		Limits:  Limits{Tmp: 3},
		Runaway: Runaway{Rate: 7, OnStderr: "g"},
		Journal: Journal{Keep: 3, Full: FullContinue},
		Sources: []string{"y"},
	}
	want := &Policy{
		Profile: "a", Why: "because", UnixSockets: SocketsNone,
		Files: Files{
			Read: []Path{{Text: "/1"}, {Text: "/2"}, {Text: "/3"}}, Write: []Path{{Text: "/h"}},
			Hide: []Path{{Text: "/h"}}, NoexecTmp: &no, Staged: &yes,
		},
		Env: Env{Pass: []string{"A", "B"}, Set: map[string]string{"C": "2"}},
		Network: Network{
			Mode: NetworkFiltered, ECH: ECHAllow, Proxy: &Proxy{Host: "2.example", Port: 2},
			Allow: []Rule{mustRule("a.example:443"), mustRule("b.example:443"), mustRule("tcp://b.example:443"), mustRule("c.example:443")},
		},
		Limits:  Limits{Pids: 1, Tmp: 3, Egress: 4, Staged: 5},
		Runaway: Runaway{1, 2, 3, 7, 5, 6, "a", "b", "c", "d", "g", "f"},
		Journal: Journal{Max: 1, Keep: 3, Full: FullContinue, Bodies: BodyNone},
		Sources: []string{"x", "y"},
	}
	got := Extend(base, over)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(base.Files.Read) != 2 || base.Env.Set["B"] != "1" || base.Env.Set["C"] != "1" {
		t.Error("Extend changed its argument")
	}
	if p := Extend(nil, over); !reflect.DeepEqual(p, over) {
		t.Errorf("Extend(nil, p) = %+v", p)
	}
	if p := Extend(over, nil); !reflect.DeepEqual(p, over) {
		t.Errorf("Extend(p, nil) = %+v", p)
	}
}

// FuzzParse: any text is either refused with an error that names the file, or
// gives a policy that stays within the limits and has valid names.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"profile = \"node\"", "[files]\nread = [\"~/a\", '''b\n''']", "[env]\nset = { A = 'x' }", "[limits]\ntmp = '1MiB'",
		"a.b.c = 1", "[[files]]", "\"files\".\"read\" = []", "[limits]\npids=1\n[limits]\n", "read = [[[[", "# x\n\"\\u0000\" = 1",
		"[network]\nallow = ['a.example:443', '10.0.0.0/8:80']\nproxy = 'http://p.example:1'",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 1<<10 {
			return // slow, and no different
		}
		p, err := Parse("p.toml", []byte(s))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "p.toml") {
				t.Fatalf("%q: %v does not name the file", s, err)
			}
			return
		}
		if err := p.Limits.WithDefaults(Facts{}).check(); err != nil {
			t.Fatal(err)
		}
		last := strings.Count(s, "\n") + 1
		for _, list := range [][]Path{p.Files.Read, p.Files.Write, p.Files.Hide, p.Files.Protect, p.Files.Sockets} {
			for _, q := range list {
				if q.Origin.Line < 1 || q.Origin.Line > last {
					t.Fatalf("%q: %q is said to be in line %d", s, q.Text, q.Origin.Line)
				}
			}
		}
		for _, r := range p.Network.Allow {
			if r.Origin.Line < 1 || r.Origin.Line > last || len(r.Ports) == 0 {
				t.Fatalf("%q: rule %+v", s, r)
			}
		}
		for _, name := range p.Env.Pass {
			if !validName(name) {
				t.Fatalf("passes %q", name)
			}
		}
		if !reflect.DeepEqual(Extend(p, p), Extend(p, nil)) && len(p.Env.Set) == 0 {
			t.Fatalf("%q: extending a policy by itself changes it", s)
		}
	})
}
