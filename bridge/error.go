package bridge

import (
	"encoding/json"
	"fmt"
)

// Codes of JSON-RPC 2.0, section 5.1, where they say it.
const (
	codeParse    = -32700
	codeInvalid  = -32600
	codeUnknown  = -32601 // "method not found": what a client without the capability answers
	codeInternal = -32603
)

// Codes of our own. JSON-RPC reserves -32768 to -32000, of which MCP has given
// out the rest; hosts read meanings into those, such as the time-out of their
// SDK or the end of an era.
const (
	CodeRefused = -31001 // a policy refuses the request
	CodeAnswer  = -31002 // the server's answer may not pass
	CodeEnded   = -31003 // the server has ended, or was ended
	CodeTimeout = -31004 // the server has not answered in time
	CodeClosed  = -31005 // the server takes no more requests
)

// Error is an error that a peer gets instead of an answer. In the message it
// has the member data, {"mcpbox":{"rule":Rule}}, by which it can be told from an
// error of the server's.
type Error struct {
	Code    int
	Rule    string // one word
	Message string // one sentence for a person
}

func (e *Error) Error() string { return e.Message }

// maxMessage is how much of what a server may have influenced goes into an
// error, in bytes.
const maxMessage = 2048

// line is the response to the request with this id, as it goes out.
func (e *Error) line(id string) []byte {
	text := e.Message
	if len(text) > maxMessage {
		text = text[:maxMessage] + "..."
	}
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%s,"data":{"mcpbox":{"rule":%s}}}}`+"\n",
		id, e.Code, quote(text), quote(e.Rule))
}

// cancelled is the notification that nobody waits for a request any more.
func cancelled(id, reason string) []byte {
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s,"reason":%s}}`+"\n", id, quote(reason))
}

// quote is s as JSON. What is not UTF-8 in it becomes U+FFFD.
func quote(s string) []byte {
	b, _ := json.Marshal(s) // a string always has a JSON text
	return b
}
