package policy

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// system puts what every program needs: the operating system's programs and
// libraries, an /etc that tells about the box rather than the host, devices,
// and places for temporary files.
func (b *builder) system() error {
	if b.prog.Image == nil {
		if err := b.systemPaths(); err != nil {
			return err
		}
	}
	if err := b.synthetic(); err != nil {
		return err
	}
	b.devices()
	var exec []string
	if n := b.p.Files.NoexecTmp; n != nil && *n {
		exec = []string{"noexec"}
	}
	tmp := b.limits.Tmp
	b.tree.put(rankSystem, tmpfs("/tmp", tmp, "1777", exec...))
	if b.prog.Image == nil {
		b.tree.put(rankSystem, symlink("/var/tmp", "/tmp"))
	} else { // which has a directory there
		b.tree.put(rankSystem, tmpfs("/var/tmp", tmp, "1777", exec...))
	}
	b.tree.put(rankSystem, tmpfs("/dev/shm", tmp, "1777", exec...))
	b.tree.put(rankSystem, specs.Mount{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "nodev", "noexec"}})
	b.volumes(exec)
	return b.mountHome(tmpfs(b.home, tmp, "0700", exec...), exec)
}

// systemPaths shows the host's programs, libraries, and what of its /etc they
// need to run.
func (b *builder) systemPaths() error {
	for _, at := range []string{
		"/usr", "/nix/store", "/gnu/store", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
		"/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/tls/cert.pem",
		"/etc/pki/tls/openssl.cnf", "/etc/pki/ca-trust/extracted", "/etc/ca-certificates",
		"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives",
		"/etc/localtime", "/etc/timezone", "/etc/mime.types", "/etc/services", "/etc/protocols",
		"/etc/os-release", "/etc/fonts", "/etc/mono",
	} {
		if err := b.systemPath(at); err != nil {
			return err
		}
	}
	return nil
}

// systemPath shows a path of the operating system read-only, if the host has
// it. A symbolic link stays one where what it leads to is there anyway, since
// programs read its text: the name of the time zone, for one.
func (b *builder) systemPath(at string) error {
	info, err := b.h.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotDir) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the system's files: %w", err)
	}
	pl, err := locate(b.h, at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // a link to nothing
	case err != nil:
		return fmt.Errorf("look at the system's files: %w", err)
	case pl.info.Type != Directory && pl.info.Type != Regular:
		return nil
	}
	if info.Type == Symlink && b.tree.shows(pl.path) {
		text := pl.path
		if len(pl.links) == 1 {
			text = pl.links[0].text
		}
		b.tree.put(rankSystem, symlink(at, text))
		return nil
	}
	m := readOnly(pl.path, pl.info.Type)
	m.Destination = at
	b.tree.put(rankSystem, m)
	return nil
}

// synthetic puts the files of /etc that would tell about the host and its
// users, with what is true in the box.
func (b *builder) synthetic() error {
	f := b.facts
	passwd := "root:x:0:0:root:/root:/usr/sbin/nologin\n"
	group := "root:x:0:\n"
	if f.EUID != 0 {
		passwd += fmt.Sprintf("%s:x:%d:%d:%s:%s:/bin/sh\n", b.user, f.EUID, f.EGID, b.user, path.Clean(f.Home))
	}
	if f.EGID != 0 {
		group += fmt.Sprintf("%s:x:%d:\n", b.user, f.EGID)
	}
	passwd += "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
	group += "nogroup:x:65534:\n"
	var id [16]byte
	if err := b.h.Random(id[:]); err != nil {
		return fmt.Errorf("make a machine id: %w", err)
	}
	for at, content := range map[string]string{
		"/etc/passwd":     passwd,
		"/etc/group":      group,
		"/etc/hostname":   hostname + "\n",
		"/etc/hosts":      "127.0.0.1 localhost " + hostname + "\n::1 localhost ip6-localhost ip6-loopback\n",
		"/etc/machine-id": hex.EncodeToString(id[:]) + "\n",
		"/etc/nsswitch.conf": strings.Join([]string{
			"passwd: files", "group: files", "shadow: files", "hosts: files dns", "networks: files",
			"protocols: files", "services: files", "ethers: files", "rpc: files", "",
		}, "\n"),
		"/etc/resolv.conf": resolvConf(b.p.Network.Connection()),
	} {
		b.tree.put(rankSystem, file(at, content))
	}
	return nil
}

// devices puts the few that programs rely on, all of them harmless.
func (b *builder) devices() {
	const inodes = 16 // the names below and a little air
	b.tree.put(rankSystem, tmpfs("/dev", inodes*4096, "0755", "noexec", "ro"))
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		b.tree.put(rankSystem, bind("/dev/"+name, Device, "rw", "nosuid", "noexec"))
	}
	for name, text := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		b.tree.put(rankSystem, symlink("/dev/"+name, text))
	}
}
