package service_test

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"

	agentv1 "pyro/native/gen/pyro/agent/v1"
	"pyro/native/internal/channel/channeltest"
)

func (g *guest) write(path, beneath string, mode uint32, data []byte) (*agentv1.WriteFileResponse, error) {
	stream, err := g.WriteFile(g.context)
	must(g.t, err)
	stream.Send(&agentv1.WriteFileRequest{Path: path, Beneath: beneath, Mode: mode})
	for len(data) > 0 {
		n := min(len(data), 64<<10)
		if stream.Send(&agentv1.WriteFileRequest{Data: data[:n]}) != nil {
			break
		}
		data = data[n:]
	}
	return stream.CloseAndReceive()
}

func (g *guest) read(request *agentv1.ReadFileRequest) ([]byte, *agentv1.FileInfo, error) {
	stream, err := g.ReadFile(g.context, request)
	must(g.t, err)
	defer stream.Close()
	var data []byte
	var info *agentv1.FileInfo
	for stream.Receive() {
		data = append(data, stream.Msg().GetData()...)
		if stream.Msg().GetInfo() != nil {
			info = stream.Msg().GetInfo()
		}
	}
	return data, info, stream.Err()
}

func TestAFileIsWrittenAndReadByteForByte(t *testing.T) {
	g := start(t)
	content := make([]byte, 1_000_003)
	rand.Read(content)
	written, err := g.write("/workspace/new/dir/file", "/workspace", 0o750, content)
	must(t, err)
	data, info, err := g.read(&agentv1.ReadFileRequest{Path: "/workspace/new/dir/file", Beneath: "/workspace"})
	must(t, err)
	if !bytes.Equal(data, content) || info.GetMode() != 0o750 || info.GetSize() != 1_000_003 || written.GetInfo().GetSize() != 1_000_003 {
		t.Fatal(len(data), info, written)
	}
	data, _, err = g.read(&agentv1.ReadFileRequest{Path: "/workspace/new/dir/file", Offset: 1000, Limit: 10})
	must(t, err)
	if !bytes.Equal(data, content[1000:1010]) {
		t.Fatal(data)
	}
	data, info, err = g.read(&agentv1.ReadFileRequest{Path: "/workspace/new/dir/file", Offset: 5_000_000})
	must(t, err)
	if len(data) != 0 || info.GetSize() != 1_000_003 {
		t.Fatal(len(data), info)
	}
}

func TestAReplacedFileKeepsItsMode(t *testing.T) {
	g := start(t)
	must(t, os.WriteFile(filepath.Join(g.root, "workspace/tool"), []byte("old"), 0o755))
	_, err := g.write("/workspace/tool", "/workspace", 0o600, []byte("new"))
	must(t, err)
	if _, info, _ := g.read(&agentv1.ReadFileRequest{Path: "/workspace/tool"}); info.GetMode() != 0o755 || info.GetSize() != 3 {
		t.Fatal(info)
	}
}

func TestLinksAreFollowedOnlyBelowTheGivenDirectory(t *testing.T) {
	g := start(t)
	workspace := filepath.Join(g.root, "workspace")
	must(t, os.MkdirAll(filepath.Join(workspace, "real"), 0o755))
	must(t, os.WriteFile(filepath.Join(workspace, "real/file"), []byte("inside"), 0o644))
	must(t, os.WriteFile(filepath.Join(g.root, "secret"), []byte("outside"), 0o644))
	for name, target := range map[string]string{
		"relative": "real/../real/file", "absolute": "/workspace/real/file", "dir": "/workspace/real",
		"up": "../secret", "away": "/secret", "loop": "loop", "far": "real/../../secret",
	} {
		must(t, os.Symlink(target, filepath.Join(workspace, name)))
	}
	for _, name := range []string{"relative", "absolute", "dir/file"} {
		data, _, err := g.read(&agentv1.ReadFileRequest{Path: "/workspace/" + name, Beneath: "/workspace"})
		if err != nil || string(data) != "inside" {
			t.Errorf("%s: %q %v", name, data, err)
		}
	}
	for _, name := range []string{"up", "away", "loop", "far", "../secret"} {
		_, _, err := g.read(&agentv1.ReadFileRequest{Path: "/workspace/" + name, Beneath: "/workspace"})
		wantCode(t, err, connect.CodePermissionDenied)
		_, err = g.write("/workspace/"+name, "/workspace", 0, []byte("x"))
		wantCode(t, err, connect.CodePermissionDenied)
	}
	data, _, err := g.read(&agentv1.ReadFileRequest{Path: "/workspace/away"})
	if err != nil || string(data) != "outside" {
		t.Errorf("without a limit: %q %v", data, err)
	}
	_, err = g.write("/workspace/dir/file", "/workspace", 0, []byte("through"))
	must(t, err)
	if data, _ := os.ReadFile(filepath.Join(workspace, "real/file")); string(data) != "through" {
		t.Errorf("%q", data)
	}
}

