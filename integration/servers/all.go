package servers

type args = map[string]any

func works(tool string, a args) Call { return Call{Tool: tool, Args: a} }
func fails(tool string, a args) Call { return Call{Tool: tool, Args: a, Fails: true} }

// All is every public server that the tests run, those with test calls first.
func All() []Server {
	return []Server{
		{
			ID:   "filesystem",
			Argv: []string{"node", module("@modelcontextprotocol/server-filesystem/dist/index.js"), "{work}"},
			Calls: []Call{
				works("list_directory", args{"path": "{work}"}),
				works("read_text_file", args{"path": "{work}/README.md"}),
				works("write_file", args{"path": "{work}/new/../note.txt", "content": "one\ntwo\n"}),
				works("edit_file", args{"path": "{work}/note.txt", "edits": []map[string]string{{"oldText": "two", "newText": "three"}}}),
				works("create_directory", args{"path": "{work}/new"}),
				works("move_file", args{"source": "{work}/note.txt", "destination": "{work}/new/note.txt"}),
				works("search_files", args{"path": "{work}", "pattern": "**/note.txt"}),
				works("directory_tree", args{"path": "{work}/new"}),
				fails("read_text_file", args{"path": "/etc/passwd"}),
			},
		},
		{
			ID:   "memory",
			Argv: []string{module(".bin/mcp-server-memory")},
			// Beside its own program, where it would write otherwise, is read-only.
			Env: map[string]string{"MEMORY_FILE_PATH": "{work}/memory.jsonl"},
			Calls: []Call{
				works("create_entities", args{"entities": []map[string]any{{"name": "box", "entityType": "thing", "observations": []string{"closed"}}}}),
				works("add_observations", args{"observations": []map[string]any{{"entityName": "box", "contents": []string{"small"}}}}),
				works("search_nodes", args{"query": "small"}),
				works("read_graph", nil),
			},
		},
		{
			ID:   "everything",
			Argv: []string{module(".bin/mcp-server-everything")},
			// Not get-env: that the environment differs is the box's purpose.
			Calls: []Call{
				works("echo", args{"message": "\u00e9\u2028\U0001f4e6 \\ \" end"}),
				works("get-sum", args{"a": 19, "b": 23}),
				works("get-tiny-image", nil),
				works("get-structured-content", args{"location": "Chicago"}),
				works("get-annotated-message", args{"messageType": "error", "includeImage": true}),
				works("get-roots-list", nil),
				works("trigger-long-running-operation", args{"duration": 0.2, "steps": 2}),
				works("trigger-sampling-request", args{"prompt": "hello", "maxTokens": 10}),
				works("trigger-elicitation-request", nil),
				fails("no-such-tool", nil),
			},
		},
		{
			ID:   "sequential-thinking",
			Argv: []string{module(".bin/mcp-server-sequential-thinking")},
			Calls: []Call{
				works("sequentialthinking", args{"thought": "a box", "nextThoughtNeeded": true, "thoughtNumber": 1, "totalThoughts": 2}),
				works("sequentialthinking", args{"thought": "is a box", "nextThoughtNeeded": false, "thoughtNumber": 2, "totalThoughts": 2}),
			},
		},
		{
			ID:   "sqlite", // a native addon
			Argv: []string{module(".bin/mcp-server-sqlite-npx"), "{work}/test.db"},
			Calls: []Call{
				works("create_table", args{"query": "create table box (name text, size integer)"}),
				works("write_query", args{"query": "insert into box values ('small', 1), ('large', 9)"}),
				works("read_query", args{"query": "select * from box order by size"}),
				works("list_tables", nil),
				fails("read_query", args{"query": "select * from nothing"}),
			},
		},
		{
			ID:   "git", // starts git
			Argv: []string{module(".bin/git-mcp-server")},
			Env: map[string]string{
				"MCP_TRANSPORT_TYPE": "stdio", "GIT_BASE_DIR": "{work}", "GIT_SIGN_COMMITS": "false", "MCP_LOG_LEVEL": "error",
				"GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z",
				"GIT_COMMITTER_NAME": "B", "GIT_COMMITTER_EMAIL": "b@example.org",
			},
			Calls: []Call{
				works("git_status", args{"path": "{work}"}),
				works("git_log", args{"path": "{work}"}),
				works("git_add", args{"path": "{work}", "paths": []string{"new.txt"}}),
				works("git_diff", args{"path": "{work}", "staged": true}),
				works("git_branch", args{"path": "{work}", "mode": "create", "branchName": "other"}),
				works("git_commit", args{"path": "{work}", "message": "second", "author": map[string]string{"name": "B", "email": "b@example.org"}}),
				fails("git_status", args{"path": "/usr"}),
			},
			Varies: []string{`[A-Z0-9]{5}-[A-Z0-9]{5}`, `\d{4}-\d\d-\d\dT[0-9:.]+Z`},
		},
		{
			ID:   "desktop-commander", // starts shells
			Argv: []string{module(".bin/desktop-commander")},
			Calls: []Call{
				works("read_file", args{"path": "{work}/README.md"}),
				works("write_file", args{"path": "{work}/note.txt", "content": "one\n"}),
				works("list_directory", args{"path": "{work}"}),
				// It loses the output of a shell that ends at once, now and then.
				works("start_process", args{"command": "wc -l {work}/README.md; sleep 1", "timeout_ms": 5000}),
			},
			Varies: []string{`PID \d+`, `pid \d+`, `\d+(\.\d+)?ms`},
			Dials: []string{
				"telemetry.desktopcommander.app:443", "desktopcommander.app:443", "googlechromelabs.github.io:443",
				"dc-telemetry-proxy-83847352264.europe-west1.run.app:443",
			},
		},
		{
			ID:   "playwright", // starts a browser
			Argv: []string{module(".bin/playwright-mcp"), "--headless", "--no-sandbox", "--isolated", "--executable-path", "{browser}"},
			Box:  []string{"--profile", "chromium"},
			// The profile has UNIX sockets of its own, which kernels without
			// Landlock ABI 9 cannot keep apart from those in host directories.
			NoWork: true,
			Calls: []Call{
				works("browser_navigate", args{"url": "data:text/html,<title>box</title><h1>closed</h1>"}),
				works("browser_snapshot", nil),
				works("browser_evaluate", args{"function": "() => document.title + 6 * 7"}),
				works("browser_take_screenshot", nil),
			},
			// The last is where pages go: the project, or else a temporary directory.
			Varies: []string{`\d{4}-\d\d-\d\dT[0-9-]+Z`, `"data":"[^"]*"`, `[./]*\.playwright-mcp/`},
		},
		{
			ID:   "mongodb", // 400 MB of packages
			Argv: []string{module(".bin/mongodb-mcp-server")},
			Calls: []Call{
				works("list-connections", nil),
				fails("list-databases", args{"connectionId": "none"}),
			},
			Dials: []string{"cloud.mongodb.com:443"},
		},
		{
			ID:    "kubernetes", // a Node.js program that starts a Go program
			Argv:  []string{module(".bin/kubernetes-mcp-server")},
			Env:   map[string]string{"KUBECONFIG": "{work}/kubeconfig"},
			Dials: []string{"127.0.0.1:9"},
			Calls: []Call{
				works("configuration_view", nil),
			},
		},
		{
			ID:   "go-everything", // a static Go program
			Argv: []string{"{go}/everything-server"},
			Calls: []Call{
				works("test_simple_text", nil),
				works("test_multiple_content_types", nil),
				works("test_tool_with_progress", nil),
				fails("test_sampling", args{"prompt": "hello"}), // not in protocol 2026-07-28, which this server speaks
				fails("test_error_handling", nil),
			},
		},
		{
			ID:    "grafana", // 81 tools in one line of 102 kB
			Argv:  []string{"{go}/mcp-grafana"},
			Env:   map[string]string{"GRAFANA_URL": "http://127.0.0.1:9", "GRAFANA_SERVICE_ACCOUNT_TOKEN": "none"},
			Dials: []string{"127.0.0.1:9"},
			Calls: []Call{
				fails("list_datasources", nil), // nothing listens there
			},
		},

		// The tools of these need the internet.
		{ID: "brave", Argv: []string{module(".bin/brave-search-mcp-server"), "--transport", "stdio"}, Env: map[string]string{"BRAVE_API_KEY": "none"}},
		{ID: "context7", Argv: []string{module(".bin/context7-mcp")}},
		{
			ID: "elasticsearch", Argv: []string{module(".bin/mcp-server-elasticsearch")}, Env: map[string]string{"ES_URL": "http://127.0.0.1:9", "ES_API_KEY": "none"},
			// Its OpenTelemetry asks which cloud it is in, and where to report to.
			Dials:  []string{"metadata.google.internal:80", "100.100.100.200:80", "169.254.169.254:80", "127.0.0.1:4318"},
			Chatty: true,
		},
		{ID: "notion", Argv: []string{module(".bin/notion-mcp-server")}, Env: map[string]string{"NOTION_TOKEN": "ntn_none"}},
		{ID: "slack", Argv: []string{module(".bin/mcp-server-slack")}, Env: map[string]string{"SLACK_BOT_TOKEN": "xoxb-none", "SLACK_TEAM_ID": "T0"}},
		{ID: "supabase", Argv: []string{module(".bin/mcp-server-supabase"), "--access-token=sbp_0102030405060708090a0b0c0d0e0f1011121314", "--features=account,database"}},
	}
}
