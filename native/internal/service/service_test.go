package service_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"connectrpc.com/connect"

	agentv1 "pyro/native/gen/pyro/agent/v1"
	"pyro/native/gen/pyro/agent/v1/agentv1connect"
	"pyro/native/internal/channel"
	"pyro/native/internal/channel/channeltest"
	"pyro/native/internal/service"
	"pyro/native/internal/unconfined"
)

// guest is an agent that serves a directory on a Unix socket.
type guest struct {
	agentv1connect.AgentClient
	t       *testing.T
	root    string
	socket  string
	conn    net.Conn
	lastID  int
	context context.Context
}

func start(t *testing.T) *guest {
	t.Helper()
	dir := t.TempDir()
	g := &guest{t: t, root: filepath.Join(dir, "root"), socket: filepath.Join(dir, "socket"), context: t.Context()}
	machine, err := unconfined.New(g.root)
	must(t, err)
	listener, err := net.Listen("unix", g.socket)
	must(t, err)
	go channel.ServeListener(listener, service.New("test", machine).Session())
	t.Cleanup(func() { listener.Close(); machine.Shutdown() })
	g.connect()
	t.Cleanup(func() { g.conn.Close() })
	_, err = g.Prepare(g.context, &agentv1.PrepareRequest{})
	must(t, err)
	_, err = g.Attach(g.context, &agentv1.AttachRequest{})
	must(t, err)
	return g
}

// connect begins a new session beside those that there are.
func (g *guest) connect() {
	g.t.Helper()
	var err error
	g.conn, err = net.Dial("unix", g.socket)
	must(g.t, err)
	shaken, err := channeltest.Shake(g.conn)
	must(g.t, err)
	g.AgentClient, err = channeltest.Client(shaken)
	must(g.t, err)
}

func (g *guest) request(argv ...string) *agentv1.ExecRequest {
	g.lastID++
	return &agentv1.ExecRequest{ExecId: "exec-" + strconv.Itoa(g.lastID), Argv: argv, Cwd: "/workspace", Env: []string{"PATH=" + os.Getenv("PATH")}}
}

func (g *guest) exec(request *agentv1.ExecRequest) *connect.ServerStreamForClient[agentv1.ExecEvent] {
	g.t.Helper()
	stream, err := g.Exec(g.context, request)
	must(g.t, err)
	return stream
}

// output is everything that an exec's stream tells.
type output struct {
	started        bool
	pid            int32
	stdout, stderr bytes.Buffer
	exit           *agentv1.ExecEvent_Exit
	err            error
}

func collect(stream *connect.ServerStreamForClient[agentv1.ExecEvent]) *output {
	defer stream.Close()
	o := &output{}
	for stream.Receive() {
		o.take(stream.Msg())
	}
	o.err = stream.Err()
	return o
}

func (o *output) take(event *agentv1.ExecEvent) {
	switch event := event.GetEvent().(type) {
	case *agentv1.ExecEvent_Started_:
		o.started, o.pid = true, event.Started.GetPid()
	case *agentv1.ExecEvent_Output_:
		if event.Output.GetStream() == agentv1.OutputStream_OUTPUT_STREAM_STDOUT {
			o.stdout.Write(event.Output.GetData())
		} else {
			o.stderr.Write(event.Output.GetData())
		}
	case *agentv1.ExecEvent_Exit_:
		o.exit = event.Exit
	}
}

func (g *guest) run(argv ...string) *output {
	g.t.Helper()
	o := collect(g.exec(g.request(argv...)))
	must(g.t, o.err)
	return o
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code connect.Code) {
	t.Helper()
	if err == nil || connect.CodeOf(err) != code {
		t.Fatalf("want %s, got %v", code, err)
	}
}

func TestPingTellsBuildStateAndClocks(t *testing.T) {
	g := start(t)
	before := time.Now()
	pong, err := g.Ping(g.context, &agentv1.PingRequest{})
	must(t, err)
	if pong.GetBuild() != "test" || pong.GetState() != agentv1.AgentState_AGENT_STATE_ATTACHED {
		t.Fatal(pong)
	}
	if at := time.Unix(0, pong.GetRealtimeNs()); at.Before(before) || at.After(time.Now()) {
		t.Fatal(at)
	}
}

func TestPrepareAndAttachAreAllowedOnce(t *testing.T) {
	g := start(t)
	_, err := g.Prepare(g.context, &agentv1.PrepareRequest{})
	wantCode(t, err, connect.CodeFailedPrecondition)
	_, err = g.Attach(g.context, &agentv1.AttachRequest{})
	wantCode(t, err, connect.CodeFailedPrecondition)
}
