// Package egress tries to get past the network filter of a box, and checks that
// honest programs do not notice it.
//
// The tests of this package make two network namespaces. In the one called host
// they run clients, bare and by `mcpbox run`; in the other, the world, every
// address there is answers, whether public, private, of a metadata service or of
// nobody, with servers and certificates of the tests' own. Packet sockets on the
// cable between the two and on the host's loopback write down each connection,
// each datagram and each echo request. A row of the tables says what a client
// must come to bare, what in the box, and exactly which packets the world and
// the host may see of it: one that is not named is a failure, also where the
// client was told that it had failed. Rows of attacks carry a secret that no
// server may have received.
//
// No packet leaves the machine, and nothing outlives the test program: the
// namespaces have no names and go with it.
//
// As root the tests run each row as a user whom nobody else is, and as root; as
// anybody else they make the namespaces inside a user namespace and run the rows
// as that user. As root they also run rows in containers, of an image with the
// clients in it, with runc and with gVisor's runsc: what comes of a row there that
// does not come of it in a native box stands in one table (containers_test.go).
// They obey
//
//	MCPBOX_BIN      the launcher to test, instead of one built here
//	MCPBOX_SERVERS  where scripts/test installed other versions of Node.js
//	MCPBOX_REQUIRE  a need that is not met fails the test
package egress
