// Command bench measures what a box costs, and prints a table in Markdown.
//
// Absolute times say more about the machine than about mcpbox. So each figure
// has its counterpart from the same run, the two taken in turns: the same
// server bare, and the same program in bubblewrap with the same mounts and
// namespaces (bubblewrap filters no system calls and relays nothing; it is what
// a jail costs at least). Figures are medians, with the 10th and the 90th
// percentile behind them.
//
// `make bench` calls it, as an ordinary user with an empty home. On a machine
// with more than two processors it keeps to the first two.
package main
