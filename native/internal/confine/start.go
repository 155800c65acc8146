package confine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stagePatience bounds how long the stage may take: far more than it needs on the busiest host.
const stagePatience = 20 * time.Second

// maxMessage bounds what goes between the stage and us, in bytes.
const maxMessage = 128 << 10

// Command is the VMM as it would be started by itself.
type Command struct {
	// ID is the machine's; its user is derived from it.
	ID   string
	Path string
	Argv []string
	Env  []string
	// Dir is the working directory, empty as the VMM sees it.
	Dir string
	// Files become the descriptors 0, 1, 2 and so on.
	Files []uintptr
}

// VMM is a started VMM.
type VMM struct {
	// PID is the VMM's own: the stage became it.
	PID     int
	Outcome Outcome
	group   *group
}

// Start starts a confined VMM and returns once it runs. It must be called on
// the main thread: the parent-death signal follows the thread that started the
// child. What is not possible here is left out, and told in the outcome.
func Start(spec *Spec, c Command) (*VMM, error) {
	view, err := resolve(spec, c)
	if err != nil {
		return nil, err
	}
	has, outcome := wanted(), Outcome{Missing: map[string]string{}}
	group, err := newGroup(spec, c.ID)
	if err != nil {
		outcome.Missing[Limits] = err.Error()
	}
	for {
		a := attempt{spec: spec, command: c, view: view, has: has, group: group}
		pid, err := a.start()
		if err == nil {
			return &VMM{PID: pid, Outcome: outcome.of(a), group: group}, nil
		}
		var refused *refusal
		if !errors.As(err, &refused) {
			group.remove()
			return nil, err
		}
		// A clone that fails does not say for which of its wishes.
		if refused.Feature == Namespaces && refused.cloning && group != nil {
			refused.Feature = Limits
		}
		if refused.Feature == Limits {
			group.remove()
			group = nil
		} else if !has.drop(refused.Feature) {
			return nil, err
		}
		outcome.Missing[refused.Feature] = refused.Reason
	}
}

// Finish removes what was made for a VMM that has been reaped.
func (v *VMM) Finish() { v.group.remove() }

// attempt is one try to start the VMM with a set of features.
type attempt struct {
	spec    *Spec
	command Command
	view    *view
	has     features
	group   *group
}

// refusal is a feature that cannot be had.
type refusal struct {
	Feature string
	Reason  string
	cloning bool
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: %s", r.Feature, r.Reason) }

// start returns the VMM's process id, a refusal, or why the program cannot be run.
func (a *attempt) start() (int, error) {
	ours, theirs, err := channel()
	if err != nil {
		return 0, err
	}
	defer ours.Close()
	plan, err := json.Marshal(a.plan())
	if err == nil && len(plan) > maxMessage {
		err = fmt.Errorf("the plan of a confined VMM has %d bytes, at most %d fit", len(plan), maxMessage)
	}
	if err == nil {
		_, err = ours.Write(plan)
	}
	if err != nil {
		theirs.Close()
		return 0, err
	}
	number := len(a.command.Files)
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"pyro-host", "confine", strconv.Itoa(number)}, &syscall.ProcAttr{
		// The program itself gets the environment of the plan. The stage is too short for threads and collections of garbage.
		Env:   append(os.Environ(), "GOMAXPROCS=1", "GOGC=off"),
		Files: append(slices.Clone(a.command.Files), theirs.Fd()),
		Sys:   a.attributes(),
	})
	theirs.Close()
	if err != nil {
		if errno, ok := err.(syscall.Errno); !ok || !lasts(errno) {
			return 0, &os.PathError{Op: "confine", Path: a.command.Path, Err: err}
		}
		return 0, &refusal{Feature: Namespaces, Reason: noNamespaces("clone: " + err.Error()), cloning: true}
	}
	if err := a.follow(ours); err != nil {
		unix.Kill(pid, unix.SIGKILL)
		for {
			if _, waited := unix.Wait4(pid, nil, 0, nil); waited != unix.EINTR {
				return 0, err
			}
		}
	}
	return pid, nil
}

// attributes of the stage's process. Its parent-death signal is its own matter:
// the check that Go's has does not work across process id namespaces.
func (a *attempt) attributes() *syscall.SysProcAttr {
	s := &syscall.SysProcAttr{Setsid: true}
	if a.group != nil {
		s.UseCgroupFD, s.CgroupFD = true, a.group.Descriptor()
	}
	if a.has.namespaces == none {
		return s
	}
	s.Cloneflags = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
	if a.has.namespaces == asUser {
		uid, gid := os.Getuid(), os.Getgid()
		s.Cloneflags |= unix.CLONE_NEWUSER
		s.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		s.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		// What the stage needs, as it is not root in there.
		s.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP}
	}
	return s
}

// follow hears the stage until it has become the VMM or failed.
func (a *attempt) follow(stage *os.File) error {
	buffer, control := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4))
	limit := unix.NsecToTimeval(stagePatience.Nanoseconds())
	unix.SetsockoptTimeval(int(stage.Fd()), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
	for {
		n, space, _, _, err := unix.Recvmsg(int(stage.Fd()), buffer, control, unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("the stage before the VMM does not answer: %w", err)
		case n == 0:
			return nil
		case space > 0:
			listener, err := received(control[:space])
			if err != nil {
				return err
			}
			go newLender(listener, a.spec).serve()
		default:
			return failureOf(buffer[:n], a.command.Path)
		}
	}
}

func received(control []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(messages) != 1 {
		return 0, errors.Join(err, errors.New("a descriptor was expected"))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return 0, errors.Join(err, errors.New("a descriptor was expected"))
	}
	return fds[0], nil
}

// channel is a pair of sockets between us and the stage. Its other end is gone when either dies.
func channel() (ours, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(pair[0]), "stage"), os.NewFile(uintptr(pair[1]), "monitor"), nil
}
