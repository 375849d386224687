// Image packs files of this machine as an OCI image, without a daemon, a
// Containerfile or root. What it prints is for "mcpbox image import". An image with
// Node.js and a server of npm:
//
//	npm install --ignore-scripts --prefix /tmp/server @modelcontextprotocol/server-everything
//	go run ./examples/image -ref example.com/everything:1 -program "$(command -v node)" \
//		-copy /tmp/server=/app -workdir /app \
//		-- node /app/node_modules/@modelcontextprotocol/server-everything/dist/index.js |
//		mcpbox image import -
//	mcpbox run --backend containerd --image example.com/everything:1
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/mcpbox/mcpbox/integration/image"
)

func main() {
	if err := pack(); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func pack() error {
	r := image.Recipe{Files: map[string]string{}, Links: map[string]string{}}
	flag.StringVar(&r.Ref, "ref", "example.com/server:1", "name of the image")
	flag.StringVar(&r.Config.WorkingDir, "workdir", "", "directory to start in")
	flag.Func("program", "program to copy, with its libraries, and to find by its name; repeatable", func(s string) error {
		r.Programs = append(r.Programs, s)
		if dir := path.Dir(s); dir != "/usr/bin" && dir != "/bin" {
			r.Links["/usr/bin/"+path.Base(s)] = s
		}
		return nil
	})
	flag.Func("copy", "`FILE=PATH` of the image, of a file or a directory; repeatable", func(s string) error {
		from, to, ok := strings.Cut(s, "=")
		if !ok || !path.IsAbs(to) {
			return errors.New("write it as FILE=/PATH")
		}
		r.Files[to] = from
		return nil
	})
	flag.Func("env", "`NAME=VALUE` that the image sets; repeatable", func(s string) error {
		r.Config.Env = append(r.Config.Env, s)
		return nil
	})
	flag.Func("volume", "`PATH` that the image wants to write to; repeatable", func(s string) error {
		if r.Config.Volumes == nil {
			r.Config.Volumes = map[string]struct{}{}
		}
		r.Config.Volumes[s] = struct{}{}
		return nil
	})
	flag.Parse()
	if r.Config.Entrypoint = flag.Args(); len(r.Config.Entrypoint) == 0 {
		return errors.New("no command; write it last: -- COMMAND [ARG...]")
	}
	r.Config.Env = append([]string{"PATH=/usr/local/bin:/usr/bin:/bin"}, r.Config.Env...)
	out := bufio.NewWriter(os.Stdout)
	if err := image.Write(out, r); err != nil {
		return err
	}
	return out.Flush()
}
