package proc

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// headless, in the environment, has this test end its main thread, and take memory.
const headless = "MCPBOX_TEST_HEADLESS"

// A process whose main thread has ended has the memory that it has.
func TestMainThreadHasEnded(t *testing.T) {
	const taken = 32 << 20
	if os.Getenv(headless) != "" {
		beHeadless(taken)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestMainThreadHasEnded$")
	cmd.Env = append(os.Environ(), headless+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer stdin.Close()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "taken\n" {
		t.Fatalf("%q, %v", line, err)
	}
	pid := cmd.Process.Pid
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if s, err := ReadStat(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || time.Now().After(end) {
			t.Fatal("its main thread does not end", err)
		} else if s.State == 'Z' {
			break
		}
	}
	if s, r := ReadStatus(pid), ReadRollup(pid); s.Anon < taken || s.Tables == 0 || r.Anon < taken {
		t.Errorf("status %+v, smaps_rollup %+v", s, r)
	}
}

// beHeadless ends the main thread, and the process once nobody listens.
func beHeadless(taken int) {
	ended := make(chan struct{})
	for range 16 { // more than there are idle
		go func() {
			runtime.LockOSThread() // each holds a thread, until one of them has the main one
			if unix.Gettid() == os.Getpid() {
				close(ended)
				unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
			}
			<-ended
			runtime.UnlockOSThread()
		}()
	}
	<-ended
	m := make([]byte, taken)
	for i := range m {
		m[i] = 1
	}
	fmt.Println("taken")
	os.Stdin.Read(make([]byte, 1))
	os.Exit(int(m[0]) - 1)
}
