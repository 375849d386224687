package packages

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func settings(t *testing.T, m map[string]any) []byte {
	t.Helper()
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestReadNPMConfig(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca, extra, cert := write("ca.pem", "AUTHORITY"), write("extra.pem", "EXTRA"), write("client.pem", "CLIENT")
	global := write("global", "//npm.corp.example/a/:_authToken=old\n//reg.example/:username = ann\n//reg.example/:_password=c2VjcmV0\n")
	user := write("user", `; mine
script-shell = /evil
ignore-scripts=false
prefix=/elsewhere
//npm.corp.example/a/:_authToken = "${TOKEN}" 
//npm.corp.example/:_authToken=for\;all # of them
//npm.corp.example/a/:certfile=`+cert+`
//unused.example/:_authToken=unused
_authToken=unscoped
`)
	c, err := ReadNPMConfig(settings(t, map[string]any{
		"registry": "https://reg.example/", "@corp:registry": "https://npm.corp.example/a/", "cafile": ca, "ca": nil, "strict-ssl": true,
		"https-proxy": "http://proxy.example:3128", "proxy": "http://other.example:1", "userconfig": user, "globalconfig": global,
	}), []string{"TOKEN=t0ken", "NODE_EXTRA_CA_CERTS=" + extra, "npm_config_//reg.example/:email=a@b"})
	if err != nil {
		t.Fatal(err)
	}
	text := c.Text("/etc/mcpbox", "/cache", true)
	for _, want := range []string{
		`registry="https://reg.example/"`, `@corp:registry="https://npm.corp.example/a/"`, `cafile="/etc/mcpbox/ca.pem"`,
		`//npm.corp.example/a/:_authToken="t0ken"`, `//npm.corp.example/:_authToken="for;all"`, `//reg.example/:username="ann"`,
		`//reg.example/:_password="c2VjcmV0"`, `//reg.example/:email="a@b"`, `//npm.corp.example/a/:certfile="/etc/mcpbox/client-0.pem"`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
	for _, bad := range []string{"script-shell", "prefix", "ignore-scripts", "unused", "unscoped", "old", "proxy"} {
		if strings.Contains(text, bad) {
			t.Errorf("%s is in\n%s", bad, text)
		}
	}
	without := c.Text("/etc/mcpbox", "/cache", false)
	for _, secret := range []string{"t0ken", "for;all", "c2VjcmV0", "client-0"} {
		if strings.Contains(without, secret) {
			t.Errorf("%s is in the text without secrets", secret)
		}
	}
	if c.Proxy != "http://proxy.example:3128" || string(c.CA) != "AUTHORITY\nEXTRA\n" || c.Files(true)["client-0.pem"] != "CLIENT" || len(c.Files(false)) != 1 {
		t.Errorf("%+v", c)
	}
	if r := c.RegistryOf("@corp/x"); r != "https://npm.corp.example/a/" {
		t.Error(r)
	}
	if r := c.RegistryOf("x"); r != "https://reg.example/" {
		t.Error(r)
	}
	list := c.Registries()
	if len(list) != 2 {
		t.Fatal(list)
	}
	// Of two that fit, the nearer.
	if h := c.Authorization(list[1]); h != "Bearer t0ken" {
		t.Error(h)
	}
	if h := c.Authorization(list[0]); h != "Basic YW5uOnNlY3JldA==" {
		t.Error(h)
	}
	if string(c.Cert(list[1], "certfile")) != "CLIENT" || c.Cert(list[0], "certfile") != nil {
		t.Error("certificates")
	}
}

func TestNoProxy(t *testing.T) {
	for without, want := range map[string]string{"corp.example": "", ".corp.example": "", "other.example,corp.example": "", "p.example": "http://p:1", "": "http://p:1"} {
		c, err := ReadNPMConfig(settings(t, map[string]any{"registry": "https://npm.corp.example/", "https-proxy": "http://p:1", "noproxy": strings.Split(without, ",")}), nil)
		if err != nil || c.Proxy != want {
			t.Errorf("noproxy %q: %q, %v; want %q", without, c.Proxy, err, want)
		}
	}
}

func TestReadNPMConfigRefuses(t *testing.T) {
	for name, m := range map[string]map[string]any{
		"no registry":      {},
		"another scheme":   {"registry": "ftp://x/"},
		"a password in it": {"registry": "https://u:secret@x/"},
		"no certificates":  {"registry": "https://x/", "cafile": "/nonexistent/ca.pem"},
	} {
		if _, err := ReadNPMConfig(settings(t, m), nil); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadNPMConfig([]byte("npm warn"), nil); err == nil {
		t.Error("no JSON")
	}
}

func TestExpand(t *testing.T) {
	env := func(name string) (string, bool) { return "value", name == "SET" }
	for in, want := range map[string]string{
		"a${SET}b": "avalueb", "${UNSET}": "${UNSET}", "${UNSET?}": "", "${SET?}": "value", "${SET": "${SET", "$SET": "$SET", "${UNSET}${SET}": "${UNSET}value",
	} {
		if got := expand(in, env); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
