package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestALockIsExclusiveAndEndsWithItsHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "lock")
	first := start(t, "lock", path)
	first.want("locked")
	second := start(t, "lock", "--wait-notice", path)
	second.want("waiting")
	first.cmd.Process.Kill()
	second.want("locked")
	if second.end() != 0 {
		t.Error(second.stderr.String())
	}
}

func TestAWaitForALockEndsWithItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	start(t, "lock", path).want("locked")
	waiter := start(t, "lock", path, "--wait-notice")
	waiter.want("waiting")
	if waiter.end() != 0 {
		t.Error(waiter.stderr.String())
	}
}

func TestReapTakesWhatNobodyOwns(t *testing.T) {
	root := t.TempDir()
	age := time.Now().Add(-time.Hour)
	for _, name := range []string{"free", "held", "young", "old", ".reaped-left-over"} {
		if err := os.MkdirAll(filepath.Join(root, name, "deep"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"free/lock", "held/lock", "a-file"} {
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(root, "old"), age, age); err != nil {
		t.Fatal(err)
	}
	start(t, "lock", root+"/held/lock").want("locked")
	h := start(t, "reap", root, root+"/nonexistent")
	for _, name := range []string{"free", "old"} {
		if event := h.want("reaped"); event["path"] != filepath.Join(root, name) {
			t.Errorf("%v, want %s", event, name)
		}
	}
	if h.end() != 0 {
		t.Error(h.stderr.String())
	}
	wantGone(t, root+"/free", root+"/old", root+"/.reaped-left-over")
	for _, name := range []string{"held", "young", "a-file"} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestTheTSCsFrequencyIsSteady(t *testing.T) {
	first := start(t, "tsc").want("tsc")["khz"].(float64)
	second := start(t, "tsc").want("tsc")["khz"].(float64)
	if ratio := first / second; ratio < 0.999 || ratio > 1.001 || first < 100_000 {
		t.Errorf("%v and %v kHz", first, second)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{{}, {"nonsense"}, {"lock"}, {"lock", "--nonsense", "x"}, {"reap"}} {
		start(t, args...).wantError("usage")
	}
}
