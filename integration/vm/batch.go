package main

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/integration/vm/step"
	"github.com/mcpbox/mcpbox/sandbox"
)

// Where the guest has things.
const (
	bin  = step.Mount + "/bin/"
	tree = step.Mount + "/tree/"
)

// packages are those whose tests are compiled for the guest.
var packages = []string{"cmd/mcpbox", "sandbox/native", "integration/escape", "integration/limits", "integration/servers"}

// batch are all steps, in order.
func batch() []step.Step {
	var all []step.Step
	add := func(s step.Step) {
		if s.Dir == "" {
			s.Dir = "/home/user"
		}
		if s.Limit == 0 {
			s.Limit = 2 * time.Minute
		}
		all = append(all, s)
	}
	// That a step can fail is what the others rest on.
	add(step.Step{Name: "control", Place: step.Session, Args: sh("echo I am $(id -un) && exit 3"), Status: 3, Says: []string{"I am user"}})
	for _, p := range []step.Place{step.Session, step.Manager, step.Delegated} {
		add(step.Step{Name: "place-" + string(p), Place: p, Args: []string{"/run/guest", "place", string(p)}})
	}
	add(step.Step{Name: "doctor", Place: step.Session, Args: []string{bin + "mcpbox", "doctor"},
		Says: []string{"started and ended one", string(sandbox.TierScope) + ": memory, processor time, processes"}})
	for _, p := range []struct {
		step.Place
		sandbox.Tier
	}{{step.Session, sandbox.TierScope}, {step.Manager, sandbox.TierScope}, {step.Delegated, sandbox.TierSubtree}} {
		add(step.Step{Name: "hog-" + string(p.Place), Place: p.Place, Args: sh(hog),
			Says: []string{"status 137", "killed: used 64.0MiB of 64.0MiB memory", `"tier":"` + string(p.Tier) + `"`}})
	}
	add(step.Step{Name: "advice", Place: step.Root, Args: []string{"/run/guest", "advice", bin + "mcpbox"}})
	add(compiled(step.Session, "integration/servers", "-test.run=^TestServersAnswerAsBare$//^(filesystem|go-everything)$"))
	add(compiled(step.Session, "sandbox/native", "-test.run=^Test(RunsAProgram|Network$|Staged|Kill|Freeze$|Exec|InitFile|SourceChanged|Signal)"))
	// A processor this slow must not be shared, or servers miss the time they are
	// given to end in peace. Scripts that look at how fast something is are left out.
	add(compiled(step.Session, "cmd/mcpbox", "-test.parallel=1", "-test.run="+
		"^TestScript$/^(changes|freeze|kill|limits|ps)$|"+
		"^Test(NothingOutlivesTheLauncher|DaemonsEndWithTheServer|BoxEndsWhenLauncherIsKilled|KillHungLauncher|Frozen)"))
	add(compiled(step.Session, "integration/escape", "-test.short", "-test.run="+
		"^TestNeeds$/^boxed$|^Test(L3|L9|F1|F8|M2|P5|W5P)"))
	add(limits(step.Session, sandbox.TierScope))
	add(limits(step.Delegated, sandbox.TierSubtree))
	return all
}

// hog has a box take more memory than it may have, and says how that ended and who
// kept the limit.
const hog = bin + `mcpbox run --name hog --memory 64MiB -- awk 'BEGIN { s = "x"; while (length(s) < 100000000) s = s s }'
echo status $?
cat ~/.local/state/mcpbox/journal/hog/*
rm -r ~/.local/state/mcpbox/journal/hog`

// limits is a step that has a hostile program go against each limit, at a place
// where mcpbox has to pick this tier.
func limits(place step.Place, tier sandbox.Tier) step.Step {
	at := strings.ReplaceAll(string(tier), " ", "-")
	s := compiled(place, "integration/limits", "-test.run="+
		"^Test(Memory|CauseIsKept|ForksAndThreads|Processor|TimeOfKilled|KilledAnytime|Disk|Leftovers|FreezeWakers|Stuck|Require)$/^"+at+"$/^(private-1|forks|threads|write|kill|eof)$")
	s.Name += "-" + string(place)
	// What boxes write is to take room on a disk, and not memory, as in Debian's /tmp.
	s.Env = append(s.Env, "MCPBOX_LIMITS_PREBUILT="+bin, "MCPBOX_EXPECT_TIER="+string(tier), "TMPDIR=/var/tmp", "MCPBOX_LIMITS_BEAT=30s")
	for _, test := range []string{"Memory/%s/private-1", "ForksAndThreads/%s/forks", "ForksAndThreads/%s/threads", "CauseIsKept/%s",
		"Processor/%s", "TimeOfKilled/%s", "KilledAnytime/%s", "Disk/%s/write", "Leftovers/%s", "FreezeWakers/%s", "Stuck/%s/kill", "Stuck/%s/eof", "Require/%s"} {
		s.Says = append(s.Says, "--- PASS: Test"+fmt.Sprintf(test, at)+" ")
	}
	return s
}

func sh(script string) []string { return []string{"/bin/sh", "-c", script} }

// compiled is a step that runs the compiled tests of a package. A limit of twenty
// minutes says that they hang: where nothing else runs, all of them together take
// half of that.
func compiled(place step.Place, pkg string, flags ...string) step.Step {
	const limit = 20 * time.Minute
	return step.Step{
		Name: path.Base(pkg), Place: place, Dir: tree + pkg, Limit: limit, Brief: true,
		Args: append([]string{tree + pkg + "/compiled.test", "-test.v", "-test.timeout=" + (limit - 10*time.Second).String()}, flags...),
		Env:  []string{"MCPBOX_REQUIRE=1", "MCPBOX_BIN=" + bin + "mcpbox", "MCPBOX_ESCAPE_PREBUILT=" + bin, "MCPBOX_SERVERS=" + step.Mount + "/servers"},
	}
}