func TestOnlyRegularFilesAreReadAndReplaced(t *testing.T) {
	g := start(t)
	_, _, err := g.read(&agentv1.ReadFileRequest{Path: "/workspace"})
	wantCode(t, err, connect.CodeFailedPrecondition)
	_, err = g.write("/workspace", "", 0, nil)
	wantCode(t, err, connect.CodeFailedPrecondition)
	_, _, err = g.read(&agentv1.ReadFileRequest{Path: "/workspace/none"})
	wantCode(t, err, connect.CodeNotFound)
	_, _, err = g.read(&agentv1.ReadFileRequest{Path: "workspace"})
	wantCode(t, err, connect.CodeInvalidArgument)
}

// leavingHost lets a client go while its channel stays open.
type leavingHost struct {
	net.Conn
	left  chan struct{}
	leave sync.Once
}

func (h *leavingHost) Close() error {
	h.leave.Do(func() { close(h.left) })
	return nil
}

func TestAWriteThatIsCutChangesNothing(t *testing.T) {
	g := start(t)
	path := filepath.Join(g.root, "workspace/file")
	must(t, os.WriteFile(path, []byte("old"), 0o644))
	conn, err := net.Dial("unix", g.socket)
	must(t, err)
	defer conn.Close()
	shaken, err := channeltest.Shake(conn)
	must(t, err)
	leaving := &leavingHost{Conn: shaken, left: make(chan struct{})}
	g.AgentClient, err = channeltest.Client(leaving)
	must(t, err)
	stream, err := g.WriteFile(g.context)
	must(t, err)
	must(t, stream.Send(&agentv1.WriteFileRequest{Path: "/workspace/file", Data: []byte("half")}))
	// The agent has answered, so it has taken the connection's earlier frames.
	_, err = g.Ping(g.context, &agentv1.PingRequest{})
	must(t, err)
	must(t, conn.SetDeadline(time.Unix(1, 0)))
	<-leaving.left
	must(t, conn.SetDeadline(time.Time{}))
	// Half a frame, then a new host on the same channel.
	frame := bytes.Buffer{}
	http2.NewFramer(&frame, nil).WriteData(3, false, make([]byte, 10_000))
	_, err = conn.Write(frame.Bytes()[:500])
	must(t, err)
	shaken, err = channeltest.Shake(conn)
	must(t, err)
	g.AgentClient, err = channeltest.Client(shaken)
	must(t, err)
	data, _, err := g.read(&agentv1.ReadFileRequest{Path: "/workspace/file"})
	if err != nil || string(data) != "old" {
		t.Fatalf("%q %v", data, err)
	}
}

func (g *guest) readTree(path string) ([]byte, error) {
	stream, err := g.ReadTree(g.context, &agentv1.ReadTreeRequest{Path: path})
	must(g.t, err)
	defer stream.Close()
	var archive []byte
	for stream.Receive() {
		archive = append(archive, stream.Msg().GetData()...)
	}
	return archive, stream.Err()
}

func (g *guest) writeTree(path string, archive []byte) (*agentv1.WriteTreeResponse, error) {
	stream, err := g.WriteTree(g.context)
	must(g.t, err)
	stream.Send(&agentv1.WriteTreeRequest{Path: path})
	for len(archive) > 0 {
		n := min(len(archive), 7777)
		if stream.Send(&agentv1.WriteTreeRequest{Data: archive[:n]}) != nil {
			break
		}
		archive = archive[n:]
	}
	return stream.CloseAndReceive()
}

func TestATreeGoesOutAndComesBackTheSame(t *testing.T) {
	g := start(t)
	g.run("sh", "-c", "mkdir -p a/b && echo one > a/b/f && ln a/b/f a/g && ln -s ../a l && chmod 4751 a/g")
	archive, err := g.readTree("/workspace")
	must(t, err)
	written, err := g.writeTree("/other/place", archive)
	must(t, err)
	again, err := g.readTree("/other/place")
	must(t, err)
	if !bytes.Equal(archive, again) || written.GetEntries() != 5 || written.GetBytes() != 4 {
		t.Fatal(len(archive), len(again), written)
	}
}

func TestATreeThatIsNoArchiveIsRefused(t *testing.T) {
	g := start(t)
	_, err := g.writeTree("/workspace", bytes.Repeat([]byte("garbage "), 200))
	wantCode(t, err, connect.CodeInvalidArgument)
	var archive bytes.Buffer
	out := tar.NewWriter(&archive)
	must(t, out.WriteHeader(&tar.Header{Name: "../x", Size: 1, Mode: 0o644}))
	io.WriteString(out, "x")
	must(t, out.Close())
	_, err = g.writeTree("/workspace", archive.Bytes())
	wantCode(t, err, connect.CodeInvalidArgument)
	if _, err := os.Stat(filepath.Join(g.root, "x")); !os.IsNotExist(err) {
		t.Fatal(err)
	}
}
