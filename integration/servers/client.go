package servers

//lint:file-ignore SA1019 servers of the protocols up to 2025-11-25 ask for roots and sampling

import (
	"context"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// newClient is a client that can do all that a server may ask of one, with
// fixed answers: its root is the declared directory. asked is called with the
// method of each request of the server.
func newClient(p Place, asked func(method string)) *mcp.Client {
	client := mcp.NewClient(&mcp.Implementation{Name: "mcpbox-test", Version: "1"}, &mcp.ClientOptions{
		CreateMessageHandler: func(context.Context, *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			return &mcp.CreateMessageResult{Model: "none", Role: "assistant", Content: &mcp.TextContent{Text: "sampled"}}, nil
		},
		ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: "decline"}, nil
		},
	})
	client.AddRoots(&mcp.Root{URI: "file://" + p.Work, Name: "work"})
	client.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
			// Notifications come at any time; requests because of a call.
			if !strings.HasPrefix(method, "notifications/") {
				asked(method)
			}
			return next(ctx, method, req)
		}
	})
	return client
}

// transport is the SDK's command transport, but passes over what is no message:
// some servers (elasticsearch) log on stdout, which hosts bear.
type transport struct{ mcp.CommandTransport }

func (t transport) Connect(ctx context.Context) (mcp.Connection, error) {
	conn, err := t.CommandTransport.Connect(ctx)
	return tolerant{conn}, err
}

type tolerant struct{ mcp.Connection }

func (c tolerant) Read(ctx context.Context) (jsonrpc.Message, error) {
	for {
		msg, err := c.Connection.Read(ctx)
		// The SDK has no value for this error.
		if err == nil || !strings.Contains(err.Error(), "invalid message version tag") {
			return msg, err
		}
	}
}
