package service_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	agentv1 "pyro/native/gen/pyro/agent/v1"
)

func TestExitCodesAndSignalsAreToldAsShellsTellThem(t *testing.T) {
	g := start(t)
	os.WriteFile(filepath.Join(g.root, "workspace", "plain"), []byte("text"), 0o644)
	for _, test := range []struct {
		argv         []string
		code, signal int32
		stderr       string
	}{
		{[]string{"true"}, 0, 0, ""},
		{[]string{"sh", "-c", "exit 7"}, 7, 0, ""},
		{[]string{"sh", "-c", "kill -TERM $$"}, 143, 15, ""},
		{[]string{"no-such-command"}, 127, 0, "pyro: no-such-command: not found\n"},
		{[]string{"/no/such"}, 127, 0, "pyro: /no/such: not found\n"},
		{[]string{"./plain"}, 126, 0, "pyro: ./plain: permission denied\n"},
	} {
		o := g.run(test.argv...)
		if o.exit.GetCode() != test.code || o.exit.GetSignal() != test.signal || o.stderr.String() != test.stderr || !o.started {
			t.Errorf("%q: %v %q", test.argv, o.exit, o.stderr.String())
		}
	}
}

func TestOutputIsAnyBytesOnTwoStreams(t *testing.T) {
	g := start(t)
	o := g.run("sh", "-c", `printf '\377\000x'; printf '\376' >&2; pwd; echo "$#"`)
	if want := "\xff\x00x" + g.root + "/workspace\n0\n"; o.stdout.String() != want || o.stderr.String() != "\xfe" {
		t.Fatalf("%q %q", o.stdout.String(), o.stderr.String())
	}
}

func TestAnIdRunsAtMostOnce(t *testing.T) {
	g := start(t)
	request := g.request("true")
	must(t, collect(g.exec(request)).err)
	wantCode(t, collect(g.exec(request)).err, connect.CodeAlreadyExists)
	request.ExecId = "no spaces"
	wantCode(t, collect(g.exec(request)).err, connect.CodeInvalidArgument)
}

func TestAWorkingDirectoryIsMadeOnlyBelowTheWorkspace(t *testing.T) {
	g := start(t)
	request := g.request("pwd")
	request.Cwd = "/workspace/a/b"
	if o := collect(g.exec(request)); o.stdout.String() != g.root+"/workspace/a/b\n" {
		t.Fatal(o.stdout.String(), o.err)
	}
	request = g.request("pwd")
	request.Cwd = "/elsewhere"
	wantCode(t, collect(g.exec(request)).err, connect.CodeNotFound)
	request.Cwd = "/workspace"
	must(t, collect(g.exec(request)).err)
}

// gone waits until a process, whose pid a command printed, does not live.
func gone(t *testing.T, text string) {
	t.Helper()
	var pid int
	fmt.Sscan(text, &pid)
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH && pid > 0 {
		return
	}
	must(t, err)
	defer unix.Close(fd)
	events := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(events, 5000); n != 1 {
		t.Fatal("process ", pid, " lives: ", err)
	}
}

func TestATimeoutIsAResultAndEndsGrandchildren(t *testing.T) {
	g := start(t)
	request := g.request("sh", "-c", "setsid sh -c 'echo $$; exec sleep 1000' & wait")
	request.TimeoutMs = 300
	o := collect(g.exec(request))
	must(t, o.err)
	if !o.exit.GetTimedOut() || o.exit.GetCode() != 124 || o.stdout.Len() == 0 {
		t.Fatal(o.exit, o.stdout.String())
	}
	gone(t, o.stdout.String())
}

func TestABackgroundChildThatHoldsStdoutDoesNotBlock(t *testing.T) {
	g := start(t)
	o := g.run("sh", "-c", "sleep 1000 & echo $!")
	if o.exit.GetCode() != 0 || time.Duration(o.exit.GetDurationUs())*time.Microsecond > 100*time.Second {
		t.Fatal(o.exit)
	}
	gone(t, o.stdout.String())
}

func TestWhatIsInThePipesIsDeliveredBeforeTheExit(t *testing.T) {
	g := start(t)
	// Nobody outside of a pipe's holder can tell when it is read: the child keeps it open.
	o := g.run("sh", "-c", "sleep 1000 & head -c 60000 /dev/zero")
	if o.stdout.Len() != 60000 {
		t.Fatal(o.stdout.Len())
	}
}

func TestLongOutputArrivesWholeWithFlatMemory(t *testing.T) {
	g := start(t)
	const size = 300_000_000
	stream := g.exec(g.request("head", "-c", fmt.Sprint(size), "/dev/zero"))
	defer stream.Close()
	var total, peak uint64
	var stats runtime.MemStats
	// Garbage is not what is measured here.
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	runtime.GC()
	runtime.ReadMemStats(&stats)
	before := stats.HeapInuse
	for count := 0; stream.Receive(); count++ {
		if out := stream.Msg().GetOutput(); out != nil {
			if out.GetOffset() != total {
				t.Fatal("offset ", out.GetOffset(), " at ", total)
			}
			total += uint64(len(out.GetData()))
		}
		if count%500 == 0 {
			runtime.ReadMemStats(&stats)
			peak = max(peak, stats.HeapInuse)
		}
	}
	must(t, stream.Err())
	if total != size || peak > before+32<<20 {
		t.Fatalf("%d bytes, %d MiB of memory beside %d", total, peak>>20, before>>20)
	}
}

