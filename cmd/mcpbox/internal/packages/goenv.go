package packages

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// GoConfig is what an installation needs of the user's Go: which it is, where
// modules come from, and how to be let in there. See "go help environment".
type GoConfig struct {
	Root    string // GOROOT
	Version string // such as "go1.26.8"
	CA      []byte // certificates of authorities, in PEM; nil for the system's
	Proxy   string // of HTTP, to come to the modules' proxy; "" for none. May be secret

	env     map[string]string // what Go says
	proxies string            // GOPROXY, without what follows "direct"
	logins  []login           // at the proxies; secret
}

// login is an entry of .netrc.
type login struct{ machine, name, password string }

// ReadGoConfig works the configuration out. settings is what "go env -json"
// prints; environ is the environment, home where .netrc is.
//
// Modules come from a proxy. "direct" in GOPROXY, which would have git and other
// programs fetch them from repositories, and what comes behind it, is left out.
func ReadGoConfig(settings []byte, environ []string, home string) (*GoConfig, error) {
	c := &GoConfig{}
	if err := json.Unmarshal(settings, &c.env); err != nil {
		return nil, fmt.Errorf("read Go's configuration: %w", err)
	}
	c.Root, c.Version = c.env["GOROOT"], c.env["GOVERSION"]
	if !filepath.IsAbs(c.Root) || !strings.HasPrefix(c.Version, "go") {
		return nil, errors.New("read Go's configuration: it does not say where Go is and of which version")
	}
	var err error
	if c.proxies, err = withoutDirect(c.env["GOPROXY"]); err != nil {
		return nil, err
	}
	lookup := func(names ...string) string {
		for _, name := range names {
			for _, e := range slices.Backward(environ) {
				if value, ok := strings.CutPrefix(e, name+"="); ok && value != "" {
					return value
				}
			}
		}
		return ""
	}
	c.Proxy = lookup("HTTP_PROXY", "http_proxy")
	if slices.ContainsFunc(c.Registries(), func(u *url.URL) bool { return u.Scheme == "https" }) {
		c.Proxy = lookup("HTTPS_PROXY", "https_proxy")
	}
	without := append(strings.Split(lookup("NO_PROXY", "no_proxy"), ","), "localhost", "127.0.0.1", "::1")
	if !slices.ContainsFunc(c.Registries(), func(u *url.URL) bool { return !direct(u, without) }) {
		c.Proxy = ""
	}
	if file := lookup("SSL_CERT_FILE"); file != "" {
		if c.CA, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("SSL_CERT_FILE names certificates that cannot be read: %w", err)
		}
	}
	return c, c.readNetrc(lookup("NETRC"), home)
}

// direct reports whether a host is among those that need no proxy: itself, or by
// the end of its name.
func direct(u *url.URL, without []string) bool {
	return slices.ContainsFunc(without, func(suffix string) bool {
		suffix = strings.TrimPrefix(strings.TrimSpace(suffix), ".")
		return suffix != "" && (u.Hostname() == suffix || strings.HasSuffix(u.Hostname(), "."+suffix))
	})
}

// withoutDirect is GOPROXY up to the first "direct" or "off".
func withoutDirect(list string) (string, error) {
	var kept strings.Builder
	rest := list
	for rest != "" {
		one, end := rest, ""
		if i := strings.IndexAny(rest, ",|"); i >= 0 {
			one, end = rest[:i], rest[i:i+1]
		}
		rest = rest[len(one)+len(end):]
		one = strings.TrimSpace(one)
		if one == "direct" || one == "off" {
			break
		}
		u, err := url.Parse(one)
		if one != "" && (err != nil || !(u.Scheme == "https" || u.Scheme == "http") || u.Hostname() == "") && (err != nil || u.Scheme != "file" || u.Host != "" || !filepath.IsAbs(u.Path)) {
			return "", errors.New("GOPROXY: an address is not understood: it has to be https://HOST/, http://HOST/ or file:///DIRECTORY")
		}
		kept.WriteString(one + end)
	}
	if text := strings.Trim(kept.String(), ",|"); text != "" {
		return text, nil
	}
	return "", fmt.Errorf("GOPROXY is %q, and modules are taken from a proxy only, as fetching them from their repositories runs git and the like; "+
		"to have Go ask the public one, type: go env -u GOPROXY", list)
}

// readNetrc keeps what .netrc says about the proxies, which is how Go is let in
// unless GOAUTH says otherwise.
func (c *GoConfig) readNetrc(file, home string) error {
	if auth, ok := c.env["GOAUTH"]; ok && !slices.Contains(strings.FieldsFunc(auth, func(r rune) bool { return r == ';' || r == ' ' }), "netrc") {
		return nil
	}
	if file == "" {
		file = filepath.Join(home, ".netrc")
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the logins for Go's proxies: %w", err)
	}
	var one login
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) > 0 && words[0] == "macdef" {
			break
		}
		for i := 0; i+1 < len(words); i += 2 {
			switch value := words[i+1]; words[i] {
			case "machine":
				one = login{machine: value}
			case "login":
				one.name = value
			case "password":
				one.password = value
				if slices.ContainsFunc(c.Registries(), func(u *url.URL) bool { return u.Host == one.machine || u.Hostname() == one.machine }) {
					c.logins = append(c.logins, one)
				}
			}
		}
	}
	return nil
}

// addresses are the proxies, in order.
func (c *GoConfig) addresses() []*url.URL {
	var list []*url.URL
	for _, one := range strings.FieldsFunc(c.proxies, func(r rune) bool { return r == ',' || r == '|' }) {
		if u, err := url.Parse(one); err == nil {
			list = append(list, u)
		}
	}
	return list
}

