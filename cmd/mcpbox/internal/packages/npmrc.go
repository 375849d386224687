package packages

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// NPMConfig is what an installation needs of the user's npm configuration: where
// packages come from, and how to be let in there. Settings that decide what is
// run, or where, are no part of it.
//
// It comes from the user's and the machine's configuration files and from the
// environment. A project's .npmrc has no say: servers are started in any
// directory, and what lies there is not the user's word on where programs come
// from.
type NPMConfig struct {
	Registry string
	Scopes   map[string]string // registries of scopes, by "@scope"
	Auth     map[string]string // keys such as "//host/:_authToken"; secret
	Proxy    string            // for https, else for http; "" for none. May be secret
	CA       []byte            // certificates of authorities, in PEM
	Insecure bool              // strict-ssl = false
	// Certificates of the client, by key such as "//host/:certfile"; secret.
	Certs map[string][]byte
}

// ReadNPMConfig works the configuration out. settings is what "npm config list
// --json" prints, which knows the order of npm's sources, but hides secrets; those
// are read from the files that it names. environ is the environment.
func ReadNPMConfig(settings []byte, environ []string) (*NPMConfig, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(settings, &all); err != nil {
		return nil, fmt.Errorf("read npm's configuration: %w", err)
	}
	get := func(key string) string {
		var s string
		json.Unmarshal(all[key], &s) // null and other types are as good as nothing
		return s
	}
	c := &NPMConfig{Registry: get("registry"), Scopes: map[string]string{}, Auth: map[string]string{}, Certs: map[string][]byte{}}
	if c.Proxy = get("https-proxy"); c.Proxy == "" {
		c.Proxy = get("proxy")
	}
	var without []string
	if json.Unmarshal(all["noproxy"], &without) != nil {
		without = strings.Split(get("noproxy"), ",")
	}
	for key := range all {
		if scope, ok := strings.CutSuffix(key, ":registry"); ok && strings.HasPrefix(scope, "@") {
			c.Scopes[scope] = get(key)
		}
	}
	strict := true
	if json.Unmarshal(all["strict-ssl"], &strict) == nil && !strict {
		c.Insecure = true
	}
	if err := c.authorities(all, get("cafile"), environ); err != nil {
		return nil, err
	}
	for _, text := range c.registries() {
		if _, err := ParseRegistry(text); err != nil {
			return nil, fmt.Errorf("npm's configuration: %w", err)
		}
	}
	// One box has one way out: the proxy, unless all registries do without.
	if !slices.ContainsFunc(c.Registries(), func(u *url.URL) bool { return !direct(u, without) }) {
		c.Proxy = ""
	}
	lookup := func(name string) (string, bool) {
		for _, e := range environ {
			if value, ok := strings.CutPrefix(e, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}
	for _, file := range []string{get("globalconfig"), get("userconfig")} { // the later wins
		data, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
			return nil, fmt.Errorf("npm's configuration: %w", err)
		}
		for _, line := range strings.Split(string(data), "\n") {
			if key, value, ok := iniLine(line); ok {
				if err := c.credential(key, expand(value, lookup)); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, e := range environ {
		key, value, _ := strings.Cut(e, "=")
		if len(key) > len("npm_config_") && strings.EqualFold(key[:len("npm_config_")], "npm_config_") {
			if err := c.credential(key[len("npm_config_"):], value); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// authorities collects certificates that npm and Node.js would trust besides
// their own.
func (c *NPMConfig) authorities(all map[string]json.RawMessage, cafile string, environ []string) error {
	var one string
	var list []string
	if json.Unmarshal(all["ca"], &list) != nil && json.Unmarshal(all["ca"], &one) == nil && one != "" {
		list = []string{one}
	}
	for _, pem := range list {
		c.CA = append(c.CA, pem+"\n"...)
	}
	files := []string{cafile}
	for _, e := range environ {
		if file, ok := strings.CutPrefix(e, "NODE_EXTRA_CA_CERTS="); ok && file != cafile {
			files = append(files, file)
		}
	}
	for _, file := range files {
		if file == "" {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("npm's configuration names certificates that cannot be read: %w", err)
		}
		c.CA = append(append(c.CA, data...), '\n')
	}
	return nil
}

// credential keeps a setting that lets into a registry that is used.
func (c *NPMConfig) credential(key, value string) error {
	at, name, ok := cutLast(key, ':')
	if !ok || !strings.HasPrefix(at, "//") || !c.uses(at) {
		return nil
	}
	switch name {
	case "_authToken", "_auth", "username", "_password", "email":
		c.Auth[key] = value
	case "certfile", "keyfile":
		data, err := os.ReadFile(value)
		if err != nil {
			return fmt.Errorf("npm's configuration: %s: %w", key, err)
		}
		c.Certs[key] = data
	}
	return nil
}

// uses reports whether settings for "//host/path/" concern a registry of this
// configuration.
func (c *NPMConfig) uses(at string) bool {
	return slices.ContainsFunc(c.registries(), func(text string) bool {
		u, err := url.Parse(text)
		return err == nil && strings.HasPrefix("//"+u.Host+strings.TrimSuffix(u.Path, "/")+"/", strings.TrimSuffix(at, "/")+"/")
	})
}

func (c *NPMConfig) registries() []string {
	list := []string{c.Registry}
	for _, scope := range c.scopes() {
		list = append(list, c.Scopes[scope])
	}
	return list
}

func (c *NPMConfig) scopes() []string {
	var list []string
	for scope := range c.Scopes {
		list = append(list, scope)
	}
	slices.Sort(list)
	return list
}

// Registries lists the registries, the default one first, each once.
func (c *NPMConfig) Registries() []*url.URL {
	var list []*url.URL
	for _, text := range c.registries() {
		u, err := ParseRegistry(text)
		if err == nil && !slices.ContainsFunc(list, func(o *url.URL) bool { return o.String() == u.String() }) {
			list = append(list, u)
		}
	}
	return list
}

// RegistryOf is the registry that a package comes from.
func (c *NPMConfig) RegistryOf(name string) string {
	if scope, _, ok := strings.Cut(name, "/"); ok && c.Scopes[scope] != "" {
		return c.Scopes[scope]
	}
	return c.Registry
}

// Authorization is the value of the header that lets into a registry, or "".
func (c *NPMConfig) Authorization(u *url.URL) string {
	if token := c.setting(u, "_authToken"); token != "" {
		return "Bearer " + token
	}
	if both := c.setting(u, "_auth"); both != "" {
		return "Basic " + both
	}
	user, password := c.setting(u, "username"), c.setting(u, "_password")
	clear, err := base64.StdEncoding.DecodeString(password)
	if user == "" || password == "" || err != nil {
		return ""
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+string(clear)))
}

// setting is what is said of a registry: of its address, or of the nearest
// directory above.
func (c *NPMConfig) setting(u *url.URL, name string) string {
	for _, at := range above(u) {
		for _, key := range []string{at + "/:" + name, at + ":" + name} {
			if value := c.Auth[key]; value != "" {
				return value
			}
		}
	}
	return ""
}

// Cert is the content of a client's "certfile" or "keyfile" for a registry, or
// nil.
func (c *NPMConfig) Cert(u *url.URL, name string) []byte {
	for _, at := range above(u) {
		for _, key := range []string{at + "/:" + name, at + ":" + name} {
			if data := c.Certs[key]; data != nil {
				return data
			}
		}
	}
	return nil
}

// above lists "//host/a/b", "//host/a" and "//host" for https://host/a/b/.
func above(u *url.URL) []string {
	var list []string
	for at := "//" + u.Host + strings.TrimRight(u.Path, "/"); len(at) >= len("//"+u.Host); at = at[:strings.LastIndexByte(at, '/')] {
		list = append(list, at)
	}
	return list
}

// Text is the configuration as a file for npm in a box where the certificates lie
// in dir. withAuth leaves the secrets in.
func (c *NPMConfig) Text(dir, cache string, withAuth bool) string {
	var b strings.Builder
	set := func(key, value string) { fmt.Fprintf(&b, "%s=%s\n", key, quote(value)) }
	set("registry", c.Registry)
	for _, scope := range c.scopes() {
		set(scope+":registry", c.Scopes[scope])
	}
	if len(c.CA) > 0 {
		set("cafile", filepath.Join(dir, "ca.pem"))
	}
	if c.Insecure {
		b.WriteString("strict-ssl=false\n")
	}
	if withAuth {
		for _, key := range sortedKeys(c.Auth) {
			set(key, c.Auth[key])
		}
		for i, key := range sortedKeys(c.Certs) {
			set(key, filepath.Join(dir, certName(i)))
		}
	}
	set("cache", cache)
	// A registry that does not answer is known as such within seconds: whoever
	// started this has a time-out, too.
	b.WriteString("audit=false\nfund=false\nupdate-notifier=false\nprogress=false\nloglevel=error\nlogs-max=0\n" +
		"omit-lockfile-registry-resolved=false\nlockfile-version=3\npackage-lock=true\n" +
		"fetch-retries=2\nfetch-retry-mintimeout=1000\nfetch-retry-maxtimeout=4000\nfetch-timeout=60000\n")
	return b.String()
}

// Files are the files that Text refers to, by name in dir.
func (c *NPMConfig) Files(withAuth bool) map[string]string {
	files := map[string]string{}
	if len(c.CA) > 0 {
		files["ca.pem"] = string(c.CA)
	}
	if withAuth {
		for i, key := range sortedKeys(c.Certs) {
			files[certName(i)] = string(c.Certs[key])
		}
	}
	return files
}

func certName(i int) string { return fmt.Sprintf("client-%d.pem", i) }

func sortedKeys[T any](m map[string]T) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// iniLine reads a line of .npmrc: "key = value", with "#" and ";" for comments.
func iniLine(line string) (key, value string, ok bool) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' || line[0] == ';' || line[0] == '[' {
		return "", "", false
	}
	key, value, ok = strings.Cut(line, "=")
	return strings.Trim(strings.TrimSpace(key), `"`), unquote(strings.TrimSpace(value)), ok
}

func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		var text string
		if json.Unmarshal([]byte(s), &text) == nil {
			return text
		}
	}
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return s[1 : len(s)-1]
	}
	// A comment ends the value, unless escaped.
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && strings.IndexByte(`\;#`, s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		case s[i] == ';' || s[i] == '#':
			return strings.TrimSpace(b.String())
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// quote writes a value so that npm reads it back as it is.
func quote(s string) string {
	data, _ := json.Marshal(s) // of a string, which cannot fail
	return string(data)
}

// expand replaces ${NAME} as npm does: by the variable, by nothing for ${NAME?}
// if it is not set, and otherwise by itself.
func expand(s string, lookup func(string) (string, bool)) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			break
		}
		end := strings.IndexByte(s[i:], '}')
		if end < 0 {
			break
		}
		name, optional := strings.CutSuffix(s[i+2:i+end], "?")
		b.WriteString(s[:i])
		if value, ok := lookup(name); ok {
			b.WriteString(value)
		} else if !optional {
			b.WriteString(s[i : i+end+1])
		}
		s = s[i+end+1:]
	}
	return b.String() + s
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