func TestFollowTakesUpACutStream(t *testing.T) {
	g := start(t)
	request := g.request("sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; exit 5")
	ctx, cut := context.WithCancel(g.context)
	stream, err := g.Exec(ctx, request)
	must(t, err)
	first := &output{}
	for first.stdout.Len() < 100_000 && stream.Receive() {
		first.take(stream.Msg())
	}
	cut()
	g.conn.Close()
	g.connect()
	rest, err := g.Follow(g.context, &agentv1.FollowRequest{ExecId: request.GetExecId(), StdoutOffset: uint64(first.stdout.Len())})
	must(t, err)
	o := collect(rest)
	must(t, o.err)
	all := append(first.stdout.Bytes(), o.stdout.Bytes()...)
	if len(all) != 3_000_000 || len(bytes.Trim(all, "x")) > 0 || o.exit.GetCode() != 5 {
		t.Fatal(len(all), o.exit)
	}
	again, err := g.Follow(g.context, &agentv1.FollowRequest{ExecId: request.GetExecId()})
	must(t, err)
	wantCode(t, collect(again).err, connect.CodeOutOfRange)
	oldest, err := g.Follow(g.context, &agentv1.FollowRequest{ExecId: request.GetExecId(), Lossy: true})
	must(t, err)
	if !oldest.Receive() || oldest.Msg().GetOutput().GetOffset() == 0 {
		t.Fatal(oldest.Msg(), oldest.Err())
	}
	missing := int(oldest.Msg().GetOutput().GetOffset())
	held := len(oldest.Msg().GetOutput().GetData())
	if o := collect(oldest); o.err != nil || missing+held+o.stdout.Len() != 3_000_000 || o.exit.GetCode() != 5 {
		t.Fatal(missing, held, o.stdout.Len(), o.exit, o.err)
	}
	unknown, err := g.Follow(g.context, &agentv1.FollowRequest{ExecId: "unknown"})
	must(t, err)
	wantCode(t, collect(unknown).err, connect.CodeNotFound)
}

func TestStdinReachesTheCommandAndEnds(t *testing.T) {
	g := start(t)
	request := g.request("wc", "-c")
	request.Stdin = true
	stream := g.exec(request)
	if !stream.Receive() {
		t.Fatal(stream.Err())
	}
	feed, err := g.Stdin(g.context)
	must(t, err)
	must(t, feed.Send(&agentv1.StdinRequest{ExecId: request.GetExecId()}))
	for range 40 {
		must(t, feed.Send(&agentv1.StdinRequest{Data: make([]byte, 50_000)}))
	}
	response, err := feed.CloseAndReceive()
	must(t, err)
	if o := collect(stream); strings.TrimSpace(o.stdout.String()) != "2000000" || response.GetAcceptedBytes() != 2_000_000 {
		t.Fatal(o.stdout.String(), response)
	}
}

func TestStdinOfACommandThatHasEndedIsNotAccepted(t *testing.T) {
	g := start(t)
	request := g.request("head", "-c", "3")
	request.Stdin = true
	stream := g.exec(request)
	if !stream.Receive() {
		t.Fatal(stream.Err())
	}
	feed, err := g.Stdin(g.context)
	must(t, err)
	must(t, feed.Send(&agentv1.StdinRequest{ExecId: request.GetExecId(), Data: []byte("abcdef")}))
	if o := collect(stream); o.stdout.String() != "abc" || o.exit.GetCode() != 0 {
		t.Fatal(o.stdout.String(), o.exit)
	}
	for err == nil {
		err = feed.Send(&agentv1.StdinRequest{Data: make([]byte, 1000)})
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	response, err := feed.CloseAndReceive()
	must(t, err)
	if response.GetAcceptedBytes() != 6 {
		t.Fatal(response)
	}
}

func TestASignalReachesTheProcess(t *testing.T) {
	g := start(t)
	for _, all := range []bool{false, true} {
		request := g.request("sh", "-c", "trap 'exit 42' USR1; echo ready; while :; do sleep 0.05; done")
		stream := g.exec(request)
		o := &output{}
		for o.stdout.Len() == 0 && stream.Receive() {
			o.take(stream.Msg())
		}
		_, err := g.Signal(g.context, &agentv1.SignalRequest{ExecId: request.GetExecId(), Signal: int32(unix.SIGUSR1), All: all})
		must(t, err)
		if o := collect(stream); o.exit.GetCode() != 42 {
			t.Fatal(o.exit)
		}
		_, err = g.Signal(g.context, &agentv1.SignalRequest{ExecId: request.GetExecId(), Signal: 15})
		wantCode(t, err, connect.CodeNotFound)
	}
}

func TestStalledStreamsHoldNothingElse(t *testing.T) {
	g := start(t)
	for range 60 {
		if stream := g.exec(g.request("head", "-c", "100000000", "/dev/zero")); !stream.Receive() {
			t.Fatal(stream.Err())
		}
		upload, err := g.WriteFile(g.context)
		must(t, err)
		must(t, upload.Send(&agentv1.WriteFileRequest{Path: fmt.Sprint("/workspace/", g.lastID), Data: make([]byte, 100_000)}))
	}
	ctx, cancel := context.WithTimeout(g.context, 5*time.Second)
	defer cancel()
	_, err := g.Ping(ctx, &agentv1.PingRequest{})
	must(t, err)
	if o := g.run("echo", "there"); o.stdout.String() != "there\n" {
		t.Fatal(o.stdout.String())
	}
}
