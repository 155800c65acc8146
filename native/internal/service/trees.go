package service

import (
	"bufio"
	"context"
	"io"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	agentv1 "pyro/native/gen/pyro/agent/v1"
	"pyro/native/internal/tree"
)

const treeChunk = 64 << 10

// ReadTree sends a directory as a tar stream.
func (s *Service) ReadTree(ctx context.Context, request *agentv1.ReadTreeRequest, stream *connect.ServerStream[agentv1.ReadTreeResponse]) error {
	base, err := s.open(request.GetBeneath())
	if err != nil {
		return err
	}
	defer base.Close()
	dir, err := base.Open(request.GetPath(), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(dir)
	out := bufio.NewWriterSize(treeWriter{stream}, treeChunk)
	if err := tree.Pack(ctx, dir, out); err != nil {
		return fail(err)
	}
	return fail(out.Flush())
}

// WriteTree unpacks a tar stream.
func (s *Service) WriteTree(_ context.Context, stream *connect.ClientStream[agentv1.WriteTreeRequest]) (*agentv1.WriteTreeResponse, error) {
	if !stream.Receive() {
		return nil, missing(stream.Err())
	}
	first := stream.Msg()
	base, err := s.open(first.GetBeneath())
	if err != nil {
		return nil, err
	}
	defer base.Close()
	dir, err := base.Directory(first.GetPath())
	if err != nil {
		return nil, fail(err)
	}
	defer unix.Close(dir)
	written, err := tree.Unpack(dir, &treeReader{stream: stream, data: first.GetData()})
	if err != nil {
		return nil, fail(err)
	}
	return &agentv1.WriteTreeResponse{Entries: written.Entries, Bytes: written.Bytes}, nil
}

type treeWriter struct {
	stream *connect.ServerStream[agentv1.ReadTreeResponse]
}

func (w treeWriter) Write(p []byte) (int, error) {
	for sent := 0; sent < len(p); {
		n := min(len(p)-sent, treeChunk)
		if err := w.stream.Send(&agentv1.ReadTreeResponse{Data: p[sent : sent+n]}); err != nil {
			return sent, err
		}
		sent += n
	}
	return len(p), nil
}

type treeReader struct {
	stream *connect.ClientStream[agentv1.WriteTreeRequest]
	data   []byte
}

func (r *treeReader) Read(p []byte) (int, error) {
	for len(r.data) == 0 {
		if !r.stream.Receive() {
			if err := r.stream.Err(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
		r.data = r.stream.Msg().GetData()
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}
