package relay

//lint:file-ignore SA1019 the protocols up to 2025-11-25 have roots, sampling and logging

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// witness is a client, with fixed answers to all that servers ask of clients,
// and what it has seen.
type witness struct {
	t       *testing.T
	session *mcp.ClientSession

	mu   sync.Mutex
	seen []string
	wake chan struct{} // has a token after each thing seen
}

func (w *witness) see(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, fmt.Sprintf(format, args...))
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// count counts the things seen that begin with prefix.
func (w *witness) count(prefix string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.seen {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

// await waits until n things have been seen that begin with prefix.
func (w *witness) await(n int, prefix string) {
	w.t.Helper()
	late := time.After(patience)
	for {
		got := w.count(prefix)
		if got >= n {
			return
		}
		select {
		case <-w.wake:
		case <-late:
			w.t.Fatalf("saw %d times %q, want %d", got, prefix, n)
		}
	}
}

func (w *witness) client() *mcp.Client {
	client := mcp.NewClient(&mcp.Implementation{Name: "witness", Version: "1"}, &mcp.ClientOptions{
		CreateMessageHandler: func(_ context.Context, r *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			w.see("asked to sample %d messages", len(r.Params.Messages))
			return &mcp.CreateMessageResult{Model: "none", Role: "assistant", Content: &mcp.TextContent{Text: "sampled"}}, nil
		},
		ElicitationHandler: func(_ context.Context, r *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			w.see("asked %q", r.Params.Message)
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "Ann", "username": "ann", "email": "ann@example.org", "color": "red"}}, nil
		},
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
			w.see("progress of %v: %v of %v", r.Params.ProgressToken, r.Params.Progress, r.Params.Total)
		},
		LoggingMessageHandler: func(_ context.Context, r *mcp.LoggingMessageRequest) {
			w.see("log %s: %v", r.Params.Level, r.Params.Data)
		},
		ResourceUpdatedHandler: func(_ context.Context, r *mcp.ResourceUpdatedNotificationRequest) {
			w.see("updated %s", r.Params.URI)
		},
	})
	client.AddRoots(&mcp.Root{URI: "file:///nowhere", Name: "nowhere"})
	return client
}

// call calls a tool. Of a long result it keeps a sum.
func (w *witness) call(ctx context.Context, tool string, args map[string]any) {
	w.t.Helper()
	params := &mcp.CallToolParams{Name: tool, Arguments: args}
	params.SetProgressToken("token of " + tool)
	res, err := w.session.CallTool(ctx, params)
	if err != nil {
		w.see("%s fails: %v", tool, err)
		return
	}
	var text []string
	for _, c := range res.Content {
		b, err := c.MarshalJSON()
		if err != nil {
			w.t.Error(err)
		}
		if len(b) > 1000 {
			b = fmt.Appendf(nil, "%d bytes, %x", len(b), sha256.Sum256(b))
		}
		text = append(text, string(b))
	}
	w.see("%s: error %v, %s, %v", tool, res.IsError, strings.Join(text, " "), res.StructuredContent)
}

// A client of go-sdk sees of a server in a box what it sees of one that it
// started itself, in each revision of the protocol: requests of the server,
// reports of progress, cancellation, subscriptions, long results.
func TestClient(t *testing.T) {
	for _, row := range clientRows() {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.compare(t, ways)
		})
	}
}

// clientRow is a server, and what the client does with it.
type clientRow struct {
	name    string
	version string
	server  func(*testing.T) server
	act     func(context.Context, *witness)
	wants   []string // beginnings of what is seen also without a box
}

// compare has the client act with the server in each way, the first of which is bare.
func (row clientRow) compare(t *testing.T, ways []way) {
	var seen [][]string
	for _, way := range ways {
		seen = append(seen, watch(t, way.command(t, row.server(t)), row.version, row.act))
	}
	for i, s := range seen {
		if !slices.Equal(seen[0], s) {
			t.Errorf("%s the client saw something else: %s", ways[i].name,
				differ([]byte(strings.Join(s, "\n")), []byte(strings.Join(seen[0], "\n"))))
		}
	}
	for _, want := range row.wants {
		if !slices.ContainsFunc(seen[0], func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("without a box nothing was seen that begins with %q: %q", want, seen[0])
		}
	}
}

