package main

import "github.com/spf13/cobra"

// newImageCommand is the command image, without what needs containerd's client.
func newImageCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "image",
		Short: "List, fetch, import and remove images for the backend containerd",
		Long: `Image looks after the OCI images that servers with backend = "containerd" run. They
lie in containerd's own store, in the namespace mcpbox; those of Docker and others are
not touched.

The first start of a server fetches its image, if it is not there, and pins the
server to what the reference meant then. A tag that moves changes nothing until
"mcpbox update NAME".`,
		Example: `  mcpbox image list
  mcpbox image import server.tar
  docker save mcp/fetch | mcpbox image import -
  mcpbox image rm example.com/server:1.0`,
	}
}
