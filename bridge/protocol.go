package bridge

// The methods that the relay knows by more than their name.
const (
	methodInitialize = "initialize"
	methodPing       = "ping"
	methodCallTool   = "tools/call"
	methodListen     = "subscriptions/listen"
	methodTaskResult = "tasks/result"
	methodCancelled  = "notifications/cancelled"
	methodProgress   = "notifications/progress"
)

// Members of _meta. MCP 2026-07-28, which has no sessions, says with each
// request what initialize said once.
const (
	metaVersion      = "io.modelcontextprotocol/protocolVersion"
	metaCapabilities = "io.modelcontextprotocol/clientCapabilities"
	metaSubscription = "io.modelcontextprotocol/subscriptionId"
)

// batchVersion is the one revision with batches.
const batchVersion = "2025-03-26"

// known returns method as a string, without an allocation for those that occur.
func known(method []byte) string {
	switch string(method) {
	case methodInitialize:
		return methodInitialize
	case methodPing:
		return methodPing
	case methodCallTool:
		return methodCallTool
	case "tools/list":
		return "tools/list"
	case "prompts/get":
		return "prompts/get"
	case "resources/read":
		return "resources/read"
	case "tasks/get":
		return "tasks/get"
	case methodProgress:
		return methodProgress
	case "notifications/message":
		return "notifications/message"
	case "notifications/resources/updated":
		return "notifications/resources/updated"
	}
	return string(method)
}

// capabilities are what a client has declared that it answers.
type capabilities uint8

const (
	canSample capabilities = 1 << iota
	canRoots
	canElicit
	canTasks
)

// needs is the capability that a client must have declared before a server may
// send it this request; 0 where there is no such condition.
func needs(method string) capabilities {
	switch method {
	case "sampling/createMessage":
		return canSample
	case "roots/list":
		return canRoots
	case "elicitation/create":
		return canElicit
	case "tasks/get", methodTaskResult, "tasks/list", "tasks/cancel":
		return canTasks
	}
	return 0
}

// declared reads a ClientCapabilities object. "Capability" members are objects;
// anything else declares nothing.
func (s *scanner) declared(value []byte) capabilities {
	in := s.open(value)
	var c capabilities
	for name, bit := range map[string]capabilities{"sampling": canSample, "roots": canRoots, "elicitation": canElicit, "tasks": canTasks} {
		if v := in.at(name); len(v) > 0 && v[0] == '{' {
			c |= bit
		}
	}
	return c
}

// shapeOf is the member that the result of a method must have, and the byte that
// its value begins with.
func shapeOf(method string) (name string, begins byte) {
	switch method {
	case methodInitialize:
		return "protocolVersion", '"'
	case "server/discover":
		return "supportedVersions", '['
	case "tools/list":
		return "tools", '['
	case "prompts/list":
		return "prompts", '['
	case "resources/list":
		return "resources", '['
	case "resources/templates/list":
		return "resourceTemplates", '['
	case "tasks/list":
		return "tasks", '['
	case "prompts/get":
		return "messages", '['
	case "resources/read":
		return "contents", '['
	case "completion/complete":
		return "completion", '{'
	}
	return "", 0
}

// mayAskBack reports whether the result of a method may ask for input first
// (resultType "input_required"), or announce a task.
func mayAskBack(method string) bool {
	switch method {
	case methodCallTool, "prompts/get", "resources/read", "tasks/get":
		return true
	}
	return false
}

// shape says what is wrong with the result of a method, or "". It is about the
// gross shape only: a result of another method must not pass under the rules of
// this one, and what asks something of the client must be something that it has
// declared. Revisions and extensions add members, and those pass.
func (s *scanner) shape(c *Call, result []byte) string {
	if result[0] != '{' {
		if known := needsObject(c.Method); known {
			return "the result is no object"
		}
		return ""
	}
	kind := "" // what the earlier era has no kinds of
	if c.modern {
		kind, _ = stringValue(s.get("resultType"), 64)
	}
	asks := kind == "input_required"
	if asks && !mayAskBack(c.Method) {
		return "the result asks for input, which this method may not"
	}
	if requests := s.get("inputRequests"); requests != nil {
		if text := s.asked(c, requests); text != "" {
			return text
		}
	}
	if asks || kind != "" && kind != "complete" && mayAskBack(c.Method) {
		return "" // not the result itself
	}
	name, begins := shapeOf(c.Method)
	if name != "" {
		if v := s.get(name); len(v) == 0 || v[0] != begins {
			return "the result of " + c.Method + " has no " + name
		}
		return ""
	}
	if c.Method == methodCallTool {
		for _, own := range []string{"content", "structuredContent", "toolResult", "task", "isError"} {
			if s.get(own) != nil {
				return ""
			}
		}
		for _, foreign := range []string{"tools", "prompts", "resources", "resourceTemplates", "messages", "contents", "completion", "protocolVersion"} {
			if s.get(foreign) != nil {
				return "the result of tools/call is one of another method: it has " + foreign
			}
		}
	}
	return ""
}

// needsObject is false for methods of extensions.
func needsObject(method string) bool {
	switch method {
	case methodCallTool, methodPing, "logging/setLevel", "resources/subscribe", "resources/unsubscribe", methodListen,
		"tasks/get", methodTaskResult, "tasks/cancel":
		return true
	}
	name, _ := shapeOf(method)
	return name != ""
}

// asked says what is wrong with the requests that a result of the stateless era
// makes in place of requests of its own.
func (s *scanner) asked(c *Call, requests []byte) string {
	if requests[0] != '{' {
		return "the requests for input are no object"
	}
	in := s.open(requests)
	for _, m := range in.top {
		method, ok := stringValue(in.open(m.value.of(requests)).at("method"), 256)
		if !ok {
			return "the result asks for input without a method"
		}
		if need := needs(method); need&^c.caps != 0 {
			return "the result asks for " + method + ", which the client has not declared"
		}
	}
	return ""
}
