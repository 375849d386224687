package packages

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// goConfig is a configuration with these settings, as pairs, over the usual ones.
func goConfig(t *testing.T, home string, environ []string, settings ...string) (*GoConfig, error) {
	t.Helper()
	env := map[string]string{"GOROOT": "/usr/local/go", "GOVERSION": "go1.26.8", "GOPROXY": "https://proxy.example,direct", "GOSUMDB": "sum.example", "GOAUTH": "netrc"}
	for i := 0; i < len(settings); i += 2 {
		env[settings[i]] = settings[i+1]
	}
	text, err := json.Marshal(env)
	if err != nil {
		t.Fatal(err)
	}
	return ReadGoConfig(text, environ, home)
}

func TestGoProxies(t *testing.T) {
	for list, want := range map[string]string{
		"https://proxy.example,direct":                                  "https://proxy.example",
		"https://a.example|http://b.example/x,direct,https://c.example": "https://a.example|http://b.example/x",
		"file:///srv/proxy":                                             "file:///srv/proxy",
		"https://ann:s3cret@a.example/goproxy/,off":                     "https://ann:s3cret@a.example/goproxy/",
		"direct":                          `! GOPROXY is "direct"`,
		"off,https://a.example":           `! GOPROXY is "off`,
		"":                                `! GOPROXY is ""`,
		",":                               `! GOPROXY is ","`,
		"ftp://a.example":                 "! is not understood",
		"https://ann:s3cret@":             "! is not understood",
		"file://host/x":                   "! is not understood",
		"https://a.example,git.example/x": "! is not understood",
	} {
		c, err := goConfig(t, "", nil, "GOPROXY", list)
		got := ""
		if err != nil {
			got = "! " + err.Error()
		} else {
			got = c.proxies
		}
		if bad, failed := strings.CutPrefix(want, "! "); failed != (err != nil) || !strings.Contains(got, bad) || failed && strings.Contains(got, "s3cret") {
			t.Errorf("%s: %s, want %s", list, got, want)
		}
	}
}

// What is reached, what is told whom, and what never leaves.
func TestGoConfig(t *testing.T) {
	home := t.TempDir()
	netrc := "machine elsewhere.example login x password other\nmachine a.example\n  login ann\n  password s3cret\ndefault login d password d\nmacdef init\nmachine b.example login y password z\n"
	if err := os.WriteFile(filepath.Join(home, ".netrc"), []byte(netrc), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := goConfig(t, home, []string{"HTTPS_PROXY=http://old:pw@p.example:3128", "https_proxy=http://no.example", "HTTPS_PROXY=http://u:pw@p.example:3128"},
		"GOPROXY", "https://bob:t0ken@b.example/go,https://a.example,file:///srv/mods,direct", "GOSUMDB", "sum.example+1234+key https://a.example/sumdb", "GOPRIVATE", "x", "GONOPROXY", "example.com/private,*.corp.example", "GONOSUMDB", "example.com", "GOFLAGS", "-tags=x")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, u := range c.Registries() {
		list = append(list, u.String())
	}
	if got := strings.Join(list, " "); got != "https://b.example/go https://a.example https://a.example/sumdb" {
		t.Error(got)
	}
	if c.From() != "https://b.example/go" || strings.Join(c.Dirs(), " ") != "/srv/mods" || c.Proxy != "http://u:pw@p.example:3128" || c.SumDB() != "sum.example" {
		t.Errorf("%s %q %s %s", c.From(), c.Dirs(), c.Proxy, c.SumDB())
	}
	if got := c.Files()["netrc"]; got != "machine a.example login ann password s3cret\n" {
		t.Error(got)
	}
	if got := strings.Join(c.Secrets(), " "); got != "t0ken bob s3cret pw" {
		t.Error(got)
	}
	for name, want := range map[string]string{"example.com/private/x": "example.com/private", "example.com/privately": "", "git.corp.example/a": "*.corp.example", "corp.example": "", "example.com": ""} {
		if got := c.Private(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if c.Checked("example.com/x") || !c.Checked("example.org/x") {
		t.Error("what the checksum database is asked")
	}
	fetch, build := c.FetchEnv("/w", "/etc/x"), c.BuildEnv("/w", false)
	if fetch["GOPROXY"] != c.proxies || fetch["GOSUMDB"] != "sum.example+1234+key https://a.example/sumdb" || fetch["GONOSUMDB"] != "example.com" || fetch["NETRC"] != "/etc/x/netrc" {
		t.Error(fetch)
	}
	for name, want := range map[string]string{"GOTOOLCHAIN": "local", "GOVCS": "*:off", "GOENV": "off", "GOFLAGS": "-tags=x", "CGO_ENABLED": "0"} {
		if fetch[name] != want || build[name] != want {
			t.Errorf("%s: %q and %q, want %q", name, fetch[name], build[name], want)
		}
	}
	if text := strings.Join(append(values(build), c.Files()["ca.pem"]), " "); strings.Contains(text, "t0ken") || strings.Contains(text, "netrc") || build["GOPROXY"] != "file:///w/path/pkg/mod/cache/download" {
		t.Error(build)
	}
	if c.BuildEnv("/w", true)["CGO_ENABLED"] != "1" {
		t.Error("C cannot be allowed")
	}

	// Logins are not for whom Go would not tell them.
	if c, err = goConfig(t, home, nil, "GOPROXY", "https://a.example", "GOAUTH", "off"); err != nil || c.Files()["netrc"] != "" {
		t.Errorf("%q, %v", c.Files(), err)
	}
	if c, err = goConfig(t, home, []string{"HTTPS_PROXY=http://p.example", "NO_PROXY=.example"}); err != nil || c.Proxy != "" {
		t.Errorf("%q, %v", c.Proxy, err)
	}
	if c, err = goConfig(t, home, nil, "GOSUMDB", "off"); err != nil || len(c.Registries()) != 1 || c.Checked("example.org/x") {
		t.Errorf("%v, %v", c.Registries(), err)
	}
	if _, err = goConfig(t, home, []string{"SSL_CERT_FILE=/nonexistent"}); err == nil {
		t.Error("certificates that are not there")
	}
	if _, err = ReadGoConfig([]byte(`{"GOPROXY":"https://a.example"}`), nil, home); err == nil {
		t.Error("no Go")
	}
}

func values(m map[string]string) []string {
	var list []string
	for _, v := range m {
		list = append(list, v)
	}
	return list
}
