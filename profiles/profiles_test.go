package profiles

import (
	"strings"
	"testing"
)

func TestFor(t *testing.T) {
	for _, c := range []struct {
		argv string
		want string
	}{
		{"/usr/bin/node /srv/dist/index.js", "node"},
		{"/usr/bin/nodejs server.js", "node"},
		{"/usr/bin/npx -y @modelcontextprotocol/server-memory", "node"},
		{"/usr/lib/node_modules/npm/bin/npx-cli.js -y x", "node"},
		{"/home/u/.nvm/versions/node/v20.1.0/bin/node x.js", "node"},
		{"/usr/bin/python3 -m server", "python"},
		{"/usr/bin/python3.11 -m server", "python"},
		{"/home/u/.local/bin/uvx mcp-server-git", "python"},
		{"/opt/deno run -A x.ts", "deno"},
		{"/home/u/.bun/bin/bun run x.ts", "bun"},
		{"/home/u/bun.exe run x.ts", "bun"},
		{"/home/u/go/bin/github-mcp-server stdio", "go"},
		{"/usr/bin/npx @playwright/mcp@latest --headless", "chromium"},
		{"/usr/bin/node /p/node_modules/@playwright/mcp/cli.js", "chromium"},
		{"/usr/bin/node /p/node_modules/@playwright/mcpx/cli.js", "node"},
		{"/usr/bin/node /home/u/playwright/server.js", "node"},
		{"/usr/bin/google-chrome --headless", "chromium"},
		{"/bin/sh -c true", "default"},
		{"/usr/bin/java -jar x.jar", "default"},
		{"/home/u/start.sh", "default"},
	} {
		argv := strings.Fields(c.argv)
		got, why := For(argv[0], argv)
		if got != c.want || why == "" {
			t.Errorf("For(%s) = %s (%s), want %s", c.argv, got, why, c.want)
		}
	}
	if got, why := For("/usr/bin/env", nil); got != Default || why == "" {
		t.Errorf("For without arguments = %s (%s)", got, why)
	}
}

func TestManuals(t *testing.T) {
	names := Names()
	if names[0] != Default {
		t.Errorf("Names() starts with %s", names[0])
	}
	for _, want := range []string{"node", "python", "go", "deno", "bun", "chromium"} {
		if _, err := Source(want); err != nil {
			t.Error(err)
		}
	}
	for _, name := range names {
		data, err := Source(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(data), "# "+name+": ") {
			t.Errorf("%s: the manual does not start with its name", name)
		}
		if s, err := Summary(name); err != nil || s == "" || strings.HasPrefix(s, "#") {
			t.Errorf("Summary(%s) = %q, %v", name, s, err)
		}
	}
	if _, err := Source("../profiles"); err == nil || !strings.Contains(err.Error(), "node") {
		t.Errorf("Source of an unknown profile: %v", err)
	}
}
