package snapshot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a process of the box, as proc(5) has it. Text that the process chose
// is text: it may say anything.
type Process struct {
	PID     int      `json:"pid"`
	BoxPID  int      `json:"boxPid"` // its number in the box
	Parent  int      `json:"parent"`
	Command string   `json:"comm"`
	Argv    []string `json:"argv"`
	Exe     string   `json:"exe"`
	Cwd     string   `json:"cwd"`
	State   string   `json:"state"` // a letter, see proc_pid_stat(5)
	Threads int      `json:"threads"`
	// The times are in clock ticks, of which there are 100 in a second: used in
	// user mode, in the kernel, and when it started, since the machine did.
	User   uint64 `json:"userTicks"`
	System uint64 `json:"systemTicks"`
	Start  uint64 `json:"startTicks"`
	// Environment has the names of its variables. The values are left out.
	Environment []string     `json:"environment"`
	Files       []Descriptor `json:"files"`
	Failed      []string     `json:"failed,omitempty"` // what could not be read

	cut string // what is left out
}

// Descriptor is an open file of a process.
type Descriptor struct {
	FD    int    `json:"fd"`
	Link  string `json:"link"`
	Flags string `json:"flags"` // octal, as of open(2); "" where it is not known
	At    int64  `json:"pos"`
}

const (
	mostProcesses = 10_000
	mostText      = 1 << 20  // of a command line, or an environment
	mostLinks     = 4 << 20  // of the open files of a process
	mostListed    = 16 << 20 // of another file of proc(5)
)

// room is how much more is taken of all processes together. A server chooses how
// many it has, and what their files and arguments are called.
type room struct {
	descriptors, text int
	maps              int64
	// infos is how long it may take to read what fdinfo says. Of a file with very
	// many locks, or an instance of inotify, the kernel writes down each of them
	// before it gives the first byte.
	infos time.Duration
}

var allRoom = room{descriptors: 50_000, text: 32 << 20, maps: 64 << 20, infos: 10 * time.Second}

// Members are the processes in the PID namespace of the process box, in the order
// of their numbers.
func Members(box int) ([]int, error) {
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", box))
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var list []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if of, err := os.Readlink("/proc/" + e.Name() + "/ns/pid"); err == nil && of == ns {
			list = append(list, pid)
		}
	}
	slices.Sort(list)
	return list, nil
}

// Processes takes what is known of the processes. It gives up when done is closed.
func (s *Snapshot) Processes(pids []int, done <-chan struct{}) error {
	return s.processes(pids, allRoom, done)
}

func (s *Snapshot) processes(pids []int, left room, done <-chan struct{}) error {
	if len(pids) > mostProcesses {
		s.LeaveOut("all but %d of %d processes", mostProcesses, len(pids))
		pids = pids[:mostProcesses]
	}
	if err := s.Dir("maps"); err != nil {
		return err
	}
	list, err := s.create(int(s.dir.Fd()), "processes.json", "processes.json")
	if err != nil {
		return err
	}
	return errors.Join(s.each(pids, &left, list, done), list.Close())
}

// Network takes the sockets of the network that the process pid is in, as the kernel
// lists them. It gives up when done is closed.
func (s *Snapshot) Network(pid int, done <-chan struct{}) error {
	if err := s.Dir("net"); err != nil {
		return err
	}
	for _, name := range []string{"tcp", "tcp6", "udp", "udp6", "raw", "raw6", "icmp", "icmp6", "unix", "packet", "netlink", "dev", "route", "snmp"} {
		if closed(done) {
			return errInterrupted
		}
		if _, err := s.proc("net/"+name, pid, "net/"+name, mostListed); err != nil {
			return err
		}
	}
	return nil
}

// Mounts takes what the process pid has mounted.
func (s *Snapshot) Mounts(pid int) error {
	_, err := s.proc("mountinfo", pid, "mountinfo", mostListed)
	return err
}

// each writes the processes to list, as one JSON array, and their maps. No more
// than one of them is in memory.
func (s *Snapshot) each(pids []int, left *room, list io.Writer, done <-chan struct{}) error {
	before := "[\n"
	for _, pid := range pids {
		if closed(done) {
			return errInterrupted
		}
		p, err := process(pid, left, done)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			s.LeaveOut("process %d, which ended meanwhile", pid)
			continue
		}
		if err != nil {
			return err
		}
		data, err := json.MarshalIndent(p, "  ", "  ")
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(list, "%s  %s", before, data); err != nil {
			return err
		}
		before = ",\n"
		if p.cut != "" {
			s.LeaveOut("process %d: %s", pid, p.cut)
		}
		n, err := s.proc(fmt.Sprintf("maps/%d", pid), pid, "maps", min(left.maps, mostListed))
		if err != nil {
			return err
		}
		left.maps -= n
	}
	if before == "[\n" {
		_, err := io.WriteString(list, "[]\n")
		return err
	}
	_, err := io.WriteString(list, "\n]\n")
	return err
}

func closed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// proc copies a file of a process, if it can be read, up to most bytes, and says
// how many there were.
func (s *Snapshot) proc(to string, pid int, name string, most int64) (int64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) { // no such protocol
			s.LeaveOut("%s: %v", to, err)
		}
		return 0, nil
	}
	defer file.Close()
	err = s.Copy(to, file, most)
	return s.files[len(s.files)-1].Size, err
}

