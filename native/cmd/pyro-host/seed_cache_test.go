package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheSameContentIsPackedOnce(t *testing.T) {
	root, cache := filepath.Join(t.TempDir(), "tree"), t.TempDir()
	write(t, root+"/f", "one", 0o644)
	first, second := seedOf(t, cache, directory(root)), seedOf(t, cache, directory(root))
	if first["cached"] != false || second["cached"] != true || first["path"] != second["path"] || first["digest"] != second["digest"] {
		t.Errorf("%v\n%v", first, second)
	}
	elsewhere := seedOf(t, t.TempDir(), directory(root))
	if elsewhere["digest"] != first["digest"] {
		t.Errorf("another packing has the digest %v", elsewhere["digest"])
	}
	if err := os.Chmod(root+"/f", 0o755); err != nil {
		t.Fatal(err)
	}
	if third := seedOf(t, cache, directory(root)); third["cached"] != false || third["key"] == first["key"] {
		t.Errorf("a change of mode is no change: %v", third)
	}
	write(t, root+"/f", "one, and more", 0o755)
	changed := seedOf(t, cache, directory(root))
	wantContent(t, extract(t, changed)+"/f", "one, and more")
}

func TestConcurrentPackersAgree(t *testing.T) {
	root, cache := filepath.Join(t.TempDir(), "tree"), filepath.Join(t.TempDir(), "seeds")
	for i := range 50 {
		write(t, fmt.Sprintf("%s/%d", root, i), strings.Repeat("x", i*1000), 0o644)
	}
	var packers []*host
	for range 6 {
		h := start(t, "seed")
		h.send(object{"source": directory(root), "cache": cache})
		packers = append(packers, h)
	}
	seeds := map[any]int{}
	for _, h := range packers {
		seeds[h.want("seed")["digest"]]++
		h.end()
	}
	if len(seeds) != 1 {
		t.Errorf("%v", seeds)
	}
	wantEntries(t, cache, 1)
}

// wantEntries checks that nothing but finished seeds lies in the cache.
func wantEntries(t *testing.T, cache string, count int) {
	t.Helper()
	entries, err := os.ReadDir(cache)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if len(entries) != count {
		t.Errorf("%v, want %d entries", entries, count)
	}
}

func TestASeedThatIsLargerThanItsDriveIsRefused(t *testing.T) {
	root, cache := filepath.Join(t.TempDir(), "tree"), t.TempDir()
	content, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	write(t, root+"/f", string(content), 0o644)
	h := start(t, "seed")
	h.send(object{"source": directory(root), "cache": cache, "virtual_size": 1 << 20})
	h.wantError("too_large")
	wantEntries(t, cache, 0)
}

func TestWhatAKilledPackerLeftIsRemoved(t *testing.T) {
	root, cache := filepath.Join(t.TempDir(), "tree"), t.TempDir()
	write(t, root+"/f", "x", 0o644)
	write(t, cache+"/.partial-1/lock", "", 0o600)
	write(t, cache+"/.partial-1/seed.img", "half", 0o600)
	write(t, cache+"/.partial-2/lock", "", 0o600)
	start(t, "lock", cache+"/.partial-2/lock").want("locked")
	seedOf(t, cache, directory(root))
	wantGone(t, cache+"/.partial-1")
	wantEntries(t, cache, 2)
}
