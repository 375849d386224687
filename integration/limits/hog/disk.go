package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// disk takes room in a directory, in one of the ways that there are.
func disk(way, dir string, all int64) string {
	name := filepath.Join(dir, "hog")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	must(err)
	block := make([]byte, chunk)
	switch way {
	case "write":
		for at := int64(0); at < all; at += chunk {
			_, err = f.Write(block)
			must(err)
		}
	case "steady": // for whoever takes some time to look
		for at := int64(0); at < all; at += chunk {
			_, err = f.Write(block)
			must(err)
			time.Sleep(2 * time.Millisecond)
		}
		time.Sleep(3 * time.Second)
	case "holes": // a large file that is mostly not there, but at last is
		must(f.Truncate(all * 100))
		for at := int64(0); at < all; at += 4096 {
			_, err = f.WriteAt([]byte{1}, at*100)
			must(err)
		}
	case "sparse":
		must(f.Truncate(all * 100))
	case "fallocate":
		for at := int64(0); at < all; at += chunk {
			must(unix.Fallocate(int(f.Fd()), 0, at, chunk))
			time.Sleep(time.Millisecond) // else it is over before anybody can look
		}
	case "deleted":
		must(os.Remove(name))
		for at := int64(0); at < all; at += chunk {
			_, err = f.Write(block)
			must(err)
		}
	case "inodes":
		for i := range all / 4096 {
			if i%10_000 == 0 {
				must(os.MkdirAll(fmt.Sprintf("%s/%d", dir, i/10_000), 0o700))
			}
			g, err := os.OpenFile(fmt.Sprintf("%s/%d/%d", dir, i/10_000, i), os.O_CREATE|os.O_WRONLY, 0o600)
			must(err)
			g.Close()
		}
	default:
		fail("hog: no way %q", way)
	}
	return "took all true"
}

func ignore(sig unix.Signal) { signal.Ignore(sig) }
