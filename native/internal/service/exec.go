package service

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	agentv1 "pyro/native/gen/pyro/agent/v1"
	"pyro/native/internal/process"
)

type events = connect.ServerStream[agentv1.ExecEvent]

// Exec runs a command and sends its events.
func (s *Service) Exec(ctx context.Context, request *agentv1.ExecRequest, stream *events) error {
	taken := time.Now()
	if err := s.usable(); err != nil {
		return err
	}
	exec, err := s.execs.Start(s.machine, process.Spec{
		ID:      request.GetExecId(),
		Argv:    request.GetArgv(),
		Env:     request.GetEnv(),
		Dir:     request.GetCwd(),
		Timeout: milliseconds(request.GetTimeoutMs()),
		Stdin:   request.GetStdin(),

		KeepBackground: request.GetKeepBackground(),
	})
	if err != nil {
		return fail(err)
	}
	started := &agentv1.ExecEvent{Event: &agentv1.ExecEvent_Started_{Started: &agentv1.ExecEvent_Started{Pid: int32(exec.Pid)}}}
	if err := stream.Send(started); err != nil {
		return err
	}
	return s.follow(ctx, exec, taken, process.From{}, stream)
}

// Follow sends the events of an exec from the given offsets.
func (s *Service) Follow(ctx context.Context, request *agentv1.FollowRequest, stream *events) error {
	taken := time.Now()
	exec, err := s.execs.Find(request.GetExecId())
	if err != nil {
		return fail(err)
	}
	offsets := [...]uint64{process.Stdout: request.GetStdoutOffset(), process.Stderr: request.GetStderrOffset()}
	return s.follow(ctx, exec, taken, process.From{Offsets: offsets, Lossy: request.GetLossy()}, stream)
}

var outputStreams = [...]agentv1.OutputStream{
	process.Stdout: agentv1.OutputStream_OUTPUT_STREAM_STDOUT,
	process.Stderr: agentv1.OutputStream_OUTPUT_STREAM_STDERR,
}

func (s *Service) follow(ctx context.Context, exec *process.Exec, taken time.Time, from process.From, stream *events) error {
	exit, err := s.execs.Follow(ctx, exec, from, func(which int, offset uint64, data []byte) error {
		return stream.Send(&agentv1.ExecEvent{Event: &agentv1.ExecEvent_Output_{Output: &agentv1.ExecEvent_Output{
			Stream: outputStreams[which], Offset: offset, Data: data,
		}}})
	})
	if err != nil {
		return fail(err)
	}
	return stream.Send(&agentv1.ExecEvent{Event: &agentv1.ExecEvent_Exit_{Exit: &agentv1.ExecEvent_Exit{
		Code:       int32(exit.Code),
		Signal:     int32(exit.Signal),
		TimedOut:   exit.TimedOut,
		DurationUs: uint64(exit.Duration.Microseconds()),
		OomKilled:  exit.OOMKilled,
		HandledUs:  uint64(time.Since(taken).Microseconds()),
	}}})
}

// Stdin feeds an exec. Only the clean end of the stream is an end of its input:
// after a cut connection another call can go on.
func (s *Service) Stdin(_ context.Context, stream *connect.ClientStream[agentv1.StdinRequest]) (*agentv1.StdinResponse, error) {
	if !stream.Receive() {
		return nil, missing(stream.Err())
	}
	exec, err := s.execs.Find(stream.Msg().GetExecId())
	if err != nil {
		return nil, fail(err)
	}
	feed, err := exec.Feed()
	if err != nil {
		return nil, fail(err)
	}
	defer feed.Release()
	response := &agentv1.StdinResponse{}
	for {
		n, err := feed.Write(stream.Msg().GetData())
		response.AcceptedBytes += uint64(n)
		if err != nil {
			return response, nil
		}
		if !stream.Receive() {
			break
		}
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	feed.End()
	return response, nil
}

// Signal signals an exec.
func (s *Service) Signal(_ context.Context, request *agentv1.SignalRequest) (*agentv1.SignalResponse, error) {
	exec, err := s.execs.Find(request.GetExecId())
	if err == nil && (request.GetSignal() < 0 || request.GetSignal() > 64) {
		err = unix.EINVAL
	}
	if err == nil {
		err = exec.Signal(unix.Signal(request.GetSignal()), request.GetAll())
	}
	return &agentv1.SignalResponse{}, fail(err)
}
