package mounts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// unfinished begins the names of what is being made or removed.
const unfinished = "."

// Checkpoint flushes the disk and, when a subvolume changed since the last
// checkpoint, keeps both as read-only snapshots in checkpoints/<sequence>. Each is
// what its subvolume held at one moment; the moments are a commit apart. All but
// the newest keep checkpoints are dropped, with keep 0 none. Last is the newest there is.
func (d Disk) Checkpoint(sequence uint64, keep int) (taken bool, last uint64, err error) {
	if err := d.Sync(); err != nil {
		return false, 0, err
	}
	kept, left, err := d.list()
	if err != nil {
		return false, 0, err
	}
	if len(kept) > 0 {
		last = kept[len(kept)-1]
		changed, err := d.changedSince(last)
		if err == nil && !changed {
			err = d.trim(kept, keep)
		}
		if err != nil || !changed {
			return false, last, err
		}
	}
	if sequence <= last {
		return false, last, fmt.Errorf("checkpoint %d: the last one is %d: %w", sequence, last, fs.ErrExist)
	}
	for _, name := range left {
		if err := d.remove(name); err != nil {
			return false, last, err
		}
	}
	if err := d.take(sequence); err != nil {
		return false, last, err
	}
	return true, sequence, d.trim(append(kept, sequence), keep)
}

func (d Disk) checkpoints() string { return filepath.Join(d.dir, "checkpoints") }

func (d Disk) checkpoint(sequence uint64) string {
	return filepath.Join(d.checkpoints(), strconv.FormatUint(sequence, 10))
}

// list returns the sequences of all checkpoints, ascending, and the names of
// what a machine that ended in between has left.
func (d Disk) list() (kept []uint64, left []string, err error) {
	dir, err := os.Open(d.checkpoints())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, os.Mkdir(d.checkpoints(), 0o700)
	}
	if err != nil {
		return nil, nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	for _, name := range names {
		if sequence, err := strconv.ParseUint(name, 10, 64); err == nil {
			kept = append(kept, sequence)
		} else if name[:1] == unfinished {
			left = append(left, name)
		}
	}
	slices.Sort(kept)
	return kept, left, err
}

// changedSince compares generations: a snapshot's source is of the generation
// in which the snapshot was made until something changes it.
func (d Disk) changedSince(sequence uint64) (bool, error) {
	for _, volume := range []string{RootVolume, WorkspaceVolume} {
		then, err := stateOf(filepath.Join(d.checkpoint(sequence), volume))
		if err != nil {
			return false, err
		}
		now, err := stateOf(filepath.Join(d.dir, volume))
		if err != nil || now.generation > then.made {
			return true, err
		}
	}
	return false, nil
}

// take makes a checkpoint under another name first, so that there is a whole one or none.
func (d Disk) take(sequence uint64) error {
	name := unfinished + strconv.FormatUint(sequence, 10)
	making := filepath.Join(d.checkpoints(), name)
	if err := os.Mkdir(making, 0o700); err != nil {
		return err
	}
	for _, volume := range []string{RootVolume, WorkspaceVolume} {
		if err := snapshot(filepath.Join(d.dir, volume), making); err != nil {
			return errors.Join(err, d.remove(name))
		}
	}
	if err := os.Rename(making, d.checkpoint(sequence)); err != nil {
		return err
	}
	return d.Sync()
}

// trim drops all but the newest, each as a whole. With keep 0 all stay.
func (d Disk) trim(kept []uint64, keep int) error {
	if keep == 0 {
		return nil
	}
	for _, old := range kept[:max(len(kept)-keep, 0)] {
		name := unfinished + strconv.FormatUint(old, 10)
		if err := os.Rename(d.checkpoint(old), filepath.Join(d.checkpoints(), name)); err != nil {
			return err
		}
		if err := d.remove(name); err != nil {
			return err
		}
	}
	return nil
}

// remove removes what is there of an unfinished checkpoint.
func (d Disk) remove(name string) error {
	dir := filepath.Join(d.checkpoints(), name)
	for _, volume := range []string{RootVolume, WorkspaceVolume} {
		if err := removeSubvolume(dir, volume); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Remove(dir)
}
