package egress

import (
	"testing"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// clientRows are honest programs, which must not notice the box.
var clientRows = []row{
	{
		id: "use", tries: "curl over TLS", rules: []string{"good.example.com:443"},
		run:   []string{"curl", "-sS", "https://good.example.com/"},
		boxed: "HTTP/2.0 https good.example.com", heard: https("good.example.com", "good:443"),
	},
	{
		id: "E01", tries: "curl that is told to use no proxy", rules: []string{"good.example.com:443"},
		run:   []string{"curl", "-sS", "--noproxy", "*", "--http1.1", "https://good.example.com/"},
		boxed: "HTTP/1.1 https good.example.com", heard: https("good.example.com", "good:443"),
	},
	{
		id: "use", tries: "curl twice on one plain connection", rules: []string{"good.example.com:80"},
		run:   []string{"curl", "-sS", "http://good.example.com/", "http://good.example.com/again"},
		boxed: "HTTP/1.1 http good.example.com HTTP/1.1 http good.example.com", heard: https("good.example.com", "good:80"),
	},
	{
		id: "use", tries: "curl with capitals and the root's dot", rules: []string{"good.example.com:80"},
		run:   []string{"curl", "-sS", "http://GOOD.Example.com./"},
		bare:  "HTTP/1.1 http GOOD.Example.com.|HTTP/1.1 http good.example.com.|HTTP/1.1 http GOOD.Example.com",
		boxed: "HTTP/1.1 http GOOD.Example.com.|HTTP/1.1 http good.example.com.|HTTP/1.1 http GOOD.Example.com", heard: https("good.example.com", "good:80"),
	},
	{
		id: "use", tries: "curl that waits for 100 Continue", rules: []string{"good.example.com:80"},
		run:   []string{"curl", "-sS", "-H", "Expect: 100-continue", "--data-binary", "@/usr/bin/env", "-o", "/dev/null", "-w", "%{http_code}", "http://good.example.com/sum"},
		boxed: "200", heard: https("good.example.com", "good:80"),
	},
	{
		id: "use", tries: "curl that offers HTTP/2 without TLS", rules: []string{"good.example.com:80"},
		run:   []string{"curl", "-sS", "--http2", "http://good.example.com/", "http://good.example.com/"},
		boxed: "HTTP/1.1 http good.example.com HTTP/1.1 http good.example.com", heard: https("good.example.com", "good:80"),
	},
	{
		id: "use", tries: "curl with a body in GET and DELETE", rules: []string{"good.example.com:80"},
		run: []string{"sh", "-c", "curl -sS -X GET -d hello http://good.example.com/sum http://good.example.com/sum && " +
			"curl -sS -X DELETE -H 'Transfer-Encoding: chunked' -d hello http://good.example.com/sum"},
		boxed: "5 2cf24dba5fb0a30e 5 2cf24dba5fb0a30e 5 2cf24dba5fb0a30e", heard: https("good.example.com", "good:80"),
	},
	{
		id: "use", tries: "curl to whom chunks come one by one", rules: []string{"good.example.com:80"},
		run:   []string{"curl", "-sS", "http://good.example.com/drip"},
		boxed: "0 1 2 3 4", heard: https("good.example.com", "good:80"),
	},
	{
		id: "use", tries: "Python's urllib", rules: []string{"good.example.com:443"},
		run:   []string{"python3", "-c", "import urllib.request; print(urllib.request.urlopen('https://good.example.com/').read().decode())"},
		boxed: "HTTP/1.1 https good.example.com", heard: https("good.example.com", "good:443"),
	},
	{
		id: "use", tries: "a raw socket of Python's", rules: []string{"tcp://good.example.com:7000"},
		run:   []string{"python3", "-c", "import socket; s = socket.create_connection(('good.example.com', 7000)); s.sendall(b'raw'); s.shutdown(1); print(s.recv(9).decode())"},
		boxed: "raw", heard: https("good.example.com", "good:7000"),
	},
	{
		id: "use", tries: "a server with an SSRF guard of its own", rules: []string{"good.example.com:443"},
		run:   []string{"python3", "-c", guarded},
		boxed: "HTTP/1.1 https good.example.com", heard: https("good.example.com", "good:443"),
	},
	{
		id: "use", tries: "Go", rules: []string{"good.example.com:443"},
		run:   []string{"{probe}", "get", "https://good.example.com/"},
		boxed: "HTTP/2.0 https good.example.com", heard: https("good.example.com", "good:443"),
	},
	{
		id: "use", tries: "git", rules: []string{"git.example.com:443"},
		run:   []string{"sh", "-c", "cd $HOME && rm -rf clone && git clone --quiet https://git.example.com/git/project.git clone && git -C clone log --format=%s"},
		boxed: "first", heard: https("git.example.com", "good:443"),
	},
	{
		id: "use", tries: "psql", rules: []string{"tcp://db.example.com:5432"}, prepare: postgres,
		run:   []string{"psql", "-AtX", "-c", "select 6 * 7", "postgresql://box@db.example.com/postgres"},
		boxed: "42", heard: []string{"dns db.example.com", "tcp db:5432"},
	},
	{
		id: "use", tries: "redis-cli", rules: []string{"tcp://db.example.com:6379"}, prepare: redis,
		run:   []string{"redis-cli", "-h", "db.example.com", "ECHO", "hello"},
		boxed: "hello", heard: []string{"dns db.example.com", "tcp db:6379"},
	},
	nodeRow("20", "fetch", "fetch('https://good.example.com/').then(r => r.text()).then(console.log)", "https", "good:443"),
	nodeRow("22", "fetch", "fetch('https://good.example.com/').then(r => r.text()).then(console.log)", "https", "good:443"),
	nodeRow("20", "http", "require('http').get('http://good.example.com/', r => r.pipe(process.stdout))", "http", "good:80"),
	nodeRow("22", "http", "require('http').get('http://good.example.com/', r => r.pipe(process.stdout))", "http", "good:80"),
	nodeRow("20", "https", "require('https').get('https://good.example.com/', r => r.pipe(process.stdout))", "https", "good:443"),
	{
		id: "use", tries: "Chromium", rules: []string{"good.example.com:443"}, flags: []string{"--profile", "chromium"}, slow: true, alone: true,
		run: []string{"chromium-headless-shell", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors",
			"--dump-dom", "https://good.example.com/"},
		boxed: "~HTTP/2.0 https good.example.com", heard: https("good.example.com", "good:443"),
	},
	{
		id: "E-8", tries: "Chromium, which pretends to encrypt names, where the policy does not let it", rules: []string{"good.example.com:443"},
		flags: []string{"--profile", "chromium"}, slow: true, alone: true, policy: "[network]\nech = \"deny\"\n",
		run: []string{"chromium-headless-shell", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors",
			"--dump-dom", "https://good.example.com/"},
		bare: "~HTTP/2.0 https good.example.com", boxed: "~", heard: empty("good.example.com", "good:443"),
		refused: []string{"refused tcp good.example.com:443"},
	},
}

// guarded connects only where ipaddress finds nothing wrong with the address.
const guarded = `
import ipaddress, socket, urllib.request
for info in socket.getaddrinfo("good.example.com", 443, type=socket.SOCK_STREAM):
    if not ipaddress.ip_address(info[4][0]).is_global:
        raise SystemExit("refusing " + info[4][0])
print(urllib.request.urlopen("https://good.example.com/").read().decode())`

func nodeRow(major, how, script, scheme, at string) row {
	return row{
		id: "use", tries: "Node " + major + " with " + how, rules: []string{"good.example.com:443", "good.example.com:80"},
		prepare: func(t *testing.T, _ *world) { setup.Need(t, node(major) != "", "Node.js "+major) },
		run:     []string{node(major), "-e", script},
		boxed:   "HTTP/1.1 " + scheme + " good.example.com", heard: https("good.example.com", at),
	}
}
