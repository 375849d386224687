// Package packages runs public servers by the lines that people have in their
// hosts' configuration, such as "npx -y PACKAGE", in boxes: the first time, when
// the package is installed, and later, in a network namespace from which no
// registry is reached. What a client sees has to be what it sees of the same server
// bare, as scripts/servers has installed it.
//
// It asks the registry that this user's npm is set up for.
package packages
