package packages

import (
	"fmt"
	"net/url"
	"os"
	"strings"
)

// PipConfig is what an installation needs of the user's pip configuration.
// Addresses may hold passwords, which is how pip is told them.
type PipConfig struct {
	Index   string   // index-url
	Extra   []string // extra-index-url
	Trusted []string // trusted-host
	Proxy   string
	CA      []byte // certificates, in PEM; nil for pip's own
}

// DefaultIndex reads in what "pip install --help" prints which index pip asks
// where none is set; "" if it does not say.
func DefaultIndex(help string) string {
	_, rest, _ := strings.Cut(strings.Join(strings.Fields(help), " "), "--index-url <url>")
	_, rest, _ = strings.Cut(rest, "(default ")
	index, _, _ := strings.Cut(rest, ")")
	if !strings.HasPrefix(index, "https://") || strings.Contains(index, " ") {
		return ""
	}
	return index
}

// ReadPipConfig works the configuration out. settings is what "pip config list"
// prints: SECTION.KEY='VALUE', where a later line wins, and section ":env:" is the
// environment's. uv's own variables for an index are honoured, too. otherwise is
// asked for the index if none is set.
func ReadPipConfig(settings string, environ []string, otherwise func() string) (*PipConfig, error) {
	values := map[string]string{}
	for line := range strings.Lines(settings) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		section, name, dotted := strings.Cut(key, ".")
		if !ok || !dotted {
			continue
		}
		if rank := map[string]int{"global": 1, "install": 2, ":env:": 3}[section]; rank > 0 {
			name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
			values[fmt.Sprint(name, rank)] = strings.Trim(value, `'"`)
		}
	}
	get := func(name string) string {
		for rank := 3; rank > 0; rank-- {
			if v := values[fmt.Sprint(name, rank)]; v != "" {
				return v
			}
		}
		return ""
	}
	c := &PipConfig{Index: get("index-url"), Extra: list(get("extra-index-url")), Trusted: list(get("trusted-host")), Proxy: get("proxy")}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		switch name {
		case "UV_DEFAULT_INDEX", "UV_INDEX_URL":
			c.Index = value
		case "UV_EXTRA_INDEX_URL":
			c.Extra = append(c.Extra, strings.Fields(value)...)
		}
	}
	if c.Index == "" {
		c.Index = otherwise()
	}
	for _, text := range append([]string{c.Index}, c.Extra...) {
		if u, err := url.Parse(text); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
			return nil, fmt.Errorf("pip's configuration: an index's address is not understood: it has to be https://HOST/ or http://HOST/")
		}
	}
	file := get("cert")
	for _, e := range environ {
		if value, ok := strings.CutPrefix(e, "REQUESTS_CA_BUNDLE="); ok && file == "" {
			file = value
		}
	}
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("pip's configuration names certificates that cannot be read: %w", err)
		}
		c.CA = data
	}
	return c, nil
}

// list reads a value that pip prints as it was written: several words, or lines.
func list(value string) []string {
	return strings.Fields(strings.ReplaceAll(value, `\n`, " "))
}

// Registries lists the indexes, each once, without passwords.
func (c *PipConfig) Registries() []*url.URL {
	var all []*url.URL
	for _, text := range append([]string{c.Index}, c.Extra...) {
		if u, err := url.Parse(text); err == nil {
			u.User = nil
			all = append(all, u)
		}
	}
	return all
}

// Secrets are the passwords in the addresses.
func (c *PipConfig) Secrets() []string {
	var all []string
	for _, text := range append([]string{c.Index, c.Proxy}, c.Extra...) {
		if u, err := url.Parse(text); err == nil && u.User != nil {
			if password, ok := u.User.Password(); ok {
				all = append(all, password)
			}
			all = append(all, u.User.Username())
		}
	}
	return all
}

// Text is the configuration as a file for pip in a box where the certificates lie
// at ca.
func (c *PipConfig) Text(ca string) string {
	var b strings.Builder
	b.WriteString("[global]\nindex-url = " + c.Index + "\n")
	if len(c.Extra) > 0 {
		b.WriteString("extra-index-url =\n    " + strings.Join(c.Extra, "\n    ") + "\n")
	}
	if len(c.Trusted) > 0 {
		b.WriteString("trusted-host =\n    " + strings.Join(c.Trusted, "\n    ") + "\n")
	}
	if c.CA != nil {
		b.WriteString("cert = " + ca + "\n")
	}
	b.WriteString("disable-pip-version-check = true\nno-input = true\nretries = 2\ntimeout = 20\nprogress-bar = off\nno-cache-dir = true\n")
	return b.String()
}
