// Command bench measures what a box costs, and prints a table in Markdown.
//
// Absolute times say more about the machine than about mcpbox. So each figure
// has its counterpart from the same run, the two taken in turns: the same
// server bare, and the same program in bubblewrap with the same mounts and
// namespaces (bubblewrap filters no system calls and relays nothing; it is what
// a jail costs at least). Figures are medians, with the 10th and the 90th
// percentile behind them.
//
// The second table is about the relay: bare, with a cat for each direction, which
// is the least that two more processes cost, by mcpbox, and by way of mcp-remote
// and supergateway, two programs of the npm registry that together do the same
// job over HTTP. They run on loopback and are measured less often than the rest,
// for they take as much longer.
//
// The third table is about the network: a program of its own in the box, and
// what it connects to outside, on loopback. It is compared with the helpers that
// rootless containers use for their network: pasta on its shortest way, which
// splices one loopback to another, and slirp4netns. Either is left out where it
// is not installed, or may not open /dev/net/tun.
//
// One table is root's, of servers in images: beside ctr, the command line of
// containerd, with the same image.
//
// `make bench` calls it, as an ordinary user with an empty home. On a machine
// with more than two processors it keeps to the first two.
package main
