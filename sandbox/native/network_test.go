package native

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/sandbox"
	"golang.org/x/sys/unix"
)

// boxWith runs a script of bash, which can connect, in a box with a network.
func boxWith(t *testing.T, n *sandbox.Network, script string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	box, err := new(Backend).Start(ctx, testSpec(t, "/bin/bash", "-c", script), n)
	if err != nil {
		return "", err
	}
	defer box.Kill()
	box.Stdin().Close()
	go io.Copy(io.Discard, box.Stderr())
	out, err := io.ReadAll(box.Stdout())
	if err != nil {
		t.Fatal(err)
	}
	box.Wait()
	return string(out), nil
}

// A connection to any address arrives at the launcher's socket that is bound to
// it, whether the port is low or not; where none is, it is refused at once.
func TestNetwork(t *testing.T) {
	var listener net.Listener
	network := &sandbox.Network{
		Sockets: []sandbox.Socket{
			{Domain: unix.AF_INET, Type: unix.SOCK_STREAM},
			{Domain: 9999, Optional: true},
			{Domain: unix.AF_PACKET, Type: unix.SOCK_DGRAM},
		},
		Attach: func(files []*os.File) error {
			if len(files) != 3 || files[0] == nil || files[1] != nil || files[2] == nil {
				t.Errorf("sockets: %v", files)
				return errors.New("not what was asked for")
			}
			files[2].Close()
			defer files[0].Close()
			err := unix.Bind(int(files[0].Fd()), &unix.SockaddrInet4{Addr: [4]byte{192, 0, 2, 7}, Port: 443})
			if err == nil {
				err = unix.Listen(int(files[0].Fd()), 5)
			}
			if err == nil {
				listener, err = net.FileListener(files[0])
			}
			if err != nil {
				return err
			}
			go func() {
				for {
					c, err := listener.Accept()
					if err != nil {
						return
					}
					io.WriteString(c, "at "+c.LocalAddr().String()+"\n")
					c.Close()
				}
			}()
			return nil
		},
	}
	out, err := boxWith(t, network, `
cat < /dev/tcp/192.0.2.7/443
for to in 192.0.2.7/444 192.0.2.8/443 127.0.0.1/443; do
	(cat < /dev/tcp/$to) 2>&1 | sed -n '1s/.*: //p'
done
ls /proc/self/fd | wc -l`)
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	want := "at 192.0.2.7:443\n" + strings.Repeat("Connection refused\n", 3) + "4\n"
	if out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	// Without a network there is not even a route.
	if out, err = boxWith(t, nil, `(cat < /dev/tcp/192.0.2.7/443) 2>&1 | sed -n '1s/.*: //p'`); err != nil || out != "Network is unreachable\n" {
		t.Errorf("without: %q, %v", out, err)
	}
}

func TestNetworkErrors(t *testing.T) {
	socket := sandbox.Socket{Domain: unix.AF_INET, Type: unix.SOCK_STREAM}
	mine := errors.New("cannot be")
	attach := func(files []*os.File) error { closeAll(files); return mine }
	if out, err := boxWith(t, &sandbox.Network{Sockets: []sandbox.Socket{socket}, Attach: attach}, "echo ran"); !errors.Is(err, mine) {
		t.Errorf("refused by Attach: %q, %v", out, err)
	}
	attach = func([]*os.File) error { t.Error("attached"); return nil }
	if out, err := boxWith(t, &sandbox.Network{Sockets: []sandbox.Socket{{Domain: 9999}}, Attach: attach}, "echo ran"); err == nil {
		t.Errorf("no such socket: %q", out)
	}
}

// Where descriptors cannot be taken, they are sent.
func TestNetworkBySCMRights(t *testing.T) {
	sendSockets = true
	defer func() { sendSockets = false }()
	TestNetwork(t)
}
