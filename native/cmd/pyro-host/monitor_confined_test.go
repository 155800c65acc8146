package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pyro/native/internal/confine"
)

// confined is a spec whose VMM is a confined probe.
func confined(t *testing.T, q confine.Questions, spec object) object {
	t.Helper()
	questions, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	m := machine(t, "")
	m["argv"] = []string{os.Args[0], "probe", string(questions)}
	m["env"] = []string{asProgram + "=1"}
	m["confine"] = spec
	return m
}

func TestAConfinedVMMIsAMachineLikeAnyOther(t *testing.T) {
	spec := confined(t, confine.Questions{Stay: true}, object{})
	h, vmm := boot(t, spec)
	h.send(object{"command": "kill"})
	vmm.wantEnd()
	if event := h.want("exited"); event["signal"] != "SIGKILL" {
		t.Errorf("%v", event)
	}
	h.end()
	wantNothingLeft(t, spec)
}

func TestAConfinedVMMGetsItsDescriptorsAndItsOutputIsKept(t *testing.T) {
	spec := machine(t, `echo fds $(echo /dev/fd); read line <&{disk}; echo "$line"; echo to-console >&{console}; pwd; exit 3`)
	source := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(source, []byte("content\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec["open"] = []object{{"name": "disk", "path": source, "write": true}}
	// A shell is no VMM: what it starts is no part of what it needs.
	spec["confine"] = object{"read": []string{"/bin", "/usr/bin"}}
	h, _ := boot(t, spec)
	event := h.want("exited")
	for _, want := range []string{"content\n", "to-console\n", spec["directory"].(string) + "\n"} {
		if !strings.Contains(event["console"].(string), want) {
			t.Errorf("no %q in %q", want, event["console"])
		}
	}
	if event["code"] != 3.0 {
		t.Errorf("%v", event)
	}
	h.end()
	wantNothingLeft(t, spec)
}

func TestAConfinedVMMThatCannotRunIsNamed(t *testing.T) {
	spec := machine(t, forever)
	spec["argv"] = []string{"/etc/passwd"}
	spec["confine"] = object{}
	h := start(t, "monitor")
	h.send(spec)
	h.wantError("no_vmm")
	wantNothingLeft(t, spec)
}

func TestAMonitorKilledAtAnyMomentLeavesNoVMM(t *testing.T) {
	for i := range 40 {
		spec := confined(t, confine.Questions{Stay: true}, object{})
		h := start(t, "monitor")
		h.send(spec)
		h.want("listening")
		// Over the time that the stage takes, from its birth to the VMM.
		time.Sleep(time.Duration(i) * 250 * time.Microsecond)
		h.cmd.Process.Kill()
		h.cmd.Wait()
		wantNone(t, spec["directory"].(string))
	}
}

// wantNone waits until no process is left that runs in a directory or is the stage before one that would.
func wantNone(t *testing.T, directory string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		left := ""
		processes, _ := filepath.Glob("/proc/[0-9]*")
		for _, process := range processes {
			program, _ := os.Readlink(process + "/exe")
			state, _ := os.ReadFile(process + "/stat")
			if program == os.Args[0] && !strings.HasSuffix(process, fmt.Sprint("/", os.Getpid())) && !strings.Contains(string(state), ") Z ") {
				left = process
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is left of the machine in %s", left, directory)
		}
		unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
	}
}