// Registries lists the proxies and the checksum database that are reached over
// the network, each once, without passwords.
func (c *GoConfig) Registries() []*url.URL {
	var list []*url.URL
	add := func(u *url.URL) {
		if u.User = nil; u.Scheme != "file" && !slices.ContainsFunc(list, func(o *url.URL) bool { return o.String() == u.String() }) {
			list = append(list, u)
		}
	}
	for _, u := range c.addresses() {
		add(u)
	}
	if name := c.SumDB(); name != "" {
		address := "https://" + name
		if words := strings.Fields(c.env["GOSUMDB"]); len(words) > 1 {
			address = words[1]
		}
		if u, err := url.Parse(address); err == nil && u.Hostname() != "" && (u.Scheme == "https" || u.Scheme == "http") {
			add(u)
		}
	}
	return list
}

// Dirs lists the proxies that are directories.
func (c *GoConfig) Dirs() []string {
	var list []string
	for _, u := range c.addresses() {
		if u.Scheme == "file" {
			list = append(list, filepath.Clean(u.Path))
		}
	}
	return list
}

// From is the first proxy, without passwords.
func (c *GoConfig) From() string {
	u := c.addresses()[0]
	u.User = nil
	return u.String()
}

// SumDB is the name of the checksum database, or "" if none is asked.
func (c *GoConfig) SumDB() string {
	words := strings.Fields(c.env["GOSUMDB"])
	if len(words) == 0 || words[0] == "off" {
		return ""
	}
	name, _, _ := strings.Cut(words[0], "+")
	return name
}

// Private returns the pattern of GONOPROXY, or GOPRIVATE, that keeps a package or
// module away from proxies, or "".
func (c *GoConfig) Private(name string) string { return matching(c.env["GONOPROXY"], name) }

// Checked reports whether a module's content is compared with the checksum
// database.
func (c *GoConfig) Checked(module string) bool {
	return c.SumDB() != "" && matching(c.env["GONOSUMDB"], module) == ""
}

// matching returns the first of the patterns, separated by commas, that a prefix
// of name matches, in whole elements (golang.org/x/mod/module,
// MatchPrefixPatterns).
func matching(patterns, name string) string {
	for pattern := range strings.SplitSeq(patterns, ",") {
		pattern = strings.TrimSuffix(pattern, "/")
		elements := strings.Split(name, "/")
		n := strings.Count(pattern, "/") + 1
		if pattern == "" || n > len(elements) {
			continue
		}
		if ok, err := path.Match(pattern, strings.Join(elements[:n], "/")); ok && err == nil {
			return pattern
		}
	}
	return ""
}

// Secrets are the passwords in addresses and logins.
func (c *GoConfig) Secrets() []string {
	var all []string
	for _, u := range c.addresses() {
		if password, ok := u.User.Password(); ok {
			all = append(all, password, u.User.Username())
		}
	}
	for _, one := range c.logins {
		all = append(all, one.password)
	}
	if u, err := url.Parse(c.Proxy); err == nil {
		if password, ok := u.User.Password(); ok {
			all = append(all, password)
		}
	}
	return all
}

// Files are those that FetchEnv refers to, by name in a directory.
func (c *GoConfig) Files() map[string]string {
	netrc := ""
	for _, one := range c.logins {
		netrc += "machine " + one.machine + " login " + one.name + " password " + one.password + "\n"
	}
	files := map[string]string{"netrc": netrc}
	if c.CA != nil {
		files["ca.pem"] = string(c.CA)
	}
	return files
}

// FetchEnv is the environment in which Go fetches modules into the directory work.
// The files are in dir.
func (c *GoConfig) FetchEnv(work, dir string) map[string]string {
	env := c.env0(work)
	for _, name := range []string{"GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOINSECURE"} {
		env[name] = c.env[name]
	}
	env["GOPROXY"], env["GOAUTH"], env["NETRC"] = c.proxies, "netrc", filepath.Join(dir, "netrc")
	if c.CA != nil {
		env["SSL_CERT_FILE"] = filepath.Join(dir, "ca.pem")
	}
	return env
}

// BuildEnv is the environment in which Go builds what FetchEnv has fetched, and
// has no other module, nor any secret. cgo lets it run a C compiler as packages
// ask for it.
func (c *GoConfig) BuildEnv(work string, cgo bool) map[string]string {
	env := c.env0(work)
	env["GOPROXY"] = "file://" + filepath.Join(work, "path", "pkg", "mod", "cache", "download")
	env["GOSUMDB"], env["GONOPROXY"], env["GONOSUMDB"], env["GOAUTH"] = "off", "none", "none", "off"
	if cgo {
		env["CGO_ENABLED"] = "1"
	}
	return env
}

// env0 is what fetching and building have in common. No other toolchain is
// fetched, whatever a module asks for, and no version control system is started.
func (c *GoConfig) env0(work string) map[string]string {
	return map[string]string{
		"GOENV": "off", "GOTOOLCHAIN": "local", "GOVCS": "*:off", "GOWORK": "off", "GO111MODULE": "on", "CGO_ENABLED": "0", "GOFLAGS": c.env["GOFLAGS"],
		"GOPATH": filepath.Join(work, "path"), "GOMODCACHE": filepath.Join(work, "path", "pkg", "mod"), "GOCACHE": filepath.Join(work, "cache"), "GOBIN": filepath.Join(work, "bin"),
		"GOTMPDIR": filepath.Join(work, "tmp"), "TMPDIR": filepath.Join(work, "tmp"),
	}
}
