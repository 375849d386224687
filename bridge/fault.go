package bridge

// The rules that a message can break. They are the words of error.data.mcpbox.rule
// and of journals.
const (
	ruleSyntax    = "syntax"         // not JSON
	ruleControl   = "control"        // a control character, or a carriage return, where none may be
	ruleUTF8      = "utf-8"          // not UTF-8
	ruleSurrogate = "surrogate"      // half of a surrogate pair
	ruleDepth     = "depth"          // nested too deep
	ruleNumber    = "number"         // a number that parsers read differently
	ruleDuplicate = "duplicate-name" // two members with one name
	ruleFold      = "similar-names"  // two members with names that differ in case only
	ruleKeyLength = "names"          // a name that is too long, or too many of them
	ruleLength    = "length"         // longer than [limits] message
	rulePartial   = "unterminated"   // the stream ended within the line
	ruleEnvelope  = "envelope"       // not a JSON-RPC 2.0 request, notification or response
	ruleID        = "id"             // not an id that every peer reads alike
	ruleBatch     = "batch"          // an array where none was negotiated
)

// fault is why a line may not pass.
type fault struct {
	rule string
	at   int // offset in the line, where that says something
	text string
}

const (
	ruleReuse      = "id-in-use"  // an id whose request is still waiting
	ruleCapability = "capability" // asks for what the client did not declare
	ruleStateless  = "stateless"  // a request of the server where the era has none
	ruleMany       = "requests"   // too many requests at once
	ruleShape      = "shape"      // a result of another method
	ruleInspector  = "policy"     // an inspector said no
	ruleClosed     = "closed"     // the server reads no more
	ruleForged     = "unasked"    // a response that nobody waits for
	ruleStray      = "stray"      // about something that there is not
)
