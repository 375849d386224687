package bridge

import "testing"

// Progress of a task goes on after the response that announced it, until the
// task has ended.
func TestTaskProgress(t *testing.T) {
	j := conversation(t, "")
	progress := `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1}}`
	stray := func(want bool) {
		t.Helper()
		if got := j.toHost.pass([]byte(progress)) == nil; got != want {
			t.Fatalf("stray is %v, want %v", got, want)
		}
	}
	stray(true)
	j.passes(&j.toServer, `{"jsonrpc":"2.0","id":50,"method":"tools/call","params":{"name":"t","task":{"ttl":1},"_meta":{"progressToken":"t"}}}`)
	stray(false)
	j.passes(&j.toHost, `{"jsonrpc":"2.0","id":50,"result":{"task":{"taskId":"x","status":"working"}}}`)
	stray(false)
	j.passes(&j.toServer, `{"jsonrpc":"2.0","id":51,"method":"tasks/get","params":{"taskId":"x"}}`)
	j.passes(&j.toHost, `{"jsonrpc":"2.0","id":51,"result":{"taskId":"x","status":"working"}}`)
	stray(false)
	j.passes(&j.toHost, `{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{"taskId":"x","status":"completed"}}`)
	stray(true)
}

// However long a conversation is, what is remembered of it is bounded.
func TestMemoryIsBounded(t *testing.T) {
	j := conversation(t, "")
	for i := range 20 * remembered {
		id := string(rune('a'+i%26)) + string(quote(string(rune(0x4e00 + i)))[1:])
		j.passes(&j.toServer, `{"jsonrpc":"2.0","id":"`+id+`,"method":"tools/call","params":{"name":"t","_meta":{"progressToken":"`+id+`}}}`)
		switch i % 3 {
		case 0:
			j.passes(&j.toHost, `{"jsonrpc":"2.0","id":"`+id+`,"result":{"task":{"taskId":"`+id+`}}}`)
		case 1:
			j.passes(&j.toServer, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"`+id+`}}`)
		default:
			j.passes(&j.toHost, `{"jsonrpc":"2.0","id":"`+id+`,"error":{"code":1,"message":"no"}}`)
		}
	}
	s := j.session
	for name, n := range map[string]int{
		"done": len(s.host.done.m), "withdrawn": len(s.withdrawn.m), "tasks": len(s.tasks.m), "task tokens": len(s.taskTokens.m),
	} {
		if n == 0 || n > remembered {
			t.Errorf("%s: %d entries", name, n)
		}
	}
	if len(s.host.open) > 10 || len(s.tokens) > 10 {
		t.Errorf("%d calls and %d tokens are left", len(s.host.open), len(s.tokens))
	}
}
