//go:build !nocontainerd

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/images"
	"github.com/mcpbox/mcpbox/sandbox/containerd"
	"github.com/spf13/cobra"
)

func imageCommand(c console) *cobra.Command {
	cmd := newImageCommand()
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return &usageError{cmd, fmt.Errorf("unknown command %q", args[0])}
		}
		return cmd.Help()
	}
	cmd.AddCommand(imageListCommand(c), imageImportCommand(c), imagePullCommand(c), imageRemoveCommand(c))
	return cmd
}

// withClient connects to containerd, and ends what f does on a signal.
func withClient(f func(context.Context, *containerd.Client) error) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	return interruptible(signals, func(ctx context.Context) error {
		client, err := containerd.Dial(ctx, "")
		if err != nil {
			return err
		}
		defer client.Close()
		return f(ctx, client)
	})
}

// imageEntry is an image, and who runs it.
type imageEntry struct {
	Ref     string    `json:"ref"`
	Digest  string    `json:"digest"`
	Bytes   int64     `json:"bytes"`
	Created time.Time `json:"created"`
	Source  string    `json:"source"`
	UsedBy  []string  `json:"usedBy"`
	Others  []string  `json:"others"` // users
}

// imageEntries lists the images, which servers of this user are pinned to each, and which
// other users have some, as far as they have said.
func imageEntries(ctx context.Context, client *containerd.Client) ([]imageEntry, error) {
	own, err := ownDirs()
	if err != nil {
		return nil, err
	}
	pins, err := images.List(own.State, "")
	if err != nil {
		return nil, err
	}
	found, err := client.Images(ctx)
	if err != nil {
		return nil, err
	}
	others, err := client.Others(ctx)
	if err != nil {
		return nil, err
	}
	list := []imageEntry{}
	for _, im := range found {
		e := imageEntry{im.Ref, im.Digest, im.Size, im.Created, im.Source, []string{}, []string{}}
		for _, uid := range others[im.Name()] {
			e.Others = append(e.Others, userName(uid))
		}
		for _, p := range pins {
			if p.Ref == im.Ref && p.Digest == im.Digest {
				e.UsedBy = append(e.UsedBy, p.Server)
			}
		}
		list = append(list, e)
	}
	return list, nil
}

// usedBy is who uses it.
func (e imageEntry) usedBy() string {
	list := slices.Clone(e.UsedBy)
	for _, name := range e.Others {
		list = append(list, "user "+name)
	}
	return strings.Join(list, ", ")
}

// userName is a user's name, or number, for people.
func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

func imageListCommand(c console) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List images, and which servers run them",
		Long: `List lists mcpbox's images in containerd. USED BY are the servers that are pinned to
an image, and other users who have such servers.`,
		Example: `  mcpbox image list
  mcpbox image list --json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			return withClient(func(ctx context.Context, client *containerd.Client) error {
				list, err := imageEntries(ctx, client)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(c, list)
				}
				if len(list) == 0 {
					fprint(c.out, "no images")
					return nil
				}
				w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "REFERENCE\tDIGEST\tSIZE\tFROM\tUSED BY")
				for _, e := range list {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s, %s\t%s\n", printable(e.Ref), shortDigest(e.Digest), size(e.Bytes),
						e.Source, e.Created.Local().Format(time.DateOnly), printable(e.usedBy()))
				}
				return w.Flush()
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// shortDigest is as much of a digest as tells images apart.
func shortDigest(d string) string {
	_, hex, _ := strings.Cut(d, ":")
	return hex[:min(12, len(hex))]
}

func imageImportCommand(c console) *cobra.Command {
	var ref string
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Read images from an archive",
		Long: `Import reads an archive of images from a file or from standard input: an OCI image
layout in a tar file, or what "docker save" writes. An archive may be of anybody: what
it says of itself is checked, and what is too large or leads elsewhere is refused.

Servers that are pinned to an image of the same reference go on with that; to change,
type "mcpbox update NAME".`,
		Example: `  mcpbox image import server.tar
  docker save mcp/fetch | mcpbox image import -
  mcpbox image import --ref example.com/server:1.0 layout.tar`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			from, err := openArchive(c, args[0])
			if err != nil {
				return err
			}
			defer from.Close()
			return withClient(func(ctx context.Context, client *containerd.Client) error {
				own, err := ownDirs()
				if err != nil {
					return err
				}
				unlock, err := images.Lock(ctx, own.State, func() { c.say("another mcpbox is fetching an image; waiting for it") })
				if err != nil {
					return err
				}
				defer unlock()
				list, err := client.Import(ctx, from, ref)
				if err != nil {
					return describeArchive(err, args[0])
				}
				for _, im := range list {
					fprint(c.out, printable(fmt.Sprintf("%s %s", im.Ref, im.Digest)))
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&ref, "ref", "", "name of the image, a `REFERENCE`, in the place of the archive's own")
	cmd.RegisterFlagCompletionFunc("ref", cobra.NoFileCompletions)
	return cmd
}

func imagePullCommand(c console) *cobra.Command {
	return &cobra.Command{
		Use:   "pull REFERENCE",
		Short: "Fetch an image before a server's first start",
		Long: `Pull fetches an image from its registry, as the first start of a server would. It
