package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// clock is a resource that changes when the tool touch is called.
const clock = "peer://clock"

type none struct{}

type size struct {
	N int `json:"n"`
}

// serve is a server with tools for what the public servers that the tests run
// have none for: results of a size, reports of progress without end, calls that
// end only when they are cancelled, a resource that changes on demand.
func serve() error {
	cancelled := make(chan struct{})
	server := mcp.NewServer(&mcp.Implementation{Name: "peer", Version: "1"}, &mcp.ServerOptions{
		SubscribeHandler:   func(context.Context, *mcp.SubscribeRequest) error { return nil },
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
	})
	add(server, "big", func(_ context.Context, _ *mcp.CallToolRequest, a size) (string, error) {
		// Not one letter over and over, so that a part that is lost or doubled shows.
		var text strings.Builder
		for i := 0; text.Len() < a.N; i++ {
			fmt.Fprintf(&text, "%d é\u2028\"\\\n", i)
		}
		return text.String(), nil
	})
	add(server, "progress", func(ctx context.Context, req *mcp.CallToolRequest, a size) (string, error) {
		for i := range a.N {
			if err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
				ProgressToken: req.Params.GetProgressToken(), Progress: float64(i + 1), Total: float64(a.N), Message: "step",
			}); err != nil {
				return "", err
			}
		}
		return "done", nil
	})
	add(server, "wait", func(ctx context.Context, _ *mcp.CallToolRequest, _ none) (string, error) {
		<-ctx.Done()
		close(cancelled)
		return "", ctx.Err()
	})
	add(server, "cancelled", func(ctx context.Context, _ *mcp.CallToolRequest, _ none) (string, error) {
		select {
		case <-cancelled:
			return "wait was cancelled", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	})
	add(server, "touch", func(ctx context.Context, _ *mcp.CallToolRequest, _ none) (string, error) {
		return "touched", server.ResourceUpdated(ctx, &mcp.ResourceUpdatedNotificationParams{URI: clock})
	})
	server.AddResource(&mcp.Resource{URI: clock, Name: "clock"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: clock, Text: "now"}}}, nil
	})
	return server.Run(context.Background(), &mcp.StdioTransport{})
}

func add[In any](server *mcp.Server, name string, f func(context.Context, *mcp.CallToolRequest, In) (string, error)) {
	mcp.AddTool(server, &mcp.Tool{Name: name}, func(ctx context.Context, req *mcp.CallToolRequest, in In) (*mcp.CallToolResult, any, error) {
		text, err := f(ctx, req, in)
		if err != nil {
			return nil, nil, err
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil, nil
	})
}
