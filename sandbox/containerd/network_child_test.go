package containerd

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/sandbox"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	Init()
	os.Exit(m.Run())
}

// TestNamespaceByAnother: an ordinary user gets as many sockets as he asks for, all of
// them in the new namespace, whether they can be taken or have to be sent.
func TestNamespaceByAnother(t *testing.T) {
	network := &sandbox.Network{Address: netip.MustParseAddr("192.0.2.9")}
	for i := range 450 { // more than two messages carry
		s := sandbox.Socket{Domain: unix.AF_INET, Type: unix.SOCK_STREAM}
		if i%10 == 3 { // which there is not
			s.Type, s.Optional = 0x7f, true
		}
		network.Sockets = append(network.Sockets, s)
	}
	for _, sendSockets = range []bool{false, true} {
		t.Run(fmt.Sprintf("sent %t", sendSockets), func(t *testing.T) {
			n := byAnother(t, network)
			defer n.close()
			if len(n.sockets) != len(network.Sockets) {
				t.Fatalf("%d sockets", len(n.sockets))
			}
			want := inode(t, int(n.ns.Fd()))
			for i, s := range n.sockets {
				if s == nil || network.Sockets[i].Optional {
					if s != nil || !network.Sockets[i].Optional {
						t.Errorf("socket %d: %v", i, s)
					}
					continue
				}
				its, err := unix.IoctlRetInt(int(s.Fd()), unix.SIOCGSKNS)
				if err != nil {
					t.Fatal(err)
				}
				if got := inode(t, its); got != want {
					t.Errorf("socket %d is in namespace %d, not in %d", i, got, want)
				}
				unix.Close(its)
			}
		})
	}
	sendSockets = false
	n := byAnother(t, nil)
	defer n.close()
	if len(n.sockets) > 0 {
		t.Errorf("without a network: %d sockets", len(n.sockets))
	}
	own, err := os.Open("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if inode(t, int(own.Fd())) == inode(t, int(n.ns.Fd())) {
		t.Error("it is this process's own namespace")
	}
	// What cannot be made says why.
	network.Sockets[3].Optional = false
	if _, err := fromChild(network, nil, nil); err == nil || !strings.Contains(err.Error(), "socket") {
		t.Errorf("error %v", err)
	}
	if _, err := fromChild(nil, map[string]string{"net.ipv4.no_such_thing": "1"}, nil); err == nil || !strings.Contains(err.Error(), "no_such_thing") {
		t.Errorf("error %v", err)
	}
}

func byAnother(t *testing.T, network *sandbox.Network) *namespace {
	t.Helper()
	n, err := fromChild(network, map[string]string{"net.ipv4.ip_unprivileged_port_start": "0"}, nil)
	if u := new(sandbox.UnsupportedError); errors.As(err, &u) && os.Getenv("MCPBOX_REQUIRE") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// inode tells one namespace from another.
func inode(t *testing.T, fd int) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}