pins no server. For a registry that wants a password, type "docker login" before.`,
		Example:           `  mcpbox image pull example.com/server:1.0`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(_ *cobra.Command, args []string) error {
			ref, _, err := containerd.ParseReference(args[0])
			if err != nil {
				return err
			}
			return withClient(func(ctx context.Context, client *containerd.Client) error {
				im, err := pull(ctx, client, c, "image", ref, "")
				if err != nil {
					return err
				}
				fprint(c.out, printable(fmt.Sprintf("%s %s", im.Ref, im.Digest)))
				return nil
			})
		},
	}
}

func imageRemoveCommand(c console) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "rm REFERENCE|DIGEST...",
		Short: "Remove images",
		Long: `Rm removes images: all of a reference, or the one whose digest begins so. Servers that
run go on. An image to which a server is pinned, of yours or of another user's who has the
same containerd, is not removed, unless you say --force; its next start fetches the very
same again, or fails.`,
		Example: `  mcpbox image rm example.com/server:1.0
  mcpbox image rm 3f2a9c81d004`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeImages,
		RunE: func(_ *cobra.Command, args []string) error {
			return withClient(func(ctx context.Context, client *containerd.Client) error {
				return removeImages(ctx, client, c, args, force)
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also if a server is pinned to it")
	return cmd
}

// removeImages removes what the arguments name, all or nothing as far as can be
// known before.
func removeImages(ctx context.Context, client *containerd.Client, c console, args []string, force bool) error {
	all, err := imageEntries(ctx, client)
	if err != nil {
		return err
	}
	var list []imageEntry
	for _, arg := range args {
		found := matching(all, arg)
		if len(found) == 0 {
			return fmt.Errorf("there is no image %s; to see what there is, type: mcpbox image list", arg)
		}
		for _, e := range found {
			switch {
			case force:
			case len(e.UsedBy) > 0:
				return fmt.Errorf("%s is what %s runs; to remove it nevertheless, type: mcpbox image rm --force %s", e.Ref, strings.Join(e.UsedBy, ", "), shellQuote(arg))
			case len(e.Others) > 0:
				return fmt.Errorf("%s is what a server of another user runs (%s); ask there, or, to remove it nevertheless, type: mcpbox image rm --force %s", e.Ref, strings.Join(e.Others, ", "), shellQuote(arg))
			}
			if !slices.ContainsFunc(list, func(o imageEntry) bool { return o.Ref == e.Ref && o.Digest == e.Digest }) {
				list = append(list, e)
			}
		}
	}
	for _, e := range list {
		err := client.Remove(ctx, &containerd.Image{Ref: e.Ref, Digest: e.Digest})
		if err != nil && !errors.As(err, new(*containerd.NotFoundError)) {
			return fmt.Errorf("remove %s: %w", e.Ref, err)
		}
		if len(e.UsedBy) == 0 {
			_ = client.Forget(ctx, e.Ref, e.Digest) // of servers that are no more
		}
		fprint(c.out, printable(fmt.Sprintf("removed %s %s", e.Ref, e.Digest)))
	}
	return nil
}

// matching are the images of a reference, or of a digest's beginning.
func matching(all []imageEntry, arg string) []imageEntry {
	const least = 6 // digits of a digest
	var found []imageEntry
	ref, digest, err := containerd.ParseReference(arg)
	for _, e := range all {
		_, hex, _ := strings.Cut(e.Digest, ":")
		switch {
		case err == nil && e.Ref == ref, digest != "" && ref == e.Ref+"@"+e.Digest:
			found = append(found, e)
		case len(arg) >= least && (strings.HasPrefix(hex, arg) || strings.HasPrefix(e.Digest, arg)):
			found = append(found, e)
		}
	}
	return found
}

// completeImages lists the references that there are.
func completeImages(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	withClient(func(ctx context.Context, client *containerd.Client) error {
		list, err := client.Images(ctx)
		for _, im := range list {
			if !slices.Contains(names, im.Ref) {
				names = append(names, im.Ref)
			}
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}
