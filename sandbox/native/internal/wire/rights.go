package wire

import "github.com/mcpbox/mcpbox/sandbox/internal/rights"

// SendTrees sends the descriptors of detached mounts over the socket fd. Only a
// launcher that is root does: descriptors in flight are counted for the user,
// and for an ordinary one any of his boxes could have used up the count
// (unix(7), ETOOMANYREFS).
func SendTrees(fd int, trees []int) error { return rights.Send(fd, TypeTrees, trees) }

// ReceiveTrees receives count descriptors that SendTrees sent.
func ReceiveTrees(fd, count int) ([]int, error) { return rights.Receive(fd, TypeTrees, count) }
