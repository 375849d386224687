package policy

import (
	"fmt"
	"slices"
	"strings"
)

// resolvConf is the box's /etc/resolv.conf. The resolver answers at once, from
// what it knows, so that a question without an answer means a machine that is
// very busy: then six seconds are enough, where the default is ten or more. No
// option stands here that one of glibc, musl, c-ares and Go does not know: Go
// would leave its own resolver for the C library's.
func resolvConf(m NetworkMode) string {
	if m == NetworkNone {
		return "nameserver 127.0.0.1\n"
	}
	return "nameserver 127.0.0.1\noptions timeout:2 attempts:3\n"
}

// network reports what is connected, and says what rules mean beyond what they
// say.
func (b *builder) network() error {
	n := &b.p.Network
	r := &NetworkReport{Mode: n.Connection()}
	b.report.Network = r
	if r.Mode == NetworkNone {
		return nil
	}
	r.ECH = n.Hello()
	for _, rule := range addRules(nil, n.Allow) {
		r.Allow = append(r.Allow, rule.String())
		b.noteRule(rule)
	}
	if n.Proxy != nil {
		r.Proxy = n.Proxy.String()
		b.note(Information, "proxy", "", "network.proxy: the proxy looks names up itself, so mcpbox cannot see whether one leads to a private address")
	}
	if r.ECH == ECHAllow && len(r.Allow) > 0 {
		b.note(Information, "ech", "", `network.ech = "allow": behind an encrypted ClientHello, an allowed server may be asked for another of its names`)
	}
	return nil
}

func (b *builder) noteRule(r Rule) {
	say := func(l Level, kind, text string) { b.note(l, kind, "", r.String()+": "+text) }
	switch {
	case r.Name != "":
		if host := strings.ToLower(r.Text); !strings.Contains(host, r.Name) {
			say(Information, "rule_name", fmt.Sprintf("written as %q", r.Text))
		}
		if name := metadataNameOf(r); name != "" {
			say(Warning, "metadata", name+" is where a cloud tells a machine about itself, this machine's credentials included; it stays closed unless a rule names its address")
		} else if what := sharedHost(r); what != "" {
			say(Information, "shared_host", what)
		}
	case r.Prefix.IsSingleIP() && IsMetadata(r.Prefix.Addr()):
		say(Warning, "metadata", "is where a cloud tells a machine about itself: the program can get this machine's credentials there")
	case slices.ContainsFunc(loopbackRanges(), r.Prefix.Overlaps):
		say(Information, "loopback", "reaches a service of this machine, which may trust whoever comes from it")
	case slices.ContainsFunc(privateRanges(), r.Prefix.Overlaps):
		say(Information, "private_address", "reaches a service of your own network, or of this machine")
	}
}

// metadataNameOf is a name of a metadata service that a rule covers, or "".
func metadataNameOf(r Rule) string {
	for _, name := range metadataNames() {
		if r.MatchName(name) {
			return name
		}
	}
	return ""
}

// sharedHost says why a rule for a host is one for strangers too; "" if that is
// not known.
func sharedHost(r Rule) string {
	if !r.Suffix && strings.Contains(r.Name, ".") && publicSuffix(r.Name) == r.Name {
		return "serves what anybody puts there, and takes it, by path instead of by name"
	}
	for _, h := range sharedHosts {
		if h.name == r.Name || strings.HasSuffix(r.Name, "."+h.name) || r.Suffix && strings.HasSuffix(h.name, "."+r.Name) {
			return h.what
		}
	}
	return ""
}

const (
	takesFiles    = "takes files and text from anybody who has an account there, and shows them to others: a way out for data"
	takesMessages = "takes messages for anybody who has an account there: a way out for data"
	givesFiles    = "serves what anybody has put there: a way in for instructions and programs"
	collects      = "is made to collect what is sent to it, for anybody: a way out for data"
)

// sharedHosts are well-known hosts, with those below, on which a rule for one's
// own account is a rule for every account.
var sharedHosts = []struct{ name, what string }{
	{"gist.github.com", takesFiles},
	{"api.github.com", takesFiles},
	{"raw.githubusercontent.com", givesFiles},
	{"gist.githubusercontent.com", givesFiles},
	{"objects.githubusercontent.com", givesFiles},
	{"github.com", takesFiles},
	{"gitlab.com", takesFiles},
	{"bitbucket.org", takesFiles},
	{"huggingface.co", takesFiles},
	{"pastebin.com", takesFiles},
	{"paste.ee", takesFiles},
	{"dpaste.com", takesFiles},
	{"0x0.st", takesFiles},
	{"file.io", takesFiles},
	{"transfer.sh", takesFiles},
	{"docs.google.com", takesFiles},
	{"api.dropboxapi.com", takesFiles},
	{"content.dropboxapi.com", takesFiles},
	{"api.notion.com", takesFiles},
	{"cdn.discordapp.com", givesFiles},
	{"cdn.jsdelivr.net", givesFiles},
	{"unpkg.com", givesFiles},
	{"api.telegram.org", takesMessages},
	{"discord.com", takesMessages},
	{"discordapp.com", takesMessages},
	{"hooks.slack.com", takesMessages},
	{"slack.com", takesMessages},
	{"ntfy.sh", takesMessages},
	{"webhook.site", collects},
	{"requestcatcher.com", collects},
	{"pipedream.net", collects},
	{"interact.sh", collects},
	{"oast.fun", collects},
}

// lines are the report in English.
func (r *NetworkReport) lines() []string {
	switch {
	case r.Mode == NetworkNone:
		return []string{"none: no connection leaves the box, and none of the host's ports can be reached"}
	case len(r.Allow) == 0:
		return []string{"nothing: every name is unknown and every connection refused; what it tries is in the journal"}
	}
	list := append(slices.Clone(r.Allow), "nothing else: other names are unknown, other connections refused and in the journal")
	if r.Proxy != "" {
		list = append(list, "by way of the proxy "+r.Proxy)
	}
	return list
}
