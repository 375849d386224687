package packages

import (
	"errors"
	"strings"
	"testing"
)

func TestParsePython(t *testing.T) {
	for line, want := range map[string]string{
		"uvx mcp-server-git --repository /x":                 "mcp-server-git | --repository /x",
		"uvx Mcp_Server.Git==1.2.3":                          "mcp-server-git==1.2.3 |",
		"uvx mcp-server@1.2":                                 "mcp-server==1.2 |",
		"uvx mcp-server@latest":                              "mcp-server |",
		"uvx -q --python 3.12 --with extra --from pkg[a] x":  "pkg[a] extra [x] 3.12 |",
		"uvx --with extra tool -v":                           "tool extra | -v",
		"uvx --from pkg>=1,<2 tool":                          "pkg>=1,<2 [tool] |",
		"uvx --default-index=https://pypi.example/simple t":  "t from https://pypi.example/simple |",
		"uv tool run --from pkg tool a":                      "pkg [tool] | a",
		"uv run --with mcp --with httpx python server.py -x": "mcp httpx [python] | server.py -x",
		"uv run --no-project --with pkg -- tool":             "pkg [tool] |",
		"pipx run --spec pkg==1 tool":                        "pkg==1 [tool] |",
		"pipx run tool":                                      "tool |",
	} {
		r, err := Parse(strings.Fields(line))
		if err != nil || r == nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		got := strings.Join(r.specs(), " ")
		if r.Bin != "" {
			got += " [" + r.Bin + "]"
		}
		if r.Registry != "" {
			got += " from " + r.Registry
		}
		if r.Python != "" {
			got += " " + r.Python
		}
		if got = strings.TrimRight(got+" | "+strings.Join(r.Args, " "), " "); got != want || r.Kind != PyPI {
			t.Errorf("%s: %s %q, want %q", line, r.Kind, got, want)
		}
	}
	for _, line := range []string{"uv sync", "uv tool install x", "pipx install x", "python -m x", "uv"} {
		if r, err := Parse(strings.Fields(line)); r != nil || err != nil {
			t.Errorf("%s: %v, %v", line, r, err)
		}
	}
	for line, want := range map[string]string{
		"uv run server.py":                      "it runs what a project has installed",
		"uv --directory /x run server.py":       "--directory is about a project",
		"uv run --directory /x server":          "--directory is about a project",
		"uv run --with mcp server.py":           "server.py is a script",
		"uvx git+https://x.example/y":           "no package of a registry",
		"uvx ./dir":                             "no package of a registry",
		"uvx --from . tool":                     "no package of a registry",
		"uvx --from https://x/y.whl tool":       "no package of a registry",
		"uvx pkg@git+https://x":                 "no package of a registry",
		"uvx --python /usr/bin/evil t":          "only versions",
		"uvx --with-editable . t":               "installs from a directory",
		"uvx --extra-index-url https://x/ t":    "adds another index",
		"uvx -pkg":                              "is not understood",
		"pipx run --pip-args=--pre t":           "changes how pip is run",
		"pipx run https://x.example/script.txt": "no package of a registry",
		"uvx":                                   "no package is named",
	} {
		r, err := Parse(strings.Fields(line))
		if wrong := (*NotUnderstoodError)(nil); !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) || r != nil {
			t.Errorf("%s: %v, %v; want %s", line, r, err, want)
		}
	}
}

func TestReadPipConfig(t *testing.T) {
	c, err := ReadPipConfig("global.index-url='https://ann:s3cret@one.example/simple'\ninstall.index-url='https://two.example/simple'\n"+
		"global.extra-index-url='\\nhttps://three.example/a\\nhttps://four.example/b'\nglobal.trusted-host='one.example'\nlist.format='columns'\n", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := c.Text("/ca")
	for _, want := range []string{"index-url = https://two.example/simple\n", "extra-index-url =\n    https://three.example/a\n    https://four.example/b\n", "trusted-host =\n    one.example\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	c, err = ReadPipConfig("global.index-url='https://ann:s3cret@one.example/simple'\n:env:.index-url='https://bob:pw@five.example/'\n", nil, nil)
	if err != nil || c.Index != "https://bob:pw@five.example/" || strings.Contains(c.Registries()[0].String(), "pw") || strings.Join(c.Secrets(), " ") != "pw bob" {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err = ReadPipConfig("", []string{"UV_DEFAULT_INDEX=https://six.example/"}, nil); err != nil || c.Index != "https://six.example/" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err = ReadPipConfig("global.index-url='file:///x s3cret'\n", nil, nil); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
	if c, err = ReadPipConfig("", nil, func() string { return "https://seven.example/" }); err != nil || c.Index != "https://seven.example/" {
		t.Errorf("%+v, %v", c, err)
	}
	help := "  -i, --index-url <url>       Base URL of the index (default\n                              https://eight.example/simple).\n  --extra-index-url <url>     (default https://no.example/)"
	if got := DefaultIndex(help); got != "https://eight.example/simple" {
		t.Error(got)
	}
	if got := DefaultIndex("nothing"); got != "" {
		t.Error(got)
	}
}
