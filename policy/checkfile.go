package policy

import (
	"fmt"
	"path"
)

// CheckFile refuses a policy file that somebody else could have written or can
// write: who writes a policy decides what its program may do. The rules are
// those that sshd has for its users' files, and one more: the file has only one
// name, since another could lie where a program may write.
func CheckFile(h Host, file string) error {
	refuse := func(at, why, fix string) error {
		return fmt.Errorf("use policy %s: %s %s; %s", file, at, why, fix)
	}
	if !path.IsAbs(file) {
		file = path.Join(h.Facts().Cwd, file)
	}
	pl, err := locate(h, file)
	if err != nil {
		return fmt.Errorf("use policy %s: %w", file, err)
	}
	if pl.info.Type != Regular {
		return refuse(pl.path, "is a "+pl.info.Type.String(), "name a regular file")
	}
	if pl.info.Nlink > 1 {
		return refuse(pl.path, "has more than one name (hard link)", "make a copy of it and use that")
	}
	if pl.info.Perm&0o022 != 0 {
		return refuse(pl.path, "can be written by others", "type: chmod go-w "+pl.path)
	}
	if !trusted(h, pl.info) {
		return refuse(pl.path, "belongs to another user", "make a copy of it and use that")
	}
	// Who can write a directory can put another file in this one's place. A
	// link's own directory counts as much as the file's.
	at := []string{path.Dir(pl.path)}
	for _, l := range pl.links {
		at = append(at, path.Dir(l.at))
	}
	for _, dir := range at {
		for ; ; dir = path.Dir(dir) {
			info, err := h.Lstat(dir)
			if err != nil {
				return fmt.Errorf("use policy %s: %w", file, err)
			}
			const sticky = 0o1000
			if info.Perm&0o002 != 0 && info.Perm&sticky == 0 {
				return refuse(dir, "can be written by everybody", "type: chmod o-w "+dir)
			}
			if !trusted(h, info) {
				return refuse(dir, "belongs to another user", "move the policy to a directory of your own")
			}
			if dir == "/" {
				break
			}
		}
	}
	return nil
}

func trusted(h Host, i Info) bool {
	return i.UID == 0 || int(i.UID) == h.Facts().UID
}
