package containerd

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox"
)

// flaw is a way out of a box that some versions of runc have.
type flaw struct {
	ids []string
	// fixed are the first versions without it, one for each minor version that
	// was mended, in order. Newer minor versions never had it, and older ones
	// have it still.
	fixed []string
}

// flaws are those that an image or its program can use, after runc's changelog.
var flaws = []flaw{
	{[]string{"CVE-2024-21626"}, []string{"1.1.12"}},
	{[]string{"CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881"}, []string{"1.2.8", "1.3.3", "1.4.0-rc.3"}},
	{[]string{"CVE-2026-41579"}, []string{"1.3.6", "1.4.3", "1.5.0-rc.3"}},
}

// goodRunc has none of them.
const goodRunc = "1.3.6, 1.4.3, 1.5.0"

// changelog is where Debian and its like write down what they have mended without
// a new version of runc's own.
const changelog = "/usr/share/doc/runc/changelog.Debian.gz"

func judgeRunc(said string) sandbox.Layer {
	var mended func(id string) bool
	if isDistribution(said) {
		log, err := readChangelog(changelog)
		mended = func(id string) bool { return err == nil && bytes.Contains(log, []byte(id)) }
	}
	return judgeVersion(versionOf("runc", said), mended)
}

// isDistribution reports whether runc is built by a distribution, which mends what
// it has: Debian and Ubuntu put "+ds1" or "-0ubuntu1" into version or commit.
func isDistribution(said string) bool {
	for _, mark := range []string{"+ds", "+deb", "ubuntu", "~deb"} {
		if strings.Contains(said, mark) {
			return true
		}
	}
	return false
}

// judgeVersion says which flaws a version has. mended reports whether whoever has
// built it says to have mended one; nil if that is runc's own makers.
func judgeVersion(version string, mended func(id string) bool) sandbox.Layer {
	l := sandbox.Layer{State: sandbox.Enforced, Detail: version}
	v, ok := parseVersion(version)
	if !ok {
		l.State, l.Detail = sandbox.Partial, fmt.Sprintf("%q, of which nothing is known", version)
		return l
	}
	var open, closed []string
	for _, f := range flaws {
		if !f.in(v) {
			continue
		}
		for _, id := range f.ids {
			if mended != nil && mended(id) {
				closed = append(closed, id)
			} else {
				open = append(open, id)
			}
		}
	}
	if len(closed) > 0 {
		l.Detail += ", in which its distribution has mended " + strings.Join(closed, ", ")
	}
	if len(open) > 0 {
		l.State = sandbox.Partial
		l.Detail += ", of which ways out are known: " + strings.Join(open, ", ")
		l.Fix = "an image that you do not trust may use them; install runc " + goodRunc + " or newer, or a version in which your distribution has mended them"
	}
	return l
}

// in reports whether a version has the flaw.
func (f flaw) in(v version) bool {
	for _, text := range f.fixed {
		fixed, _ := parseVersion(text)
		if fixed.major == v.major && fixed.minor == v.minor {
			return v.before(fixed)
		}
	}
	newest, _ := parseVersion(f.fixed[len(f.fixed)-1])
	return v.before(newest)
}

// version is one of runc's.
type version struct {
	major, minor, patch int
	rc                  int // a release is 1<<30
}

func (v version) before(o version) bool {
	for _, d := range []int{v.major - o.major, v.minor - o.minor, v.patch - o.patch, v.rc - o.rc} {
		if d != 0 {
			return d < 0
		}
	}
	return false
}

// parseVersion reads 1.2.3, 1.2.3-rc.4 and 1.2.3-rc4, with anything behind a plus
// or a tilde.
func parseVersion(text string) (v version, ok bool) {
	text = strings.TrimPrefix(strings.TrimSpace(text), "v")
	text, _, _ = strings.Cut(text, "+")
	text, _, _ = strings.Cut(text, "~")
	text, behind, candidate := strings.Cut(text, "-")
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return v, false
	}
	for i, to := range []*int{&v.major, &v.minor, &v.patch} {
		n, err := strconv.Atoi(parts[i])
		if err != nil || n < 0 {
			return v, false
		}
		*to = n
	}
	v.rc = 1 << 30
	if rc, is := strings.CutPrefix(behind, "rc"); candidate && is {
		number, _, _ := strings.Cut(strings.TrimPrefix(rc, "."), "-")
		n, err := strconv.Atoi(number)
		if err != nil {
			return v, false
		}
		v.rc = n
	}
	return v, true
}

// readChangelog reads a changelog, up to a bound.
func readChangelog(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(zip, 4<<20))
}
