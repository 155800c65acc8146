package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// machine is a spec whose VMM is a shell script.
func machine(t *testing.T, script string) object {
	root := t.TempDir()
	return object{
		"id": "m", "directory": root + "/d", "sockets": root + "/s",
		"copies": []object{}, "locks": []object{}, "open": []object{},
		"listen":  []object{{"name": "control", "file": "c"}},
		"argv":    []string{"sh", "-c", script},
		"console": object{"name": "console", "bytes": 4096},
	}
}

const forever = "exec sleep 1000"

// boot starts a monitor and waits until its VMM runs.
func boot(t *testing.T, spec object) (h *host, vmm process) {
	t.Helper()
	h = start(t, "monitor")
	h.send(spec)
	h.want("listening")
	return h, follow(t, int(h.want("started")["pid"].(float64)))
}

func wantNothingLeft(t *testing.T, spec object) {
	t.Helper()
	wantGone(t, spec["directory"].(string), spec["sockets"].(string))
}

func TestTheOwnersEndEndsTheMachine(t *testing.T) {
	spec := machine(t, forever)
	h, vmm := boot(t, spec)
	if code := h.end(); code != 0 {
		t.Errorf("exit code %d: %s", code, h.stderr.String())
	}
	vmm.wantEnd()
	wantNothingLeft(t, spec)
}

func TestAnOwnerThatDiesAtOnceLeavesNothing(t *testing.T) {
	for range 20 {
		spec := machine(t, forever)
		h := start(t, "monitor")
		h.send(spec)
		h.end()
		wantNothingLeft(t, spec)
	}
}

func TestHalfASpecIsNotASpec(t *testing.T) {
	h := start(t, "monitor")
	fmt.Fprint(h.stdin, `{"id":"m","directory":"`)
	h.stdin.Close()
	h.wantError("no_spec")
}

func TestASignalEndsTheMachine(t *testing.T) {
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
		spec := machine(t, forever)
		h, vmm := boot(t, spec)
		h.cmd.Process.Signal(signal)
		vmm.wantEnd()
		if h.next() != nil || h.end() != 0 {
			t.Errorf("%v: exit code %d", signal, h.cmd.ProcessState.ExitCode())
		}
		wantNothingLeft(t, spec)
	}
}

func TestAKilledMonitorTakesTheVMMAlongAndReapRemovesTheRest(t *testing.T) {
	spec := machine(t, forever)
	h, vmm := boot(t, spec)

	directory, sockets := spec["directory"].(string), spec["sockets"].(string)
	alive := start(t, "reap", directory, sockets)
	if event := alive.next(); event != nil {
		t.Errorf("reaped a live machine: %v", event)
	}
	h.cmd.Process.Kill()
	vmm.wantEnd()
	h.end()
	dead := start(t, "reap", directory, sockets)
	for _, path := range []string{directory, sockets} {
		if event := dead.want("reaped"); event["path"] != path {
			t.Errorf("%v, want %s", event, path)
		}
	}
	dead.end()
	wantNothingLeft(t, spec)
}

func TestTheEndOfTheVMMIsToldWithItsConsole(t *testing.T) {
	spec := machine(t, `echo to-stdout; echo to-stderr >&2; printf 'to-console \377\n' >&{console}; exit 3`)
	h, _ := boot(t, spec)
	event := h.want("exited")
	if event["code"] != 3.0 || event["signal"] != nil {
		t.Errorf("%v", event)
	}
	for _, text := range []string{"to-stdout\n", "to-stderr\n", "to-console \uFFFD\n"} {
		if !strings.Contains(event["console"].(string), text) {
			t.Errorf("no %q in %q", text, event["console"])
		}
	}
	if h.end() != 0 {
		t.Error(h.stderr.String())
	}
	wantNothingLeft(t, spec)
}

func TestASignalThatKilledTheVMMIsNamed(t *testing.T) {
	h, _ := boot(t, machine(t, "kill -SEGV $$"))
	if event := h.want("exited"); event["code"] != nil || event["signal"] != "SIGSEGV" {
		t.Errorf("%v", event)
	}
}

func TestTheOwnerCanKill(t *testing.T) {
	spec := machine(t, forever)
	h, vmm := boot(t, spec)
	h.send(object{"command": "kill"})
	vmm.wantEnd()
	if event := h.want("exited"); event["signal"] != "SIGKILL" {
		t.Errorf("%v", event)
	}
	h.end()
	wantNothingLeft(t, spec)
}

