package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// long is a lease that no test waits for.
const long = 1000.0

// detached is a spec of a machine that outlives its owner.
func detached(t *testing.T, script string, leaseSeconds float64) object {
	spec := machine(t, script)
	spec["detached"] = object{"lease_seconds": leaseSeconds}
	return spec
}

// client is a connection to a monitor's socket.
type client struct {
	t      *testing.T
	conn   net.Conn
	events *bufio.Reader
}

func dial(t *testing.T, spec object) *client {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(spec["sockets"].(string), "monitor"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	return &client{t, conn, bufio.NewReader(conn)}
}

func (c *client) send(v any) {
	c.t.Helper()
	if err := json.NewEncoder(c.conn).Encode(v); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) want(name string) object {
	c.t.Helper()
	for {
		line, err := c.events.ReadBytes('\n')
		if err != nil {
			c.t.Fatalf("%v instead of %q", err, name)
		}
		var event object
		if err := json.Unmarshal(line, &event); err != nil {
			c.t.Fatalf("%q: %v", line, err)
		}
		if event["event"] == name {
			return event
		}
		if event["event"] == "error" {
			c.t.Fatalf("error instead of %q: %v", name, event)
		}
	}
}

// wantEnd waits until the monitor has closed the connection.
func (c *client) wantEnd() {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.events); err != nil {
		c.t.Errorf("the monitor still lives: %v", err)
	}
}

func TestADetachedMachineOutlivesItsOwnerAndIsFoundAgain(t *testing.T) {
	spec := detached(t, `echo said; `+forever, long)
	h, vmm := boot(t, spec)
	h.cmd.Stdout = nil
	h.stdin.Close()
	for range 3 {
		c := dial(t, spec)
		event := c.want("started")
		if event["pid"] == 0.0 || event["descriptors"].(map[string]any)["control"] != 3.0 {
			t.Errorf("%v", event)
		}
		// The VMM may not have come to say anything yet.
		for said := any(""); said != "said\n"; {
			c.send(object{"command": "console"})
			said = c.want("console")["console"]
		}
		c.conn.Close()
	}
	c := dial(t, spec)
	c.send(object{"command": "kill"})
	if event := c.want("exited"); event["signal"] != "SIGKILL" || event["console"] != "said\n" {
		t.Errorf("%v", event)
	}
	c.wantEnd()
	vmm.wantEnd()
	wantNothingLeft(t, spec)
	if h.end() != 0 {
		t.Error(h.stderr.String())
	}
}

func TestAnOwnerThatIsKilledRightAfterTheSpecLeavesADetachedMachine(t *testing.T) {
	spec := detached(t, forever, long)
	h := start(t, "monitor")
	h.send(spec)
	h.stdin.Close()
	h.want("listening")
	c := dial(t, spec)
	c.want("started")
	c.send(object{"command": "kill"})
	c.wantEnd()
	wantNothingLeft(t, spec)
}

