package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFailuresBeforeTheStart(t *testing.T) {
	held := filepath.Join(t.TempDir(), "held")
	holder := start(t, "lock", held)
	holder.want("locked")
	for _, c := range []struct {
		code   string
		change func(object)
	}{
		{"no_vmm", func(s object) { s["argv"] = []string{"/nonexistent/vmm"} }},
		{"no_vmm", func(s object) { s["argv"] = []string{"/etc/passwd"} }},
		{"socket_path_too_long", func(s object) { s["listen"] = []object{{"name": "c", "file": strings.Repeat("x", 108)}} }},
		{"gone", func(s object) { s["locks"] = []object{{"path": "/nonexistent/lock", "exclusive": false}} }},
		{"locked", func(s object) { s["locks"] = []object{{"path": held, "exclusive": false}} }},
		{"not_found", func(s object) { s["copies"] = []object{{"from": "/nonexistent", "to": "x"}} }},
		{"not_found", func(s object) { s["open"] = []object{{"name": "x", "path": "nonexistent"}} }},
		{"invalid_spec", func(s object) { s["copies"] = []object{{"from": "/etc/passwd", "to": "../x"}} }},
		{"invalid_spec", func(s object) { s["unknown"] = 1 }},
		{"invalid_spec", func(s object) { s["open"] = []object{{"name": "control", "path": "/etc/passwd"}} }},
		{"invalid_spec", func(s object) { s["argv"] = []string{} }},
	} {
		spec := machine(t, forever)
		c.change(spec)
		h := start(t, "monitor")
		h.send(spec)
		for {
			event := h.next()
			if event == nil {
				t.Errorf("%s: no error", c.code)
				break
			}
			if event["event"] == "error" {
				if event["code"] != c.code {
					t.Errorf("%v, want %s", event, c.code)
				}
				break
			}
		}
		if h.end() != 1 {
			t.Errorf("%s: exit code %d", c.code, h.cmd.ProcessState.ExitCode())
		}
		wantNothingLeft(t, spec)
	}
}

func TestADirectoryThatIsThereIsSomebodyElses(t *testing.T) {
	spec := machine(t, forever)
	if err := os.Mkdir(spec["sockets"].(string), 0o700); err != nil {
		t.Fatal(err)
	}
	h := start(t, "monitor")
	h.send(spec)
	h.wantError("exists")
	wantGone(t, spec["directory"].(string))
	if _, err := os.Stat(spec["sockets"].(string)); err != nil {
		t.Error(err)
	}
}

func TestAFullDiskIsNamed(t *testing.T) {
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	defer unix.Unmount(small, unix.MNT_DETACH)
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := machine(t, forever)
	spec["directory"] = small + "/d"
	spec["copies"] = []object{{"from": big, "to": "big"}}
	h := start(t, "monitor")
	h.send(spec)
	h.wantError("no_space")
	wantNothingLeft(t, spec)
}
