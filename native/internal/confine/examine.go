package confine

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"pyro/native/internal/event"
)

const (
	probeMemoryMiB = 256
	probeThreads   = 256
)

type examined struct {
	Event string `json:"event"`
	Rows  []Row  `json:"rows"`
}

// Examine is `pyro-host examine`: it starts a probe where a VMM would be, looks
// at it from inside and from outside, and says what holds on this host. It must
// run on the main thread.
func Examine(out *event.Stream) error {
	place, err := newPlace()
	if err != nil {
		return err
	}
	defer place.Close()
	seen, err := place.look()
	if err != nil {
		return err
	}
	return out.Emit(examined{Event: "examined", Rows: seen.rows()})
}

// place is what the probe must not reach, and what it may.
type place struct {
	directory string
	tcp, unix net.Listener
	questions Questions
}

func newPlace() (p *place, err error) {
	p = &place{}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	if p.directory, err = os.MkdirTemp("", "pyro-examine-"); err != nil {
		return p, err
	}
	if err = os.Mkdir(p.work(), 0o700); err != nil {
		return p, err
	}
	for _, file := range []string{p.memory(), p.secret()} {
		if err = os.WriteFile(file, make([]byte, os.Getpagesize()), 0o600); err != nil {
			return p, err
		}
	}
	abstract := fmt.Sprintf("@pyro-examine-%d", os.Getpid())
	if p.unix, err = net.Listen("unix", abstract); err != nil {
		return p, err
	}
	p.questions = Questions{
		See:    []string{p.secret(), "/etc/passwd", "/proc", "/sys", "/home", "/root", "/usr/bin"},
		Dial:   []string{"unix " + abstract},
		Signal: []int{os.Getpid(), os.Getppid()},
		Write:  []string{p.memory()},
		Stay:   true,
	}
	// A host without IPv4 has no loopback to try.
	if p.tcp, err = net.Listen("tcp4", "127.0.0.1:0"); err == nil {
		p.questions.Dial = append(p.questions.Dial, "tcp "+p.tcp.Addr().String())
	}
	return p, nil
}

func (p *place) work() string   { return filepath.Join(p.directory, "work") }
func (p *place) memory() string { return filepath.Join(p.directory, "memory") }
func (p *place) secret() string { return filepath.Join(p.directory, "secret") }

func (p *place) Close() {
	for _, listener := range []net.Listener{p.tcp, p.unix} {
		if listener != nil {
			listener.Close()
		}
	}
	if p.directory != "" {
		os.RemoveAll(p.directory)
	}
}

// sight is all that was seen of a probe.
type sight struct {
	outcome Outcome
	answers Answers
	place   *place
	// apart are the namespaces that the probe does not share with us.
	apart map[string]bool
}

// look starts a probe and hears it.
func (p *place) look() (*sight, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	questions, err := json.Marshal(p.questions)
	if err != nil {
		return nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	spec := &Spec{Lend: []string{p.memory()}, MemoryMiB: probeMemoryMiB, Threads: probeThreads}
	vmm, err := Start(spec, Command{
		ID: filepath.Base(p.directory), Path: program, Argv: []string{"pyro-host", "probe", string(questions)},
		// Its threads and its heap stay below the limits of any host.
		Env: append(os.Environ(), "GOMAXPROCS=1"), Dir: p.work(), Files: []uintptr{null.Fd(), write.Fd(), write.Fd()},
	})
	write.Close()
	if err != nil {
		return nil, err
	}
	defer func() {
		unix.Kill(-vmm.PID, unix.SIGKILL)
		for {
			if _, err := unix.Wait4(vmm.PID, nil, 0, nil); err != unix.EINTR {
				break
			}
		}
		vmm.Finish()
	}()
	line, err := bufio.NewReader(read).ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("the probe said %q: %w", line, err)
	}
	s := &sight{outcome: vmm.Outcome, place: p, apart: map[string]bool{}}
	if err := json.Unmarshal(line, &s.answers); err != nil {
		return nil, errors.Join(fmt.Errorf("the probe said %q", line), err)
	}
	for _, name := range []string{"mnt", "net", "pid", "ipc", "uts", "cgroup"} {
		ours, err := os.Readlink("/proc/self/ns/" + name)
		theirs, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", vmm.PID, name))
		s.apart[name] = err == nil && err2 == nil && ours != theirs
	}
	return s, nil
}
