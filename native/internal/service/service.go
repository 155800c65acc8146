// Package service answers the calls of proto/pyro/agent/v1.
package service

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	agentv1 "pyro/native/gen/pyro/agent/v1"
	"pyro/native/internal/process"
	"pyro/native/internal/workload"
)

// Machine is what the agent serves: a guest, or a directory of the host.
type Machine interface {
	process.Place
	// Root is a descriptor of the directory that paths start at, -1 before Prepare.
	Root() int
	Prepare(ctx context.Context, environment, disk string, warmUp [][]string) error
	Attach(id workload.Identity, disk, seed string) error
	SetClock(now time.Time) error
	Sync() error
	// Checkpoint flushes, and keeps what the disk holds unless nothing has changed.
	Checkpoint(sequence uint64, keep int) (taken bool, last uint64, err error)
	// DiskFailed tells, at once, whether the disk takes no more writes after an error.
	DiskFailed() bool
	// Shutdown returns once everything is on the disk.
	Shutdown() error
	PowerOff()
}

// Service is the agent of a machine.
type Service struct {
	build   string
	machine Machine
	execs   *process.Table

	mu    sync.Mutex
	state agentv1.AgentState
	// busy is whether Prepare, Attach or Shutdown is at work.
	busy bool

	lease lease
}

// New returns the agent of a machine that has just booted.
func New(build string, machine Machine) *Service {
	s := &Service{build: build, machine: machine, execs: process.NewTable(), state: agentv1.AgentState_AGENT_STATE_BOOTED}
	s.lease.expired = s.expire
	return s
}

// Ping answers at once.
func (s *Service) Ping(context.Context, *agentv1.PingRequest) (*agentv1.PingResponse, error) {
	var monotonic unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic); err != nil {
		return nil, fail(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return &agentv1.PingResponse{
		Build:         s.build,
		MonotonicNs:   monotonic.Nano(),
		RealtimeNs:    time.Now().UnixNano(),
		State:         s.state,
		ResidentBytes: residentBytes(),
		DiskFailed:    s.state == agentv1.AgentState_AGENT_STATE_ATTACHED && s.machine.DiskFailed(),
	}, nil
}

// residentBytes is 0 where the kernel does not tell.
func residentBytes() uint64 {
	statm, _ := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(statm)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(string(fields[1]), 10, 64)
	return pages * uint64(os.Getpagesize())
}

// Prepare readies the machine to be suspended.
func (s *Service) Prepare(ctx context.Context, request *agentv1.PrepareRequest) (*agentv1.PrepareResponse, error) {
	var warmUp [][]string
	for _, command := range request.GetWarmUp() {
		warmUp = append(warmUp, command.GetArgv())
	}
	err := s.step(agentv1.AgentState_AGENT_STATE_PREPARED, func() error {
		return s.machine.Prepare(context.WithoutCancel(ctx), request.GetEnvironmentDevice(), request.GetDiskDevice(), warmUp)
	}, agentv1.AgentState_AGENT_STATE_BOOTED)
	return &agentv1.PrepareResponse{}, err
}

// Attach gives the machine its identity and its disk.
func (s *Service) Attach(_ context.Context, request *agentv1.AttachRequest) (*agentv1.AttachResponse, error) {
	id := workload.Identity{
		Hostname:  request.GetHostname(),
		MachineID: request.GetMachineId(),
		Now:       time.Unix(0, request.GetRealtimeNs()),
		Entropy:   request.GetEntropy(),
	}
	err := s.step(agentv1.AgentState_AGENT_STATE_ATTACHED, func() error {
		// Ids of what the template ran mean nothing to the machine that a fork becomes.
		s.execs.Forget()
		return s.machine.Attach(id, request.GetDiskDevice(), request.GetSeedDevice())
	}, agentv1.AgentState_AGENT_STATE_PREPARED)
	if err == nil {
		s.lease.begin(milliseconds(request.GetLeaseMs()))
	}
	return &agentv1.AttachResponse{}, err
}

// SetClock sets the time of day.
func (s *Service) SetClock(_ context.Context, request *agentv1.SetClockRequest) (*agentv1.SetClockResponse, error) {
	return &agentv1.SetClockResponse{}, fail(s.machine.SetClock(time.Unix(0, request.GetRealtimeNs())))
}

// Sync flushes everything.
func (s *Service) Sync(context.Context, *agentv1.SyncRequest) (*agentv1.SyncResponse, error) {
	return &agentv1.SyncResponse{}, fail(s.machine.Sync())
}

// Checkpoint keeps what the disk holds.
func (s *Service) Checkpoint(_ context.Context, request *agentv1.CheckpointRequest) (*agentv1.CheckpointResponse, error) {
	if request.GetSequence() == 0 {
		return nil, invalid("a checkpoint's sequence is not 0")
	}
	if err := s.usable(); err != nil {
		return nil, err
	}
	taken, last, err := s.machine.Checkpoint(request.GetSequence(), int(request.GetKeep()))
	return &agentv1.CheckpointResponse{Taken: taken, Last: last}, fail(err)
}

// powerOffDelay is how long the answer to Shutdown has to leave the machine.
const powerOffDelay = 50 * time.Millisecond

// Shutdown ends the machine once its answer has left.
func (s *Service) Shutdown(context.Context, *agentv1.ShutdownRequest) (*agentv1.ShutdownResponse, error) {
	err := s.step(agentv1.AgentState_AGENT_STATE_FAILED, s.machine.Shutdown,
		agentv1.AgentState_AGENT_STATE_BOOTED, agentv1.AgentState_AGENT_STATE_PREPARED,
		agentv1.AgentState_AGENT_STATE_ATTACHED, agentv1.AgentState_AGENT_STATE_FAILED)
	if connect.CodeOf(err) != connect.CodeFailedPrecondition {
		time.AfterFunc(powerOffDelay, s.machine.PowerOff)
	}
	return &agentv1.ShutdownResponse{}, err
}

// expire ends the machine as Shutdown does, unless a call is under way that
// must end first.
func (s *Service) expire() (ended bool) {
	_, err := s.Shutdown(context.Background(), nil)
	return connect.CodeOf(err) != connect.CodeFailedPrecondition
}

// milliseconds is a duration as the protocol tells it.
func milliseconds(n uint64) time.Duration {
	const most = uint64(1<<63-1) / uint64(time.Millisecond)
	return time.Duration(min(n, most)) * time.Millisecond
}

// step takes the machine from one of the states to another, or fails for good.
func (s *Service) step(to agentv1.AgentState, work func() error, from ...agentv1.AgentState) error {
	s.mu.Lock()
	allowed := false
	for _, state := range from {
		allowed = allowed || s.state == state
	}
	if s.busy || !allowed {
		defer s.mu.Unlock()
		return refuse("the agent is %s and does not allow this call now", s.state)
	}
	s.busy = true
	s.mu.Unlock()

	err := work()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
	s.state = to
	if err != nil {
		s.state = agentv1.AgentState_AGENT_STATE_FAILED
	}
	return fail(err)
}

// usable refuses work for a guest that nothing runs in.
func (s *Service) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case agentv1.AgentState_AGENT_STATE_PREPARED, agentv1.AgentState_AGENT_STATE_ATTACHED:
		if !s.busy {
			return nil
		}
	}
	return refuse("the agent is %s and cannot run anything", s.state)
}
