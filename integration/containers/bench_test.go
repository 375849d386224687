package containers

import (
	"os/exec"
	"strconv"
	"testing"

	"github.com/mcpbox/mcpbox/sandbox/containerd"
)

// BenchmarkStart is from nothing to a program that has ended, and all of it removed;
// with ctr, for comparison, a container of the same image without what a box has.
func BenchmarkStart(b *testing.B) {
	m := start(b, busybox(b))
	b.Run("ctr", func(b *testing.B) {
		name := m.image.Ref + "@" + m.image.Digest
		for i := range b.N {
			out, err := exec.Command("ctr", "--address", m.Address, "--namespace", containerd.Namespace, "run", "--rm", name, "bench"+strconv.Itoa(i), "/bin/true").CombinedOutput()
			if err != nil {
				b.Fatalf("%v: %s", err, out)
			}
		}
	})
	for _, runtime := range []string{"runc", "runsc"} {
		b.Run(runtime, func(b *testing.B) {
			m.runtime = runtime
			spec := m.specOf(b, "", "true")
			for b.Loop() {
				box, err := m.backend(b).Start(b.Context(), spec, nil)
				if err != nil {
					b.Fatal(err)
				}
				if exit, err := box.Wait(); err != nil || exit.Code != 0 {
					b.Fatalf("%+v, %v", exit, err)
				}
			}
		})
	}
}