func TestEveryClientIsToldTheEndAndGoesOnTakingCommandsUntilThen(t *testing.T) {
	spec := detached(t, `read line <{directory}/fifo; exit 3`, long)
	spec["argv"] = []string{"sh", "-c", `mkfifo fifo; echo ready; read line <fifo; exit 3`}
	h, _ := boot(t, spec)
	first, second := dial(t, spec), dial(t, spec)
	for _, c := range []*client{first, second} {
		c.want("started")
		for !strings.Contains(consoleOf(c), "ready") {
		}
	}
	first.send(object{"command": "nonsense"})
	if _, err := first.events.ReadBytes('\n'); err != nil {
		t.Fatal(err)
	}
	fifo, err := os.OpenFile(filepath.Join(spec["directory"].(string), "fifo"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fifo.Close()
	for _, c := range []*client{first, second} {
		if event := c.want("exited"); event["code"] != 3.0 {
			t.Errorf("%v", event)
		}
		c.wantEnd()
	}
	wantNothingLeft(t, spec)
	h.want("exited")
}

func consoleOf(c *client) string {
	c.send(object{"command": "console"})
	return c.want("console")["console"].(string)
}

func TestALeaseThatIsOverEndsTheMachine(t *testing.T) {
	spec := detached(t, forever, 0.2)
	h, vmm := boot(t, spec)
	vmm.wantEnd()
	h.end()
	wantNothingLeft(t, spec)
}

func TestAConnectionHoldsTheLeaseAndItsEndStartsItAnew(t *testing.T) {
	spec := detached(t, forever, 0.3)
	h, vmm := boot(t, spec)
	c := dial(t, spec)
	c.want("started")
	c.conn.SetReadDeadline(time.Now().Add(time.Second))
	if _, err := c.events.ReadByte(); !os.IsTimeout(err) {
		t.Fatalf("%v instead of silence", err)
	}
	c.conn.Close()
	vmm.wantEnd()
	h.end()
	wantNothingLeft(t, spec)
}

func TestAClientThatFloodsAndNeverReadsHoldsUpNobody(t *testing.T) {
	spec := detached(t, `yes floooood | head -c 100000; echo; echo the-end; `+forever, long)
	h, vmm := boot(t, spec)
	other := dial(t, spec)
	for !strings.HasSuffix(consoleOf(other), "the-end\n") {
	}
	flooder := dial(t, spec)
	flood := []byte(strings.Repeat("{\"command\":\"console\"}\n", 1000))
	flooder.conn.SetWriteDeadline(time.Now().Add(time.Second))
	for {
		if _, err := flooder.conn.Write(flood); err != nil {
			break // full: the monitor holds it
		}
	}
	for range 100 { // more than may be connected at once
		conn, err := net.Dial("unix", filepath.Join(spec["sockets"].(string), "monitor"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	consoleOf(other)
	if resident := residentKiB(t, h.cmd.Process.Pid); resident > 40<<10 {
		t.Errorf("%d KiB resident", resident)
	}
	other.send(object{"command": "kill"})
	other.want("exited")
	other.wantEnd()
	vmm.wantEnd()
	wantNothingLeft(t, spec)
}

func TestAKilledMonitorOfADetachedMachineTakesTheVMMAlong(t *testing.T) {
	spec := detached(t, forever, long)
	h, vmm := boot(t, spec)
	c := dial(t, spec)
	c.want("started")
	h.cmd.Process.Kill()
	vmm.wantEnd()
	c.wantEnd()
	if _, err := net.Dial("unix", filepath.Join(spec["sockets"].(string), "monitor")); err == nil {
		t.Error("somebody answers")
	}
}

func TestACopyToAnAbsolutePathStaysUnlessTheStartFails(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	if err := os.WriteFile(from, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := machine(t, forever)
	spec["copies"] = []object{{"from": from, "to": to}}
	failing := machine(t, forever)
	failing["copies"], failing["open"] = spec["copies"], []object{{"name": "x", "path": "nonexistent"}}
	h := start(t, "monitor")
	h.send(failing)
	h.wantError("not_found")
	wantGone(t, to)
	wantNothingLeft(t, failing)

	h, _ = boot(t, spec)
	h.end()
	wantNothingLeft(t, spec)
	if content, err := os.ReadFile(to); string(content) != "content" {
		t.Errorf("%q, %v", content, err)
	}
	again := machine(t, forever)
	again["copies"] = spec["copies"]
	h = start(t, "monitor")
	h.send(again)
	h.wantError("exists")
	if _, err := os.Stat(to); err != nil {
		t.Error(err)
	}
}

func TestWhatADetachedMachineNeedsIsChecked(t *testing.T) {
	for code, change := range map[string]func(object){
		"invalid_spec":         func(s object) { s["detached"] = object{"lease_seconds": 0} },
		"invalid_spec ":        func(s object) { s["sockets"], s["listen"] = "", []object{} },
		"invalid_spec  ":       func(s object) { s["listen"] = []object{{"name": "c", "file": "monitor"}} },
		"socket_path_too_long": func(s object) { s["sockets"] = s["sockets"].(string) + strings.Repeat("x", 80) },
	} {
		spec := detached(t, forever, long)
		change(spec)
		h := start(t, "monitor")
		h.send(spec)
		h.wantError(strings.TrimSpace(code))
		wantGone(t, spec["directory"].(string))
	}
}
