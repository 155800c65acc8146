package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func pack(t *testing.T, dir string) []byte {
	t.Helper()
	file, err := os.Open(dir)
	must(t, err)
	defer file.Close()
	var archive bytes.Buffer
	must(t, Pack(context.Background(), int(file.Fd()), &archive))
	return archive.Bytes()
}

func unpack(t *testing.T, archive []byte, dir string) (Written, error) {
	t.Helper()
	file, err := os.Open(dir)
	must(t, err)
	defer file.Close()
	return Unpack(int(file.Fd()), bytes.NewReader(archive))
}

const holeSize = 64 << 20

// everything makes one of each kind of file that a tree can carry.
func everything(t *testing.T) string {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.MkdirAll(at("deep/er"), 0o755))
	must(t, os.WriteFile(at("deep/er/plain"), []byte("text\n"), 0o640))
	must(t, os.Link(at("deep/er/plain"), at("zlink")))
	must(t, os.Symlink("../nowhere", at("deep/dangling")))
	must(t, os.WriteFile(at("empty"), nil, 0o600))
	must(t, os.WriteFile(at("setuid"), []byte("x"), 0o755))
	must(t, unix.Chmod(at("setuid"), 0o6755))
	must(t, os.WriteFile(at("\xff not UTF-8"), []byte("y"), 0o644))
	must(t, unix.Mkfifo(at("fifo"), 0o644))
	sparse, err := os.Create(at("sparse"))
	must(t, err)
	_, err = sparse.WriteAt([]byte("middle"), 40<<20)
	must(t, err)
	must(t, sparse.Truncate(holeSize))
	must(t, sparse.Close())
	if err := unix.Lsetxattr(at("setuid"), "user.note", []byte("a\x00=b\n"), 0); err != nil {
		t.Log("no extended attributes here: ", err)
	}
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, at("deep/er"), []unix.Timespec{{Sec: 5}, {Sec: 1234567890, Nsec: 987654321}}, 0))
	must(t, unix.Chmod(at("deep/er"), 0o1750))
	return dir
}

func TestEverythingComesBackTheSame(t *testing.T) {
	from, to := everything(t), t.TempDir()
	archive := pack(t, from)
	if len(archive) > 1<<20 {
		t.Fatal("holes were written out: ", len(archive))
	}
	written, err := unpack(t, archive, to)
	must(t, err)
	if written.Entries != 9 || written.Bytes != holeSize+5+1+1 {
		t.Error(written)
	}
	if !bytes.Equal(archive, pack(t, to)) {
		t.Error("packing it again gives another archive")
	}
	var a, b, sparse, dir unix.Stat_t
	must(t, unix.Stat(to+"/zlink", &a))
	must(t, unix.Stat(to+"/deep/er/plain", &b))
	must(t, unix.Stat(to+"/sparse", &sparse))
	must(t, unix.Stat(to+"/deep/er", &dir))
	if a.Ino != b.Ino || sparse.Blocks > 64 || sparse.Size != holeSize || dir.Mtim.Nano() != 1234567890987654321 || dir.Mode&0o7777 != 0o1750 {
		t.Error(a.Ino, b.Ino, sparse.Blocks, sparse.Size, dir.Mtim, dir.Mode)
	}
	if content, _ := os.ReadFile(to + "/sparse"); len(content) != holeSize || string(content[40<<20:40<<20+6]) != "middle" {
		t.Error("the sparse file's content")
	}
	if unix.Access(to+"/fifo", unix.F_OK) != unix.ENOENT {
		t.Error("a pipe was made")
	}
}

func TestGNUTarReadsWhatIsPackedAndTheReverse(t *testing.T) {
	from, to, back := everything(t), t.TempDir(), t.TempDir()
	archive := pack(t, from)
	extract := exec.Command("tar", "--xattrs", "-xpf", "-", "-C", to)
	extract.Stdin = bytes.NewReader(archive)
	if said, err := extract.CombinedOutput(); err != nil {
		t.Fatal(err, string(said))
	}
	if !bytes.Equal(archive, pack(t, to)) {
		t.Error("GNU tar has made something else of it")
	}
	theirs, err := exec.Command("tar", "--xattrs", "--sparse", "--format=pax", "-cf", "-", "-C", to, ".").Output()
	must(t, err)
	_, err = unpack(t, theirs, back)
	must(t, err)
	if !bytes.Equal(archive, pack(t, back)) {
		t.Error("GNU tar's archive is read as something else")
	}
}

func archiveOf(t *testing.T, headers ...tar.Header) []byte {
	var archive bytes.Buffer
	out := tar.NewWriter(&archive)
	for _, header := range headers {
		must(t, out.WriteHeader(&header))
		io.WriteString(out, "evil"[:header.Size])
	}
	must(t, out.Close())
	return archive.Bytes()
}

func TestNothingIsWrittenThroughLinks(t *testing.T) {
	outside := t.TempDir()
	must(t, os.WriteFile(outside+"/file", []byte("good"), 0o600))
	for _, archive := range [][]byte{
		archiveOf(t, tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: outside}, tar.Header{Name: "link/file", Size: 4, Mode: 0o644}),
		archiveOf(t, tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: outside}, tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: "link/file"}),
		archiveOf(t, tar.Header{Name: "a/../../file", Size: 4}),
		archiveOf(t, tar.Header{Name: "/file", Size: 4}),
		archiveOf(t, tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: outside + "/file"}),
	} {
		if _, err := unpack(t, archive, t.TempDir()); err == nil {
			t.Error("an archive that leads outside was unpacked")
		}
	}
	replaced := t.TempDir()
	_, err := unpack(t, archiveOf(t,
		tar.Header{Name: "name", Typeflag: tar.TypeSymlink, Linkname: outside + "/file"},
		tar.Header{Name: "name", Size: 4, Mode: 0o644}), replaced)
	must(t, err)
	if content, _ := os.ReadFile(outside + "/file"); string(content) != "good" {
		t.Error("a file was written through a link")
	}
	if content, _ := os.ReadFile(replaced + "/name"); string(content) != "evil" {
		t.Error("the link was not replaced")
	}
}

func TestNamesOutsideAreRefused(t *testing.T) {
	for _, name := range []string{"..", "../a", "a/..", "/a", "a\x00b"} {
		if _, err := inside(name); !errors.Is(err, ErrUnsafe) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		dir := t.TempDir()
		must(t, os.Mkdir(dir+"/inner", 0o755))
		unpack(t, archive, dir+"/inner")
		if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
	})
}
