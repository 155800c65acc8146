package unconfined

import (
	"bytes"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// group is the session of an exec's first process, and the descendants of it
// that made sessions of their own while their parents lived.
type group struct {
	machine *Machine
	leader  atomic.Int32
}

func (g *group) Join(*syscall.SysProcAttr) {}

func (g *group) Joined(pid int) { g.leader.Store(int32(pid)) }

func (g *group) Kill() error { return g.Signal(unix.SIGKILL) }

// Signal repeats a SIGKILL until nobody is left that could have forked meanwhile.
func (g *group) Signal(signal unix.Signal) error {
	leader := int(g.leader.Load())
	if leader == 0 {
		return nil
	}
	for range 16 {
		members, err := members(leader)
		if err != nil {
			return err
		}
		for _, pid := range members {
			unix.Kill(pid, signal)
		}
		if signal != unix.SIGKILL || len(members) == 0 {
			break
		}
	}
	return nil
}

// End keeps nothing: once the leader is gone, its number may become that of a
// process which is none of ours.
func (g *group) End(bool) (oomKilled bool) {
	g.Kill()
	g.machine.mu.Lock()
	defer g.machine.mu.Unlock()
	delete(g.machine.groups, g)
	return false
}

// members are the living processes of a session and all their descendants.
func members(leader int) ([]int, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	names, err := proc.Readdirnames(-1)
	proc.Close()
	if err != nil {
		return nil, err
	}
	parents, found := map[int]int{}, map[int]bool{leader: true}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		status, parent, session := stat(name)
		if status == 'Z' || status == 0 {
			continue
		}
		parents[pid] = parent
		if session == leader {
			found[pid] = true
		}
	}
	for grown := true; grown; {
		grown = false
		for pid, parent := range parents {
			if found[parent] && !found[pid] {
				found[pid], grown = true, true
			}
		}
	}
	var list []int
	for pid := range found {
		if _, alive := parents[pid]; alive {
			list = append(list, pid)
		}
	}
	return list, nil
}

// stat reads state, parent and session from /proc/PID/stat, whose second field
// may contain anything.
func stat(pid string) (state byte, parent, session int) {
	content, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, 0, 0
	}
	fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:])
	if len(fields) < 4 {
		return 0, 0, 0
	}
	parent, _ = strconv.Atoi(string(fields[1]))
	session, _ = strconv.Atoi(string(fields[3]))
	return fields[0][0], parent, session
}