func clientRows() []clientRow {
	none := map[string]any{}
	everything := func(ctx context.Context, w *witness) {
		w.call(ctx, "test_simple_text", none)
		w.call(ctx, "test_tool_with_progress", none)
		w.await(3, "progress of token of test_tool_with_progress")
		w.call(ctx, "test_error_handling", none)
		w.call(ctx, "no such tool", none)
	}
	own := func(ctx context.Context, w *witness) {
		w.subscribe(ctx)
		for _, size := range []int{1 << 10, 64<<10 - 100, 5 << 20} { // 7 MiB as JSON
			w.call(ctx, "big", map[string]any{"n": size})
		}
		w.call(ctx, "progress", map[string]any{"n": 200})
		w.await(200, "progress of token of progress")
		w.cancel(ctx)
		w.call(ctx, "cancelled", none)
	}
	return []clientRow{
		{"go, sessions", "2025-11-25", goEverything, func(ctx context.Context, w *witness) {
			everything(ctx, w)
			w.call(ctx, "test_sampling", map[string]any{"prompt": "hello"})
			w.call(ctx, "test_elicitation", map[string]any{"message": "who?"})
			w.call(ctx, "test_elicitation_sep1330_enums", none)
		}, []string{"asked to sample 1", `asked "who?"`, "no such tool fails", "test_error_handling: error true"}},
		{"go, stateless", "2026-07-28", goEverything, func(ctx context.Context, w *witness) {
			everything(ctx, w)
			w.call(ctx, "test_input_required_result_multiple_inputs", none)
			w.call(ctx, "test_input_required_result_multi_round", none)
			w.call(ctx, "test_input_required_result_tampered_state", none)
			w.call(ctx, "test_sampling", map[string]any{"prompt": "hello"})
		}, []string{"asked to sample 1", `asked "Step 1: What is your name?"`, "test_input_required_result_multiple_inputs: error false"}},
		{"typescript", "2025-11-25", nodeEverything, func(ctx context.Context, w *witness) {
			w.call(ctx, "echo", map[string]any{"message": "\u00e9\u2028\U0001f4e6 \\ \" end"})
			w.call(ctx, "get-structured-content", map[string]any{"location": "Chicago"})
			w.call(ctx, "get-tiny-image", none)
			w.call(ctx, "get-roots-list", none)
			w.call(ctx, "trigger-sampling-request", map[string]any{"prompt": "hello", "maxTokens": 10})
			w.call(ctx, "trigger-elicitation-request", none)
			w.call(ctx, "trigger-long-running-operation", map[string]any{"duration": 0.2, "steps": 3})
			w.await(3, "progress of token of trigger-long-running-operation")
		}, []string{"asked to sample 1", "asked ", "echo: error false", "get-roots-list: error false"}},
		{"2024-11-05", "2024-11-05", peerSDK, own, []string{"big: error false"}},
		{"2025-03-26", "2025-03-26", peerSDK, own, []string{"big: error false"}},
		{"2025-06-18", "2025-06-18", peerSDK, own, []string{"big: error false"}},
		{"2025-11-25", "2025-11-25", peerSDK, own, []string{"big: error false"}},
		{"2026-07-28", "2026-07-28", peerSDK, own, []string{"big: error false", "wait fails", `cancelled: error false, {"type":"text","text":"wait was cancelled"}`}},
	}
}

func peerSDK(t *testing.T) server { return peer(t, "sdk") }

// subscribe subscribes to a resource, and has it change until word of that
// comes: without sessions the client does not wait until it has subscribed.
func (w *witness) subscribe(ctx context.Context) {
	w.t.Helper()
	if err := w.session.Subscribe(ctx, &mcp.SubscribeParams{URI: "peer://clock"}); err != nil {
		w.t.Errorf("subscribe: %v", err)
	}
	for w.count("updated peer://clock") == 0 && ctx.Err() == nil {
		if _, err := w.session.CallTool(ctx, &mcp.CallToolParams{Name: "touch"}); err != nil {
			w.t.Fatalf("touch: %v", err)
		}
		select {
		case <-w.wake:
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := w.session.Unsubscribe(ctx, &mcp.UnsubscribeParams{URI: "peer://clock"}); err != nil {
		w.t.Errorf("unsubscribe: %v", err)
	}
}

// cancel calls a tool that does not end, and then changes its mind.
func (w *witness) cancel(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	_, err := w.session.CallTool(ctx, &mcp.CallToolParams{Name: "wait"})
	w.see("wait fails: %v", err != nil)
}

// watch has a client act, and returns what it saw, in order of the alphabet,
// because it handles what comes at once, and each thing once.
func watch(t *testing.T, r *run, version string, act func(context.Context, *witness)) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w := &witness{t: t, wake: make(chan struct{}, 1)}
	wire := dial(t, r)
	session, err := w.client().Connect(ctx, &mcp.IOTransport{Reader: wire.out, Writer: wire.in, MaxLineLength: 64 << 20},
		&mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatalf("%s: %v\n%s", r.way.name, err, &r.stderr)
	}
	w.session = session
	hello := session.InitializeResult()
	if hello.ProtocolVersion != version {
		t.Errorf("%s: the server speaks %s", r.way.name, hello.ProtocolVersion)
	}
	w.see("server %s, %s, %+v", hello.ServerInfo.Name, hello.Instructions, hello.Capabilities.Tools)
	w.list(ctx)
	act(ctx, w)
	_ = session.Close() // an error is that the server did not wait for the end
	wire.end()
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.Sort(w.seen)
	return slices.Compact(w.seen)
}

// list asks for all that there is.
func (w *witness) list(ctx context.Context) {
	w.t.Helper()
	for tool, err := range w.session.Tools(ctx, nil) {
		if err != nil {
			w.t.Fatalf("tools/list: %v", err)
		}
		text, err := json.Marshal(tool)
		if err != nil {
			w.t.Error(err)
		}
		w.see("tool %s", text)
	}
	if w.session.InitializeResult().Capabilities.Prompts != nil {
		for p, err := range w.session.Prompts(ctx, nil) {
			if err != nil {
				w.t.Fatalf("prompts/list: %v", err)
			}
			w.see("prompt %s %s", p.Name, p.Description)
		}
	}
	for res, err := range w.session.Resources(ctx, nil) {
		if err != nil {
			w.t.Fatalf("resources/list: %v", err)
		}
		w.see("resource %s %s", res.URI, res.Description)
	}
}
