package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/mcpbox/mcpbox/integration/vm/step"
)

func main() {
	image := flag.String("image", "", "the `directory` that scripts/vm-image has made")
	mcpbox := flag.String("mcpbox", "bin/mcpbox", "the mcpbox `program`")
	npm := flag.String("npm", "build/servers/demo", "the `directory` whose node_modules has server-filesystem")
	deadline := flag.Duration("deadline", 40*time.Minute, "how long the guest may run")
	only := flag.String("run", "", "run the steps whose names match this `pattern`")
	emulate := flag.Bool("emulate", false, "go without KVM, as on machines that have none")
	flag.Parse()
	if err := run(*image, *mcpbox, *npm, *only, *deadline, *emulate); err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		os.Exit(1)
	}
}

func run(image, mcpbox, npm, only string, deadline time.Duration, emulate bool) error {
	began := time.Now()
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mcpbox-vm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	steps := slices.DeleteFunc(batch(), func(s step.Step) bool { return !wanted.MatchString(s.Name) })
	m := &machine{image: image, initrd: filepath.Join(dir, "initrd"), things: filepath.Join(dir, "things.ext4"), console: filepath.Join(dir, "console"), memory: 2048}
	if err := prepare(m, mcpbox, npm, steps, filepath.Join(dir, "things")); err != nil {
		return err
	}
	fmt.Printf("compiled and packed in %.0f s\n", time.Since(began).Seconds())

	r := newReport(os.Stdout, steps, m.spent)
	err = bootAny(m, deadline, emulate, r.take)
	fmt.Println()
	if !r.summary() {
		err = errors.Join(err, errors.New("steps have failed"))
	}
	if err != nil {
		console, _ := os.ReadFile(m.console)
		fmt.Printf("\nthe guest's console:\n%s\n", console[max(0, len(console)-8000):])
	}
	return err
}

// prepare makes the disk and the initramfs.
func prepare(m *machine, mcpbox, npm string, steps []step.Step, dir string) error {
	t := things{dir: dir}
	if err := t.tree(); err != nil {
		return err
	}
	if err := copyFile(mcpbox, t.at("bin/mcpbox")); err != nil {
		return err
	}
	if err := t.build(); err != nil {
		return err
	}
	if err := os.CopyFS(t.at("servers/servers"), os.DirFS(npm)); err != nil {
		return err
	}
	list, err := json.Marshal(steps)
	if err != nil {
		return err
	}
	if err := os.WriteFile(t.at(step.File), list, 0o644); err != nil {
		return err
	}
	if err := t.disk(m.things); err != nil {
		return err
	}
	guest := dir + ".guest"
	if err := t.goTool("0", "build", "-trimpath", "-o", guest, "./integration/vm/guest"); err != nil {
		return err
	}
	packed, err := initrd(guest, m.image)
	if err != nil {
		return err
	}
	return os.WriteFile(m.initrd, packed, 0o644)
}

// bootAny boots with KVM if it works here and is wanted, else with emulation, and
// once more if the guest has not come up: no step is run twice.
func bootAny(m *machine, deadline time.Duration, emulate bool, each func(step.Event)) error {
	ways := []string{"tcg", "tcg"}
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err == nil && !emulate {
		f.Close()
		ways = append([]string{"kvm"}, ways...)
	}
	for i, accel := range ways {
		err := m.boot(accel, deadline, each)
		if !errors.Is(err, errNotBooted) || i == len(ways)-1 {
			return err
		}
		fmt.Printf("with %s: %v\n", accel, err)
	}
	return nil
}
