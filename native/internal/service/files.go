package service

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	agentv1 "pyro/native/gen/pyro/agent/v1"
	"pyro/native/internal/beneath"
	"pyro/native/internal/file"
)

// ReadFile sends a range of a file.
func (s *Service) ReadFile(_ context.Context, request *agentv1.ReadFileRequest, stream *connect.ServerStream[agentv1.ReadFileResponse]) error {
	base, err := s.open(request.GetBeneath())
	if err != nil {
		return err
	}
	defer base.Close()
	in, info, err := file.Open(base, request.GetPath())
	if err != nil {
		return fail(err)
	}
	defer in.Close()
	response := &agentv1.ReadFileResponse{Info: wire(info)}
	err = file.Copy(in, request.GetOffset(), request.GetLimit(), func(data []byte) error {
		response.Data = data
		err := stream.Send(response)
		response = &agentv1.ReadFileResponse{}
		return err
	})
	if err == nil && response.GetInfo() != nil {
		err = stream.Send(response)
	}
	return fail(err)
}

// WriteFile replaces a file by what the stream brings. A stream that is cut
// changes nothing.
func (s *Service) WriteFile(_ context.Context, stream *connect.ClientStream[agentv1.WriteFileRequest]) (*agentv1.WriteFileResponse, error) {
	if !stream.Receive() {
		return nil, missing(stream.Err())
	}
	first := stream.Msg()
	base, err := s.open(first.GetBeneath())
	if err != nil {
		return nil, err
	}
	defer base.Close()
	out, err := file.Replace(base, first.GetPath(), first.GetMode())
	if err != nil {
		return nil, fail(err)
	}
	_, err = out.Write(first.GetData())
	for err == nil && stream.Receive() {
		_, err = out.Write(stream.Msg().GetData())
	}
	if err = errors.Join(err, stream.Err()); err != nil {
		out.Discard()
		return nil, fail(err)
	}
	info, err := out.Commit()
	if err != nil {
		return nil, fail(err)
	}
	return &agentv1.WriteFileResponse{Info: wire(info)}, nil
}

// open is where the paths of a request start.
func (s *Service) open(under string) (*beneath.Base, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	base, err := beneath.Open(s.machine.Root(), under)
	return base, fail(err)
}

func missing(err error) error {
	if err == nil {
		return invalid("the stream is empty")
	}
	return err
}

func wire(info file.Info) *agentv1.FileInfo {
	return &agentv1.FileInfo{Size: info.Size, Mode: info.Mode, MtimeNs: info.ModTime}
}
