package egress

import (
	"bytes"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// postgres starts a PostgreSQL in the world, once.
func postgres(t *testing.T, w *world) {
	bin := filepath.Dir(program("/usr/lib/postgresql/*/bin/postgres"))
	setup.Need(t, bin != ".", "postgresql")
	_, err := user.LookupId(strconv.Itoa(max(w.keeper.uid, os.Getuid())))
	setup.Need(t, err == nil, "an account, since PostgreSQL wants to know whose it is")
	if w.started["postgres"] {
		return
	}
	w.started["postgres"] = true
	data := w.own("postgres")
	initdb := w.keeper.command(w, filepath.Join(bin, "initdb"), "--no-sync", "--auth=trust", "--username=box", "--pgdata="+data)
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	hba := filepath.Join(data, "pg_hba.conf")
	if err := os.WriteFile(hba, []byte("host all all 0.0.0.0/0 trust\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.daemon(t, addressDB+":5432", filepath.Join(bin, "postgres"), "-D", data, "-c", "fsync=off",
		"-c", "listen_addresses="+addressDB, "-c", "unix_socket_directories=", "-c", "dynamic_shared_memory_type=mmap")
}

// redis starts a Redis in the world, once.
func redis(t *testing.T, w *world) {
	bin := program("redis-server")
	setup.Need(t, bin != "", "redis-server")
	if w.started["redis"] {
		return
	}
	w.started["redis"] = true
	w.daemon(t, addressDB+":6379", bin, "--bind", addressDB, "--protected-mode", "no", "--save", "", "--dir", w.own("redis"))
}

// daemon starts a server in the world, as a user who is not root, and waits
// until it listens. It ends with the world.
func (w *world) daemon(t *testing.T, address string, args ...string) {
	t.Helper()
	cmd := w.keeper.command(w, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := w.away(cmd.Start); err != nil {
		t.Fatal(err)
	}
	w.closing = append(w.closing, func() error {
		_ = cmd.Process.Signal(syscall.SIGQUIT) // the fast end of both
		killed := time.AfterFunc(3*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		killed.Stop()
		return nil
	})
	for range 500 {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%q does not listen: %s", args, said.String())
}
