package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/runs"
	"github.com/mcpbox/mcpbox/netfilter"
	"github.com/mcpbox/mcpbox/policy"
	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/native"
	"github.com/spf13/cobra"
)

func doctorCommand(c console) *cobra.Command {
	var asJSON, apparmor bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check whether this machine can run boxes",
		Long: `Doctor looks at each layer that a box has on this machine, starts a box that does
nothing, and says what is missing and what to type. It exits with 1 if no box
would start.`,
		Example: `  mcpbox doctor
  mcpbox doctor --apparmor | sudo tee /etc/apparmor.d/mcpbox`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if apparmor {
				return writeAppArmor(c)
			}
			layers := diagnose()
			if asJSON {
				if err := writeJSON(c, layers); err != nil {
					return err
				}
			} else {
				showLayers(c, layers)
			}
			for _, l := range layers {
				if l.State == sandbox.Fatal {
					return &codedError{code: 1}
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&apparmor, "apparmor", false, "print the AppArmor profile that Ubuntu 24.04 and newer need")
	return cmd
}

func diagnose() []sandbox.Layer {
	ofContainerd := checkContainerd() // first, as it may be another program's business, with all the rest
	layers := new(native.Backend).Check()
	host, own, err := openHost()
	if err != nil {
		return append(layers, sandbox.Layer{Name: "user", State: sandbox.Fatal, Detail: err.Error()})
	}
	layers = append(append(layers, checkJournal(own), checkRuns(own)), checkBox(host)...)
	return append(layers, ofContainerd...)
}

func checkJournal(own dirs.Dirs) sandbox.Layer {
	l := sandbox.Layer{Name: "journal", State: sandbox.Enforced, Detail: own.State}
	if err := dirs.Private(own.State); err != nil {
		l.State, l.Detail, l.Fix = sandbox.Fatal, err.Error(), "see the message"
	}
	return l
}

func checkRuns(own dirs.Dirs) sandbox.Layer {
	l := sandbox.Layer{Name: "runs", State: sandbox.Enforced, Detail: own.Runtime}
	if err := runs.Check(own.Runtime); err != nil {
		l.State, l.Detail, l.Fix = sandbox.Fatal, err.Error(), "see the message"
	}
	return l
}

// checkBox runs the real thing, which is worth more than any probe.
func checkBox(host policy.Host) []sandbox.Layer {
	l := sandbox.Layer{Name: "box", State: sandbox.Enforced, Detail: "started and ended one"}
	p := &policy.Policy{}
	filter := netfilter.New(netfilter.Config{})
	defer filter.Close()
	if err := tryBox(host, p, filter); err != nil {
		l.State, l.Detail = sandbox.Fatal, err.Error()
		return []sandbox.Layer{l}
	}
	return []sandbox.Layer{egressLayer(p, filter), l}
}

func tryBox(host policy.Host, p *policy.Policy, filter *netfilter.Filter) error {
	spec, _, err := policy.Spec(p, policy.Program{Exec: "/bin/true", Argv: []string{"/bin/true"}}, host)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	box, err := new(native.Backend).Start(ctx, spec, network(p, filter))
	if err != nil {
		return err
	}
	defer box.Kill()
	box.Stdin().Close()
	said, err := io.ReadAll(box.Stderr())
	if err != nil {
		return err
	}
	exit, err := box.Wait()
	if err == nil && (exit.Code != 0 || exit.Signal != 0) {
		err = fmt.Errorf("/bin/true ended with %d, signal %d: %s", exit.Code, exit.Signal, said)
	}
	return err
}

func showLayers(c console, layers []sandbox.Layer) {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, l := range layers {
		fmt.Fprintf(w, "%s\t%s\t%s\n", l.Name, l.State, printable(l.Detail))
	}
	w.Flush()
	for _, l := range layers {
		if l.Fix != "" {
			fprint(c.out, fmt.Sprintf("\n%s: %s", l.Name, printable(l.Fix)))
		}
	}
}

// writeAppArmor prints a profile that only says that mcpbox, and the program with
// containerd's client beside it, may make user namespaces, as unconfined programs may
// elsewhere.
func writeAppArmor(c console) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return err
	}
	self = strings.TrimSuffix(self, fullName[len("mcpbox"):]) + "{," + fullName[len("mcpbox"):] + "}"
	fprint(c.out, fmt.Sprintf(`abi <abi/4.0>,
include <tunables/global>

profile mcpbox %q flags=(unconfined) {
  userns,
  include if exists <local/mcpbox>
}`, self))
	return nil
}
