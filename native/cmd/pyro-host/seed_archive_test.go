package main

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func regular(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Uid: 1000, Linkname: content, Size: int64(len(content))}
}

func special(kind byte, name, link string) tar.Header {
	return tar.Header{Typeflag: kind, Name: name, Linkname: link, Mode: 0o755}
}

// tape is a tar of members; a regular one's content is its Linkname.
func tape(t *testing.T, members ...tar.Header) []byte {
	t.Helper()
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	for _, member := range members {
		content := ""
		if member.Typeflag == tar.TypeReg {
			content, member.Linkname = member.Linkname, ""
		}
		if err := w.WriteHeader(&member); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return data.Bytes()
}

func gzipped(t *testing.T, data []byte) []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write(data)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func zstandard(t *testing.T, data []byte) []byte {
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	return encoder.EncodeAll(data, nil)
}

func archive(t *testing.T, data []byte) object {
	t.Helper()
	path := filepath.Join(t.TempDir(), "seed.tar")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return object{"kind": "archive", "path": path}
}

func TestArchivesOfEveryKind(t *testing.T) {
	device := special(tar.TypeChar, "device", "")
	global := tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "c"}}
	attribute := regular("attribute", "x")
	attribute.PAXRecords = map[string]string{"SCHILY.xattr.user.k": "v", "SCHILY.xattr.trusted.k": "v"}
	plain := tape(t, global, special(tar.TypeDir, "./", ""), regular("./implied/deep/f", "content"), regular("script", "s"),
		special(tar.TypeLink, "hard", "./script"), special(tar.TypeLink, "harder", "hard"), special(tar.TypeSymlink, "up", "../../x"),
		special(tar.TypeFifo, "fifo", ""), device, attribute)
	more := tape(t, regular("second", "2"))
	for name, data := range map[string][]byte{
		"plain":             append(slices.Clone(plain), more...),
		"gzip":              gzipped(t, append(slices.Clone(plain), more...)),
		"gzip, two streams": append(gzipped(t, plain), gzipped(t, more)...),
		"zstd":              zstandard(t, append(slices.Clone(plain), more...)),
		"zstd, two frames":  append(zstandard(t, plain), zstandard(t, more)...),
		"trailing bytes":    append(append(slices.Clone(plain), more...), bytes.Repeat([]byte("x"), 2000)...),
	} {
		t.Run(name, func(t *testing.T) {
			source, cache := archive(t, data), t.TempDir()
			seed := seedOf(t, cache, source)
			want := []string{"attribute", "hard", "harder", "implied", "implied/deep", "implied/deep/f", "script", "second", "up -> ../../x"}
			if got := names(list(t, seed)); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			for path, mode := range list(t, seed) {
				if !strings.HasSuffix(mode, " root/root") {
					t.Errorf("%s: %s", path, mode)
				}
			}
			out := extract(t, seed)
			wantContent(t, out+"/implied/deep/f", "content")
			wantContent(t, out+"/harder", "s")
			if got := skipped(seed); got != `[{"path":"fifo","type":"fifo"},{"path":"device","type":"character_device"}]` {
				t.Errorf("skipped %s", got)
			}
			if again := seedOf(t, cache, source); again["cached"] != true || again["digest"] != seed["digest"] {
				t.Errorf("%v", again)
			}
		})
	}
}

func TestTheLastOfSeveralMembersCounts(t *testing.T) {
	seed := seedOf(t, t.TempDir(), archive(t, tape(t,
		special(tar.TypeDir, "d/", ""), regular("d/f", "old"), special(tar.TypeSymlink, "l", "old"), special(tar.TypeLink, "hard", "d/f"),
		special(tar.TypeDir, "d", ""), regular("./d/f", "newer"), special(tar.TypeSymlink, "l", "new"))))
	out := extract(t, seed)
	wantContent(t, out+"/d/f", "newer")
	wantContent(t, out+"/hard", "newer")
	if link, _ := os.Readlink(out + "/l"); link != "new" {
		t.Errorf("link to %q", link)
	}
	if seed["entry_count"] != 4.0 || seed["bytes_written"] != 5.0 {
		t.Errorf("%v", seed)
	}
}

func TestUnsafeArchivesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		code string
		data []byte
	}{
		"absolute":                {"unsafe_member", tape(t, regular("/etc/passwd", "x"))},
		"parent":                  {"unsafe_member", tape(t, regular("a/../../x", "x"))},
		"parent within":           {"unsafe_member", tape(t, regular("a/../x", "x"))},
		"empty":                   {"unsafe_member", tape(t, regular("", "x"))},
		"link to parent":          {"unsafe_member", tape(t, special(tar.TypeLink, "x", "../x"))},
		"link to absolute":        {"unsafe_member", tape(t, special(tar.TypeLink, "x", "/etc/passwd"))},
		"link to nothing":         {"bad_member", tape(t, special(tar.TypeLink, "x", "y"))},
		"through a symlink":       {"unsafe_member", tape(t, special(tar.TypeSymlink, "a", "/etc"), regular("a/b", "x"))},
		"below a file":            {"unsafe_member", tape(t, regular("a", "x"), regular("a/b", "x"))},
		"file over directory":     {"unsafe_member", tape(t, special(tar.TypeDir, "a/", ""), regular("a", "x"))},
		"directory over symlink":  {"unsafe_member", tape(t, special(tar.TypeSymlink, "a", "x"), special(tar.TypeDir, "a/", ""))},
		"no archive":              {"bad_archive", bytes.Repeat([]byte("nonsense"), 1000)},
		"cut":                     {"bad_archive", tape(t, regular("a", strings.Repeat("x", 5000)))[:3000]},
		"cut gzip":                {"bad_archive", gzipped(t, tape(t, regular("a", "x")))[:40]},
		"safe and then unsafe":    {"unsafe_member", tape(t, regular("a", strings.Repeat("x", 5<<20)), regular("../b", "x"))},
		"unsafe after a conflict": {"unsafe_member", tape(t, regular("a", "1"), regular("a", "2"), regular("../b", "x"))},
	} {
		t.Run(name, func(t *testing.T) {
			cache := t.TempDir()
			h := start(t, "seed")
			h.send(object{"source": archive(t, c.data), "cache": cache})
			h.wantError(c.code)
			wantEntries(t, cache, 0)
		})
	}
}
