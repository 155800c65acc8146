package mounts

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// newDisk mounts a fresh disk, on a host that lets us. Its image has so much room in memory.
func newDisk(t *testing.T, room string) Disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("room", dir, "tmpfs", 0, "size="+room); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	image, target := filepath.Join(dir, "disk.img"), filepath.Join(dir, "disk")
	for _, command := range [][]string{
		{"truncate", "-s", "1G", image}, {"mkfs.btrfs", "-q", image}, {"mkdir", target}, {"mount", "-o", "loop,nodatasum,noatime", image, target},
	} {
		if said, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%v: %s", command, said)
		}
	}
	t.Cleanup(func() { exec.Command("umount", target).Run() })
	disk := Disk{dir: target}
	if err := disk.Layout(); err != nil {
		t.Fatal(err)
	}
	return disk
}

func (d Disk) write(t *testing.T, volume, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.Upper(volume), name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (d Disk) wantCheckpoint(t *testing.T, sequence uint64, keep int, taken bool, last uint64) {
	t.Helper()
	gotTaken, gotLast, err := d.Checkpoint(sequence, keep)
	if err != nil || gotTaken != taken || gotLast != last {
		t.Fatalf("checkpoint %d: %v %d %v", sequence, gotTaken, gotLast, err)
	}
}

func TestACheckpointFollowsAChange(t *testing.T) {
	disk := newDisk(t, "512M")
	disk.wantCheckpoint(t, 3, 0, true, 3)
	disk.wantCheckpoint(t, 4, 0, false, 3)
	for i, volume := range []string{RootVolume, WorkspaceVolume} {
		disk.write(t, volume, "file", volume)
		disk.wantCheckpoint(t, uint64(10+i), 0, true, uint64(10+i))
		disk.wantCheckpoint(t, uint64(10+i), 0, false, uint64(10+i))
	}
	disk.write(t, RootVolume, "file", "after")
	if _, last, err := disk.Checkpoint(11, 0); !errors.Is(err, fs.ErrExist) || last != 11 {
		t.Fatal(last, err)
	}
	kept, err := os.ReadFile(filepath.Join(disk.checkpoint(11), RootVolume, "upper/file"))
	if err != nil || string(kept) != RootVolume {
		t.Fatalf("%q %v", kept, err)
	}
	if err := os.WriteFile(filepath.Join(disk.checkpoint(11), RootVolume, "upper/file"), nil, 0o644); !errors.Is(err, unix.EROFS) {
		t.Fatal(err)
	}
}

func TestOldCheckpointsGoAndWhatIsUnfinishedTakesNoPlace(t *testing.T) {
	disk := newDisk(t, "512M")
	for sequence := range uint64(12) {
		disk.write(t, WorkspaceVolume, "file", string(rune('a'+sequence)))
		disk.wantCheckpoint(t, sequence+1, 3, true, sequence+1)
	}
	// What a machine leaves that ended in between, of one it made and one it dropped.
	for _, name := range []string{".13", ".2"} {
		if err := os.Mkdir(filepath.Join(disk.checkpoints(), name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := snapshot(filepath.Join(disk.dir, RootVolume), filepath.Join(disk.checkpoints(), name)); err != nil {
			t.Fatal(err)
		}
	}
	disk.wantCheckpoint(t, 13, 2, true, 13)
	disk.wantCheckpoint(t, 14, 2, false, 13)
	entries, err := os.ReadDir(disk.checkpoints())
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if err != nil || !slices.Equal(names, []string{"12", "13"}) {
		t.Fatal(names, err)
	}
}

func TestADiskThatMetAnErrorIsTold(t *testing.T) {
	disk := newDisk(t, "192M")
	disk.wantCheckpoint(t, 1, 0, true, 1)
	if disk.Failed() {
		t.Fatal("failed before anything happened")
	}
	// More than there is room for below, so that the device fails.
	file, err := os.Create(filepath.Join(disk.Upper(WorkspaceVolume), "much"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	noise, err := os.ReadFile("/proc/self/exe")
	for range 200 {
		if _, err = file.Write(noise); err != nil {
			break
		}
	}
	for i := range 50 {
		if disk.Failed() {
			break
		}
		os.Mkdir(filepath.Join(disk.Upper(RootVolume), string(rune('A'+i))), 0o755)
		disk.Sync()
	}
	if !disk.Failed() {
		t.Fatal("not told")
	}
	if _, _, err := disk.Checkpoint(2, 0); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
}
