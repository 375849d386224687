package servers

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/mcpbox/mcpbox/policy"
)

// online is a server whose work is on the internet.
type online struct {
	Server
	rules []string // what its box allows
	asked []string // where its calls take it, "name:port"
	late  []string // those of its Dials that wait until it is ended
	hasty []string // those that it gives up within a second, on a busy machine before the first byte
}

// registry is where chrome-devtools looks for a newer version of itself.
const registry = "registry.npm" + "js.org:443"

// onlines are the servers of the network test. No two have a destination in
// common.
func onlines() []online {
	bare := func(id string, calls ...Call) Server {
		s := Find(id)
		s.Calls = calls
		return s
	}
	list := []online{
		{Server: bare("slack", works("slack_list_channels", nil)),
			rules: []string{"slack.com:443"}, asked: []string{"slack.com:443"}},
		{Server: bare("context7", works("resolve-library-id", args{"libraryName": "box", "query": "box"})),
			rules: []string{"context7.com:443"}, asked: []string{"context7.com:443"}},
		{Server: bare("notion", works("API-get-self", nil)), // axios, where others use fetch
			rules: []string{"api.notion.com:443"}, asked: []string{"api.notion.com:443"}},
		{Server: bare("supabase", works("list_organizations", nil)),
			rules: []string{"*.supabase.com:443"}, asked: []string{"api.supabase.com:443"}},
		{Server: bare("brave", works("brave_web_search", args{"query": "box"})),
			rules: []string{"api.search.brave.com:443"}, asked: []string{"api.search.brave.com:443"}},
		{Server: bare("mongodb", works("list-connections", nil)),
			rules: []string{"cloud.mongodb.com:443"}, late: []string{"cloud.mongodb.com:443"}},
		{Server: bare("desktop-commander", works("list_directory", args{"path": "{work}"})),
			rules: []string{
				"*.desktopcommander.app:443", "desktopcommander.app:443", "googlechromelabs.github.io:443",
				"dc-telemetry-proxy-83847352264.europe-west1.run.app:443",
			}},
		{Server: bare("elasticsearch", works("list_indices", args{"indexPattern": "*"})),
			rules: []string{"es.example.org:443", "metadata.google.internal:80"},
			asked: []string{"es.example.org:443"},
			late:  []string{"127.0.0.1:4318"},
			hasty: []string{"metadata.google.internal:80", "100.100.100.200:80", "169.254.169.254:80"}},
		{Server: Server{ID: "mcp-remote", Argv: []string{module(".bin/mcp-remote"), "https://mcp.linear.app/mcp"}, Calls: []Call{works("greet", nil)}},
			rules: []string{"mcp.linear.app:443"}, asked: []string{"mcp.linear.app:443"}},
		{Server: Server{ID: "redis", Argv: []string{module(".bin/mcp-server-redis"), "redis://redis.example.org:6379"}, Calls: []Call{works("get", args{"key": "box"})}},
			rules: []string{"tcp://redis.example.org:6379"}, asked: []string{"redis.example.org:6379"}},
		{Server: Server{
			ID: "chrome-devtools",
			Argv: []string{module(".bin/chrome-devtools-mcp"), "--headless", "--isolated", "--executablePath", "{browser}",
				"--chromeArg=--no-sandbox", "--acceptInsecureCerts", "--clearcut-force-flush-interval-ms=500"},
			Env:    map[string]string{"npm_config_registry": "https://" + strings.TrimSuffix(registry, ":443")},
			Box:    []string{"--profile", "chromium"},
			NoWork: true,
			Dials:  []string{registry, "play.googleapis.com:443"},
			Calls:  []Call{works("new_page", args{"url": "https://page.example.org/"}), works("list_pages", nil)},
		},
			rules: []string{"page.example.org:443"}, asked: []string{"page.example.org:443"}},
	}
	for i, s := range list {
		env := maps.Clone(s.Env)
		if env == nil {
			env = map[string]string{}
		}
		if s.ID == "elasticsearch" {
			env["ES_URL"] = "https://es.example.org"
		}
		if !s.NoWork {
			env["NODE_EXTRA_CA_CERTS"] = "{work}/origin.pem"
		}
		list[i].Env = env
	}
	return list
}

// boxed is s with the flags for rules.
func (s online) boxed(rules []string) Server {
	out := s.Server
	out.Box = slices.Clone(s.Box)
	for _, r := range rules {
		out.Box = append(out.Box, "--egress", r)
	}
	return out
}

// destinations are everything that s reaches without a box.
func (s online) destinations() []string { return slices.Concat(s.asked, s.Dials) }

// prompt are those of its destinations for which it need not be ended.
func (s online) prompt() []string {
	return slices.DeleteFunc(s.destinations(), func(at string) bool { return slices.Contains(s.late, at) })
}

// judge splits destinations into those that rules allow, and others.
func judge(list, rules []string) (allowed, refused []string) {
	for _, at := range list {
		host, port := apart(at)
		if slices.ContainsFunc(rules, func(text string) bool {
			r, err := policy.ParseRule(text, policy.Origin{})
			return err == nil && r.MatchName(host) && r.HasPort(port)
		}) {
			allowed = append(allowed, at)
		} else {
			refused = append(refused, at)
		}
	}
	slices.Sort(allowed)
	slices.Sort(refused)
	return allowed, refused
}

// hint is the rule that mcpbox proposes where no rule allows a destination. A
// name is refused before there is a port, so that this is a guess.
func hint(at string) string {
	if host, _ := apart(at); !isAddress(host) {
		return host + ":443"
	}
	return at
}

func apart(at string) (host string, port uint16) {
	host, text, _ := net.SplitHostPort(at)
	n, _ := strconv.ParseUint(text, 10, 16)
	return host, uint16(n)
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
