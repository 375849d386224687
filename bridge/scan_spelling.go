package bridge

import (
	"fmt"
	"strings"
	"sync"
)

// protocolNames are the names that the Model Context Protocol gives to members
// of params and results, and of what is in them, in any of its revisions.
const protocolNames = `
	_meta action annotations argument arguments audience blob cacheScope capabilities clientInfo code completion
	content contents context createdAt cursor data description destructiveHint elicitationId execution hasMore hints
	icons idempotentHint includeContext inputRequests inputResponses inputSchema instructions isError lastModified
	lastUpdatedAt level logger maxTokens message messages method mimeType mode model modelPreferences name nextCursor
	notifications openWorldHint outputSchema params pollInterval priority progress progressToken prompts protocolVersion
	readOnlyHint reason ref requestId requestState requestedSchema required resource resourceTemplates resources
	resultType role roots serverInfo size sizes src status statusMessage stopReason stopSequences structuredContent
	supportedVersions systemPrompt task taskId taskSupport tasks temperature text theme title toolChoice toolUseId tools
	total ttl ttlMs type uri uriTemplate url value values version websiteUrl`

// spelled is one of them, and what tells it from most names.
type spelled struct {
	mark uint32
	name string
}

// spellings is a table of them, open addressed.
type spellings [1 << spellingBits]spelled

const spellingBits = 9

func (t *spellings) slot(mark uint32) uint32 { return mark * 0x9e3779b1 >> (32 - spellingBits) }

var protocolSpellings = sync.OnceValue(func() *spellings {
	t, s := new(spellings), new(scanner)
	for _, name := range strings.Fields(protocolNames) {
		s.line = []byte(name)
		mark := s.mark(key{size: int16(len(name))}, ownNames)
		at := t.slot(mark)
		for t[at].name != "" {
			at = (at + 1) % uint32(len(t))
		}
		t[at] = spelled{mark, name}
	}
	return t
})

// misspelt reports whether a name is one of the protocol's but for the case of
// its letters, or NULs at its end: a Go program takes it for that name, and
// others pass over it, without a second name that would show the difference.
func (s *scanner) misspelt(k key) bool {
	t := s.spellings
	for at := t.slot(k.mark); t[at].name != ""; at = (at + 1) % uint32(len(t)) {
		if t[at].mark != k.mark {
			continue
		}
		raw, name := s.line[k.start:int(k.start)+int(k.size)], t[at].name
		if k.how == plain && string(raw) == name {
			return false
		}
		// As written, or with escapes.
		if text := string(appendText(nil, raw)); text == name {
			return false
		} else if strings.EqualFold(strings.TrimRight(text, "\x00"), name) {
			return true
		}
	}
	return false
}

// spelling says what is wrong with the names of the scanned message, if it is
// one of the protocol's: the names of an extension's are the extension's.
func (s *scanner) spelling(method string) *fault {
	if s.odd.end == 0 || !ofProtocol(method) {
		return nil
	}
	return &fault{rule: ruleFold, at: s.odd.start, text: fmt.Sprintf("some parsers take the name %.64q for one of the protocol's, and some do not", s.odd.of(s.line))}
}

// ofProtocol reports whether a method is one of the protocol's, whatever the
// revision.
func ofProtocol(method string) bool {
	area, _, _ := strings.Cut(method, "/")
	switch area {
	case methodInitialize, methodPing, "server", "tools", "prompts", "resources", "completion", "logging", "roots", "sampling",
		"elicitation", "subscriptions", "tasks", "notifications":
		return true
	}
	return false
}