// process describes one process, and takes from left what that needs.
func process(pid int, left *room, done <-chan struct{}) (Process, error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	p := Process{PID: pid, Argv: []string{}, Environment: []string{}, Files: []Descriptor{}}
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return p, err
	}
	if err := p.readStat(stat); err != nil {
		return p, err
	}
	cut := func(what string) {
		if p.cut == "" {
			p.cut = "not all of its " + what + " are listed"
		}
	}
	failed := func(what string, err error) {
		if err != nil {
			p.Failed = append(p.Failed, what+": "+err.Error())
		}
	}
	status, err := os.ReadFile(dir + "status")
	failed("status", err)
	p.BoxPID = boxPID(status)
	p.Exe, err = os.Readlink(dir + "exe")
	failed("exe", err)
	p.Cwd, err = os.Readlink(dir + "cwd")
	failed("cwd", err)
	argv, more, err := readSome(dir+"cmdline", left)
	failed("cmdline", err)
	if more {
		cut("arguments")
	}
	if len(argv) > 0 {
		p.Argv = strings.Split(strings.TrimSuffix(string(argv), "\x00"), "\x00")
	}
	environ, more, err := readSome(dir+"environ", left)
	failed("environ", err)
	if more {
		cut("variables")
	}
	p.Environment = names(environ)
	p.Files, more, err = descriptors(dir, left, done)
	failed("fd", err)
	if more {
		cut("open files")
	}
	if left.infos <= 0 {
		cut("open files' flags")
	}
	return p, nil
}

// readStat reads proc_pid_stat(5).
func (p *Process) readStat(data []byte) error {
	from, to := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if from < 0 || to < from {
		return fmt.Errorf("process %d: no name in its stat", p.PID)
	}
	field := strings.Fields(string(data[to+1:]))
	if len(field) < 20 {
		return fmt.Errorf("process %d: its stat has %d fields", p.PID, len(field)+2)
	}
	p.Command, p.State = string(data[from+1:to]), field[0]
	var bad [5]error
	p.Parent, bad[0] = strconv.Atoi(field[1])
	p.User, bad[1] = strconv.ParseUint(field[11], 10, 64)
	p.System, bad[2] = strconv.ParseUint(field[12], 10, 64)
	p.Threads, bad[3] = strconv.Atoi(field[17])
	p.Start, bad[4] = strconv.ParseUint(field[19], 10, 64)
	return errors.Join(bad[:]...)
}

// boxPID is the number of a process in its own namespace, by its status.
func boxPID(status []byte) int {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("NSpid:")); ok {
			field := strings.Fields(string(rest))
			if len(field) == 0 {
				return 0
			}
			n, _ := strconv.Atoi(field[len(field)-1])
			return n
		}
	}
	return 0
}

// names are the names of variables in an environment. A process can write there
// what it likes, so what looks like none is left out.
func names(environ []byte) []string {
	list := []string{}
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		name, _, ok := bytes.Cut(entry, []byte("="))
		if !ok || len(name) == 0 || len(name) > 256 {
			continue
		}
		plain := !slices.ContainsFunc(name, func(c byte) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_'
		})
		if plain {
			list = append(list, string(name))
		}
	}
	return list
}

// descriptors lists the open files, as far as there is room. more says that there
// are others.
func descriptors(dir string, left *room, done <-chan struct{}) (list []Descriptor, more bool, err error) {
	list = []Descriptor{}
	open, err := os.Open(dir + "fd")
	if err != nil {
		return list, false, err
	}
	defer open.Close()
	links := min(mostLinks, left.text)
	defer func(had int) { left.text = max(0, left.text-had+links) }(links)
	for {
		fds, err := open.Readdirnames(256)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		for _, name := range fds {
			if left.descriptors == 0 || links <= 0 || closed(done) {
				more = true
				break
			}
			if d, ok := descriptor(dir, name, &left.infos); ok {
				list = append(list, d)
				left.descriptors--
				links -= len(d.Link)
			}
		}
		if more || len(fds) == 0 || err != nil {
			slices.SortFunc(list, func(a, b Descriptor) int { return a.FD - b.FD })
			return list, more, err
		}
	}
}

// descriptor describes an open file, unless it was closed meanwhile. What it takes
// from infos is the time for its flags and position, without which it does when
// there is none left.
func descriptor(dir, name string, infos *time.Duration) (d Descriptor, ok bool) {
	var err error
	if d.FD, err = strconv.Atoi(name); err != nil {
		return d, false
	}
	if d.Link, err = os.Readlink(filepath.Join(dir, "fd", name)); err != nil {
		return d, false
	}
	if *infos <= 0 {
		return d, true
	}
	began := time.Now()
	info, _ := os.ReadFile(filepath.Join(dir, "fdinfo", name))
	*infos -= time.Since(began)
	for line := range bytes.Lines(info) {
		if key, value, ok := strings.Cut(string(line), ":"); ok && key == "flags" {
			d.Flags = strings.TrimSpace(value)
		} else if ok && key == "pos" {
			d.At, _ = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return d, true
}

// readSome reads a file as far as there is room. more says that there is more of
// it.
func readSome(path string, left *room) (data []byte, more bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	most := min(mostText, left.text)
	data, err = io.ReadAll(io.LimitReader(file, int64(most)+1))
	if more = len(data) > most; more {
		data = data[:most]
	}
	left.text -= len(data)
	return data, more, err
}
