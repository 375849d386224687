// Package containerd makes boxes with containerd: of an OCI image in the place of
// the host's programs, run by runc, or by gVisor's runsc.
//
// All of mcpbox's lies in containerd's namespace [Namespace]. Those of Docker and
// of Kubernetes are not looked at.
//
// # Images
//
// An [Image] is what a reference meant once: its digest says which. A tag that
// moves is another image. Every record in containerd's image store is named after
// reference and digest together, so that two servers may run one tag from two
// days.
//
// Where it comes from, a registry or a file, is not trusted. containerd compares
// digests and applies layers below a root directory; before it does, this package
// bounds what there is to fetch, to keep in memory, to unpack and to name. An image
// is recorded last, when all of it is unpacked: what is interrupted leaves nothing
// that counts as an image, and containerd removes the rest.
package containerd
