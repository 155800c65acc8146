package service

import (
	"io"
	"log"
	"net"
	"net/http"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"

	"pyro/native/gen/pyro/agent/v1/agentv1connect"
	"pyro/native/internal/channel"
)

const (
	// maxMessage bounds one message from the host, in bytes.
	maxMessage = 4 << 20
	// Windows of HTTP/2, in bytes. A stalled upload fills its own window; the
	// connection's has room for 256 of them.
	streamWindow     = 256 << 10
	connectionWindow = 64 << 20
	maxStreams       = 1000
)

// Session returns what serves one connection of a host.
func (s *Service) Session() func(net.Conn) {
	_, handler := agentv1connect.NewAgentHandler(s,
		connect.WithCompression("gzip", nil, nil), connect.WithReadMaxBytes(maxMessage))
	server := &http2.Server{
		MaxReadFrameSize:             channel.MaxFrame,
		MaxConcurrentStreams:         maxStreams,
		MaxUploadBufferPerConnection: connectionWindow,
		MaxUploadBufferPerStream:     streamWindow,
	}
	options := &http2.ServeConnOpts{Handler: handler, BaseConfig: &http.Server{ErrorLog: log.New(io.Discard, "", 0)}}
	return func(conn net.Conn) {
		s.lease.connected()
		defer s.lease.disconnected()
		server.ServeConn(conn, options)
	}
}