func TestAnUnknownCommandEndsNothing(t *testing.T) {
	h, _ := boot(t, machine(t, forever))
	fmt.Fprintln(h.stdin, "nonsense")
	if event := h.want("error"); event["code"] != "invalid_command" {
		t.Errorf("%v", event)
	}
	h.send(object{"command": "console"})
	h.want("console")
}

func TestAFloodOfConsoleOutputIsDrainedAndBounded(t *testing.T) {
	flood := `yes floooood | head -c 60000000; yes floooood | head -c 60000000 >&{console}; echo the-end >&{console};`
	h, _ := boot(t, machine(t, flood+forever))
	for {
		h.send(object{"command": "console"})
		text := h.want("console")["console"].(string)
		if len(text) > 4096 {
			t.Fatalf("%d bytes of console", len(text))
		}
		if strings.HasSuffix(text, "the-end\n") {
			break
		}
	}
	if resident := residentKiB(t, h.cmd.Process.Pid); resident > 40<<10 {
		t.Errorf("%d KiB resident", resident)
	}
}

func residentKiB(t *testing.T, pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	size, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return size
}

func TestTheVMMGetsWhatItWasGivenAndNothingElse(t *testing.T) {
	spec := machine(t, `printf fds:; for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do [ ! -e /proc/$$/fd/$i ] || printf ' %s' $i; done; echo; cat <&{disk}; echo {directory}; pwd; env; cut -d' ' -f6 /proc/$$/stat; echo pid $$; readlink /proc/$$/fd/0`)
	source := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(source, []byte("content\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	spec["copies"] = []object{{"from": source, "to": "disk.img"}}
	spec["open"] = []object{{"name": "disk", "path": "disk.img", "write": true}}
	spec["env"] = []string{"EXTRA=1"}
	h, _ := boot(t, spec)
	text := h.want("exited")["console"].(string)
	directory := spec["directory"].(string)
	for _, want := range []string{"fds: 0 1 2 3 4 5\n", "content\n", directory + "\n" + directory + "\n", "EXTRA=1\n", "/dev/null\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
	if strings.Contains(text, "hunter2") {
		t.Error("the VMM sees our environment")
	}
	_, rest, _ := strings.Cut(text, "pid ")
	if pid := strings.Fields(rest)[0]; !strings.Contains(text, pid+"\npid") {
		t.Errorf("no session of its own: %q", text)
	}
}

func TestWhatTheVMMStartedEndsWithIt(t *testing.T) {
	h, vmm := boot(t, machine(t, "setsid sleep 1000 & echo child $! end; "+forever))
	child := 0
	for child == 0 {
		h.send(object{"command": "console"})
		fmt.Sscanf(h.want("console")["console"].(string), "child %d end", &child)
	}
	orphan := follow(t, child)
	h.end()
	vmm.wantEnd()
	orphan.wantEnd()
}

func TestSocketsListenBeforeTheVMMRuns(t *testing.T) {
	spec := machine(t, forever)
	h := start(t, "monitor")
	h.send(spec)
	h.want("listening")
	connection, err := net.Dial("unix", spec["sockets"].(string)+"/c")
	if err != nil {
		t.Fatal(err)
	}
	connection.Close()
	for _, path := range []string{spec["sockets"].(string), spec["directory"].(string)} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v %v", path, info, err)
		}
	}
}

func TestLocksAreHeldForTheMachinesLife(t *testing.T) {
	template := filepath.Join(t.TempDir(), "template.lock")
	spec, other := machine(t, forever), machine(t, forever)
	shared := []object{{"path": template, "exclusive": false}}
	spec["locks"], other["locks"] = shared, shared
	first, _ := boot(t, spec)
	second, _ := boot(t, other)
	waiter := start(t, "lock", template, "--wait-notice")
	waiter.want("waiting")
	first.end()
	second.end()
	waiter.want("locked")
}

func TestAnInheritedLockIsTheVMMsToo(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk.lock")
	spec := machine(t, forever)
	spec["locks"] = []object{{"path": disk, "exclusive": true, "inherit": true}}
	h, vmm := boot(t, spec)
	h.cmd.Process.Kill()
	waiter := start(t, "lock", disk)
	waiter.want("locked")
	vmm.wantEnd()
}
