package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/packages"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/program"
	"github.com/mcpbox/mcpbox/policy"
	"github.com/spf13/cobra"
)

func addCommand(c console) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "add NAME [--from COMMAND]",
		Short: "Install a server, and write a policy to start from",
		Long: `Add installs a server as the first "mcpbox run" would: the package that COMMAND, the
line of a package runner, asks for, into the package store. It pins NAME to what
was installed, writes servers/NAME.toml, in which everything that could be allowed
is a comment, and prints the entry for your host's mcpServers.

Without --from, NAME is a package of npm, and its last part becomes the name.`,
		Example: `  mcpbox add fs --from "npx -y @modelcontextprotocol/server-filesystem ~/projects/x"
  mcpbox add @modelcontextprotocol/server-memory`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			inv := &invocation{name: args[0], given: func(flag string) bool { return flag == "name" }}
			if from == "" {
				inv.argv = []string{"npx", "-y", args[0]}
				inv.name, inv.given = "", func(string) bool { return false }
			} else if inv.argv = program.SplitWords(from); len(inv.argv) == 0 {
				return &usageError{cmd, errors.New("--from is empty")}
			}
			return add(c, inv)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", `the command to install from, such as "npx -y PACKAGE ARG"`)
	cmd.RegisterFlagCompletionFunc("from", cobra.NoFileCompletions)
	return cmd
}

func add(c console, inv *invocation) error {
	request, err := packages.Parse(inv.argv)
	if err != nil {
		return err
	} else if line := imageHint(inv.argv); request == nil && line != "" {
		return errors.New(line)
	} else if request == nil {
		return fmt.Errorf("%s installs nothing; to run it, type: mcpbox run -- %s", inv.argv[0], commandLine(inv.argv))
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := inv.provideNow(c, signals); err != nil {
		return err
	}
	host, own, err := openHost()
	if err != nil {
		return err
	}
	pin, file := inv.installed.pin, filepath.Join(own.Config, "servers", inv.name+".toml")
	text := fmt.Sprintf("%s runs %s@%s.\nPolicy: %s\nEntry for mcpServers:\n\n%s", inv.name, pin.Name, pin.Version, file, hostEntry(inv))
	if paths := notInPolicy(host, own.Config, file, request.Args); len(paths) > 0 {
		text += fmt.Sprintf("\n\nIts command line names %s, which is not in its box yet: to let it\nwrite there, or read, say so below [files] in the policy.", strings.Join(paths, ", "))
	}
	fprint(c.out, printableText(text))
	return nil
}

// notInPolicy lists what a server is told of on its command line and its policy does
// not show to it: most servers of files do not start then.
func notInPolicy(host policy.Host, config, file string, args []string) []string {
	p, err := loadPolicy(host, file)
	if err != nil {
		return nil // which the first start says
	}
	shown, _ := declaredPaths(host, config, p)
	return slices.DeleteFunc(existing(args, host.Facts()), func(path string) bool {
		real, err := filepath.EvalSymlinks(path)
		return err != nil || slices.ContainsFunc(shown, func(dir string) bool { return inside(real, dir) })
	})
}

// hostEntry is the entry of a host's configuration that runs the server.
func hostEntry(inv *invocation) string {
	command := "mcpbox"
	if self, err := os.Executable(); err == nil {
		command = self
	}
	args := append([]string{"run", "--name", inv.name, "--"}, inv.argv...)
	home, _ := os.UserHomeDir() // or else "~" stays
	var quoted []string
	for _, arg := range args {
		// Hosts start servers without a shell.
		if rest, ok := strings.CutPrefix(arg, "~/"); ok && home != "" {
			arg = filepath.Join(home, rest)
		}
		quoted = append(quoted, jsonString(arg))
	}
	return fmt.Sprintf("  %s: {\n    \"command\": %s,\n    \"args\": [%s]\n  }", jsonString(inv.name), jsonString(command), strings.Join(quoted, ", "))
}

// jsonString writes a string of JSON, with <, > and & as they are.
func jsonString(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.Encode(s)
	return strings.TrimSuffix(b.String(), "\n")
}
