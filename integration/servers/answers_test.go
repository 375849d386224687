package servers

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// greeting is in everything that the origin answers.
const greeting = "greetings-from-the-origin"

// answers is what the sites that the servers call say, as far as the servers
// want to know. Those who only collect get an empty object.
var answers = map[string]string{
	"slack.com":            `{"ok":true,"channels":[{"id":"C1","name":"` + greeting + `"}]}`,
	"context7.com":         `{"results":[{"id":"/o/p","title":"` + greeting + `","description":"","branch":"main","lastUpdateDate":"","state":"finalized","totalTokens":1,"totalSnippets":1}]}`,
	"api.notion.com":       `{"object":"user","id":"u","type":"bot","name":"` + greeting + `"}`,
	"api.supabase.com":     `[{"id":"o","slug":"o","name":"` + greeting + `"}]`,
	"api.search.brave.com": `{"type":"search","query":{"original":"box"},"web":{"type":"search","results":[{"type":"search_result","title":"` + greeting + `","url":"https://box.example.org/","description":"a box","extra_snippets":[]}]}}`,
	"es.example.org":       `[{"index":"` + greeting + `","health":"green","status":"open","docs.count":"1"}]`,
	"page.example.org":     `<!doctype html><title>` + greeting + `</title><link rel=icon href="data:,">`,
}

// web serves them, by the name that the request is for.
func (o *origin) web() http.Handler {
	server := mcp.NewServer(&mcp.Implementation{Name: "remote", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "greet"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: greeting}}}, nil, nil
	})
	remote := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		o.said(r.Context().Value(http.LocalAddrContextKey).(net.Addr), host)
		switch host {
		case "telemetry.desktopcommander.app", "169.254.169.254":
			panic(http.ErrAbortHandler) // so that the server tries its second address, too
		}
		if host == "mcp.linear.app" {
			if r.URL.Path == "/mcp" {
				remote.ServeHTTP(w, r)
			} else {
				http.NotFound(w, r) // the client looks for an authorization server
			}
			return
		}
		body, known := answers[host]
		if !known {
			body = "{}"
		}
		w.Header().Set("Content-Type", "application/json")
		if host == "page.example.org" {
			w.Header().Set("Content-Type", "text/html")
		}
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = io.WriteString(w, body)
	})
}
