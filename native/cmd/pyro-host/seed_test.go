package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// seedOf packs source and returns the seed event.
func seedOf(t *testing.T, cache string, source object) object {
	t.Helper()
	h := start(t, "seed")
	h.send(object{"source": source, "cache": cache, "virtual_size": 16 << 20})
	return h.want("seed")
}

func directory(path string) object { return object{"kind": "directory", "path": path} }

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

var listed = regexp.MustCompile(`(?m)^(\S{10}) (\S+)\s+\d+ \S+ \S+ squashfs-root/(.*)$`)

// list is every path of an image with its mode and owner.
func list(t *testing.T, seed object) map[string]string {
	t.Helper()
	out, err := exec.Command("unsquashfs", "-lls", seed["path"].(string)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	found := map[string]string{}
	for _, match := range listed.FindAllStringSubmatch(string(out), -1) {
		found[match[3]] = match[1] + " " + match[2]
	}
	return found
}

// extract unpacks an image.
func extract(t *testing.T, seed object) string {
	t.Helper()
	target := filepath.Join(t.TempDir(), "out")
	if out, err := exec.Command("unsquashfs", "-d", target, seed["path"].(string)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return target
}

func wantContent(t *testing.T, path, content string) {
	t.Helper()
	if read, err := os.ReadFile(path); err != nil || string(read) != content {
		t.Errorf("%s: %q %v, want %q", path, read, err, content)
	}
}

func skipped(seed object) string {
	text, _ := json.Marshal(seed["skipped"])
	return string(text)
}

func names(found map[string]string) []string {
	var all []string
	for name := range found {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func TestASeedKeepsTheTree(t *testing.T) {
	root := filepath.Join(t.TempDir(), "tree")
	long := strings.Repeat("d/", 60) + strings.Repeat("n", 200)
	write(t, root+"/script", "#!/bin/sh\n", 0o755)
	write(t, root+"/private", "p", 0o600)
	write(t, root+"/.hidden/new\nline", "n", 0o640)
	write(t, root+"/\xff\xfe", "bytes", 0o644)
	write(t, root+"/"+long, "long", 0o644)
	write(t, root+"/a-first", "twice", 0o644)
	write(t, root+"/attributes", "x", 0o644)
	err := func() error {
		for _, link := range [][2]string{{"../up", "up"}, {"/absolute", "absolute"}, {"nowhere", "dangling"}} {
			if err := os.Symlink(link[0], root+"/"+link[1]); err != nil {
				return err
			}
		}
		if err := os.Link(root+"/a-first", root+"/z-second"); err != nil {
			return err
		}
		if err := unix.Mkfifo(root+"/pipe", 0o644); err != nil {
			return err
		}
		if err := unix.Setxattr(root+"/attributes", "user.kind", []byte("b\x00c"), 0); err != nil {
			return err
		}
		if err := os.Mkdir(root+"/empty", 0o700); err != nil {
			return err
		}
		return os.Chmod(root, 0o750)
	}()
	if err != nil {
		t.Fatal(err)
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	if err := unix.Bind(socket, &unix.SockaddrUnix{Name: root + "/socket"}); err != nil {
		t.Fatal(err)
	}

	seed := seedOf(t, t.TempDir(), directory(root))
	found := list(t, seed)
	for name, want := range map[string]string{
		"script": "-rwxr-xr-x", "private": "-rw-------", "empty": "drwx------", "up -> ../up": "lrwxrwxrwx",
		"absolute -> /absolute": "lrwxrwxrwx", "dangling -> nowhere": "lrwxrwxrwx",
	} {
		if found[name] != want+" root/root" {
			t.Errorf("%s: %q, want %q", name, found[name], want)
		}
	}
	out := extract(t, seed)
	wantContent(t, out+"/.hidden/new\nline", "n")
	wantContent(t, out+"/\xff\xfe", "bytes")
	wantContent(t, out+"/"+long, "long")
	first, _ := os.Stat(out + "/a-first")
	second, _ := os.Stat(out + "/z-second")
	if !os.SameFile(first, second) {
		t.Error("the hard link is none")
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("root: %v %v", info.Mode(), err)
	}
	value := make([]byte, 10)
	if n, err := unix.Getxattr(out+"/attributes", "user.kind", value); err != nil || string(value[:n]) != "b\x00c" {
		t.Errorf("attribute %q %v", value[:max(n, 0)], err)
	}
	if got := skipped(seed); got != `[{"path":"pipe","type":"fifo"},{"path":"socket","type":"socket"}]` {
		t.Errorf("skipped %s", got)
	}
	entries, bytes := 0, int64(0)
	filepath.Walk(out, func(_ string, info os.FileInfo, _ error) error {
		entries++
		if info.Mode().IsRegular() && info.Name() != "z-second" {
			bytes += info.Size()
		}
		return nil
	})
	if seed["entry_count"] != float64(entries-1) || seed["bytes_written"] != float64(bytes) {
		t.Errorf("%v entries, %v bytes; want %d, %d", seed["entry_count"], seed["bytes_written"], entries-1, bytes)
	}
	image, err := os.Stat(seed["path"].(string))
	if err != nil || image.Size() != 16<<20 || image.Sys().(*syscall.Stat_t).Blocks*512 > 1<<20 {
		t.Errorf("%v %v", image, err)
	}
}

func TestOnlyTheNamedFilesAreTaken(t *testing.T) {
	root, outside := filepath.Join(t.TempDir(), "tree"), t.TempDir()
	for _, name := range []string{"a/b/taken", "a/b/left", "c/left", "top", "submodule/inside"} {
		write(t, filepath.Join(root, name), name, 0o644)
	}
	write(t, outside+"/secret", "secret", 0o644)
	if err := os.Symlink(outside, root+"/link"); err != nil {
		t.Fatal(err)
	}
	source, cache := directory(root), t.TempDir()
	source["files"] = []string{"top", "a/b/taken", "missing", "a/gone/too", "submodule", "link/secret", "link"}
	seed := seedOf(t, cache, source)
	if got, want := names(list(t, seed)), []string{"a", "a/b", "a/b/taken", "link -> " + outside, "submodule", "top"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	write(t, root+"/a/b/untracked", "", 0o644)
	if again := seedOf(t, cache, source); again["cached"] != true {
		t.Error("a file that is not taken made another seed")
	}
	h := start(t, "seed")
	source["files"] = []string{"../x"}
	h.send(object{"source": source, "cache": cache})
	h.wantError("unsafe_member")
}

func TestExcludedPathsAreLeftOut(t *testing.T) {
	root := filepath.Join(t.TempDir(), "tree")
	for _, name := range []string{"x.log", "d/x.log", "d/kept", "build/out", "src/build/kept", "logs", "deep/a/b/tmp/x", "deep/tmp/x"} {
		write(t, filepath.Join(root, name), "", 0o644)
	}
	source := directory(root)
	source["exclude"] = []string{"*.log", "/build", "logs/", "deep/**/tmp"}
	got := names(list(t, seedOf(t, t.TempDir(), source)))
	want := []string{"d", "d/kept", "deep", "deep/a", "deep/a/b", "logs", "src", "src/build", "src/build/kept"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAnEmptyDirectoryIsASeed(t *testing.T) {
	seed := seedOf(t, t.TempDir(), directory(t.TempDir()))
	if len(list(t, seed)) != 0 || seed["entry_count"] != 0.0 || skipped(seed) != "[]" {
		t.Errorf("%v", seed)
	}
}

func TestAnUnreadableFileIsRefused(t *testing.T) {
	root, err := os.MkdirTemp("/tmp", "pyro-seed-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root)
	write(t, root+"/tree/secret", "", 0o000)
	write(t, root+"/tree/open", "", 0o644)
	cache := root + "/cache"
	h := &host{t: t}
	if os.Geteuid() == 0 {
		// The test binary lies where only root can reach it.
		binary, err := os.ReadFile("/proc/self/exe")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root+"/program", binary, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{root, root + "/tree", root + "/tree/secret"} {
			if err := os.Chown(path, 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}
		h = startAs(t, root+"/program", 65534, "seed")
	} else {
		h = start(t, "seed")
	}
	h.send(object{"source": directory(root + "/tree"), "cache": cache})
	if event := h.wantError("unreadable"); !strings.Contains(event["message"].(string), root+"/tree/secret") {
		t.Errorf("%v", event)
	}
	wantGone(t, cache)
}

func TestASourceThatIsNotThere(t *testing.T) {
	h := start(t, "seed")
	h.send(object{"source": directory("/nonexistent"), "cache": t.TempDir()})
	h.wantError("not_found")
}
