package service

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	agentv1 "pyro/native/gen/pyro/agent/v1"
)

var errLater = connect.NewError(connect.CodeUnimplemented, errors.New("later"))

func (s *Service) ReadFile(context.Context, *agentv1.ReadFileRequest, *connect.ServerStream[agentv1.ReadFileResponse]) error {
	return errLater
}
func (s *Service) WriteFile(context.Context, *connect.ClientStream[agentv1.WriteFileRequest]) (*agentv1.WriteFileResponse, error) {
	return nil, errLater
}
func (s *Service) ReadTree(context.Context, *agentv1.ReadTreeRequest, *connect.ServerStream[agentv1.ReadTreeResponse]) error {
	return errLater
}
func (s *Service) WriteTree(context.Context, *connect.ClientStream[agentv1.WriteTreeRequest]) (*agentv1.WriteTreeResponse, error) {
	return nil, errLater
}
