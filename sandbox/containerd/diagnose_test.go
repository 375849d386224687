package containerd

import (
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/sandbox"
)

// TestRuncVersions: which ways out a version of runc has, by its own makers' word
// and by a distribution's.
func TestRuncVersions(t *testing.T) {
	const first, three, last = "CVE-2024-21626", "CVE-2025-52881", "CVE-2026-41579"
	for _, x := range []struct {
		version string
		open    string // of first, three and last: 1 where it is open
	}{
		{"1.0.0", "111"}, {"1.1.11", "111"}, {"1.1.12", "011"}, {"1.1.15", "011"},
		{"1.2.7", "011"}, {"1.2.8", "001"}, {"1.2.9", "001"},
		{"1.3.2", "011"}, {"1.3.3", "001"}, {"1.3.5", "001"}, {"1.3.6", "000"}, {"1.3.10", "000"},
		{"1.4.0-rc.2", "011"}, {"1.4.0-rc.3", "001"}, {"1.4.0", "001"}, {"1.4.2", "001"}, {"1.4.3", "000"},
		{"1.5.0-rc.2", "001"}, {"1.5.0-rc3", "000"}, {"1.5.0", "000"}, {"1.6.0", "000"}, {"2.0.0", "000"},
		{"1.1.5+ds1", "111"}, {"1.3.6+dev", "000"}, {"v1.1.12", "011"}, {"1.3.0-rc.1-12-g0123456", "011"},
	} {
		l := judgeVersion(x.version, nil)
		for i, id := range []string{first, three, last} {
			if strings.Contains(l.Detail, id) != (x.open[i] == '1') {
				t.Errorf("%s, %s: %s", x.version, id, l.Detail)
			}
		}
		if bad := strings.Contains(x.open, "1"); bad != (l.State == sandbox.Partial) || bad != (l.Fix != "") {
			t.Errorf("%s: %+v", x.version, l)
		}
	}
	for _, text := range []string{"", "unknown", "1.2", "1.2.x", "1.2.3-rc.x"} {
		if l := judgeVersion(text, nil); l.State != sandbox.Partial || !strings.Contains(l.Detail, "nothing is known") {
			t.Errorf("%q: %+v", text, l)
		}
	}
	// A distribution has mended some without a new version.
	debian := judgeVersion("1.1.5+ds1", func(id string) bool { return id == first })
	if !strings.Contains(debian.Detail, "has mended "+first) || !strings.Contains(debian.Detail, "ways out are known: CVE-2025-31133") || debian.State != sandbox.Partial {
		t.Errorf("%+v", debian)
	}
	all := judgeVersion("1.1.5+ds1", func(string) bool { return true })
	if all.State != sandbox.Enforced || all.Fix != "" {
		t.Errorf("%+v", all)
	}
	const said = "runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev\n"
	if versionOf("runc", said) != "1.1.5+ds1" || !isDistribution(said) || isDistribution("runc version 1.2.8\ncommit: v1.2.8-0-geeb7e602\n") {
		t.Error("does not tell a distribution's runc from its makers'")
	}
}
