package policy

import "testing"

// TestMemoryOfMachine: what nobody has named, and what a profile names, is half of the
// machine's at most; what a person names is as it is.
func TestMemoryOfMachine(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct{ machine, profile, file, want int64 }{
		{0, 0, 0, 2 * gib},
		{16 * gib, 0, 0, 2 * gib},
		{2 * gib, 0, 0, 1 * gib},
		{16 * gib, 4 * gib, 0, 4 * gib},
		{4 * gib, 4 * gib, 0, 2 * gib},
		{0, 4 * gib, 0, 4 * gib},
		{1 << 20, 4 * gib, 0, 4 * gib}, // no machine is that small
		{32 << 20, 4 * gib, 0, 4 * gib},
		{128 << 20, 4 * gib, 0, 64 << 20},
		{4 * gib, 4 * gib, 3 * gib, 3 * gib},
		{4 * gib, 1 * gib, 0, 1 * gib},
	} {
		f := Facts{Memory: c.machine, CPUs: 1}
		base := &Policy{Limits: Limits{Memory: c.profile}.OfProfile(f)}
		all := Extend(base, &Policy{Limits: Limits{Memory: c.file}})
		if got := all.Limits.WithDefaults(f).Memory; got != c.want {
			t.Errorf("machine %d, profile %d, file %d: %d, want %d", c.machine, c.profile, c.file, got, c.want)
		}
	}
}
