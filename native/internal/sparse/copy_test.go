package sparse

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestACopyKeepsHolesAndContent(t *testing.T) {
	directory := t.TempDir()
	from, to := filepath.Join(directory, "from"), filepath.Join(directory, "to")
	const size = 3 << 30
	content := bytes.Repeat([]byte("0123456789abcdef"), 8192)
	offsets := []int64{0, 64 << 20, size/2 + 4096, size - int64(len(content))}
	source, err := os.Create(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, offset := range offsets {
		if _, err := source.WriteAt(content, offset); err != nil {
			t.Fatal(err)
		}
	}
	source.Close()

	if err := Copy(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	target, err := os.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	info, err := target.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() != size {
		t.Errorf("%d bytes, want %d", info.Size(), int64(size))
	}
	if used := info.Sys().(*syscall.Stat_t).Blocks * 512; used > 4*int64(len(content)) {
		t.Errorf("%d bytes on the disk", used)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	read := make([]byte, len(content))
	for _, offset := range offsets {
		if _, err := target.ReadAt(read, offset); err != nil || !bytes.Equal(read, content) {
			t.Errorf("other content at %d (%v)", offset, err)
		}
	}
}

func TestACopyEndsInAHoleOrIsEmpty(t *testing.T) {
	directory := t.TempDir()
	for _, size := range []int64{0, 1 << 20} {
		from, to := filepath.Join(directory, "from"), filepath.Join(directory, "to")
		if err := os.WriteFile(from, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(from, size); err != nil {
			t.Fatal(err)
		}
		if err := Copy(t.Context(), from, to); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(to); err != nil || info.Size() != size {
			t.Errorf("%v %v", info, err)
		}
		os.Remove(to)
	}
}

func TestACopyThatWasCalledOffLeavesNothing(t *testing.T) {
	directory := t.TempDir()
	from, to := filepath.Join(directory, "from"), filepath.Join(directory, "to")
	if err := os.WriteFile(from, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := Copy(ctx, from, to)
	if err == nil {
		t.Skip("this file system has reflinks: nothing was left to call off")
	}
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := os.Stat(to); !os.IsNotExist(err) {
		t.Error("the target is still there")
	}
}

func TestACopyNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Copy(t.Context(), path, path); !errors.Is(err, os.ErrExist) {
		t.Error(err)
	}
	if content, _ := os.ReadFile(path); string(content) != "kept" {
		t.Errorf("%q", content)
	}
}
