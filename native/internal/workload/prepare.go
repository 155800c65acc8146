package workload

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"pyro/native/internal/mounts"
	"pyro/native/internal/process"
)

// Prepare readies the machine to be suspended as a template.
func (m *Machine) Prepare(ctx context.Context, environment, disk string, warmUp [][]string) error {
	if err := os.MkdirAll(emptyDir, 0o755); err != nil {
		return err
	}
	lower := mounts.Mount{Source: environment, Target: environmentDir, Type: "squashfs", Flags: unix.MS_RDONLY | unix.MS_NODEV}
	if err := lower.Do(); err != nil {
		return err
	}
	if err := layOut(disk); err != nil {
		return err
	}
	if err := m.startNamespaces(); err != nil {
		return err
	}
	if len(warmUp) == 0 {
		warmUp = [][]string{{"true"}}
	}
	table := process.NewTable()
	for i, argv := range warmUp {
		if err := m.warm(ctx, table, fmt.Sprintf("warm-up-%d", i), argv); err != nil {
			return err
		}
	}
	blank, err := keepBlank(disk)
	if err != nil {
		return err
	}
	m.blank = blank
	if err := forgetDrives(environment); err != nil {
		return err
	}
	// Freed memory that stays mapped is cheaper to use in a fork than new memory.
	runtime.GC()
	return nil
}

// warm runs a command once. What it said is the reason when it fails.
func (m *Machine) warm(ctx context.Context, table *process.Table, id string, argv []string) error {
	e, err := table.Start(m, process.Spec{ID: id, Argv: argv, Dir: "/", Env: []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8",
	}})
	if err != nil {
		return fmt.Errorf("warm-up %q: %w", argv, err)
	}
	var said []byte
	exit, err := e.Follow(ctx, process.From{}, func(_ int, _ uint64, data []byte) error {
		said = append(said, data...)
		said = said[max(0, len(said)-2000):]
		return nil
	})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("exit code %d: %s", exit.Code, said)
	}
	if err != nil {
		return fmt.Errorf("warm-up %q: %w", argv, err)
	}
	return nil
}

// forgetDrives drops what is cached of every drive but the environment's, as
// the partition scan has read them all: a fork has others in their place.
func forgetDrives(environment string) error {
	drives, err := filepath.Glob("/sys/block/vd*")
	if err != nil {
		return err
	}
	for _, drive := range drives {
		device := "/dev/" + filepath.Base(drive)
		if device == environment {
			continue
		}
		if err := mounts.ForgetBlocks(device); err != nil {
			return err
		}
	}
	return nil
}
