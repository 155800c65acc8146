package seed

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"pyro/native/internal/event"
)

// entry is one path of a directory as the scan found it.
type entry struct {
	path  string
	kind  uint32 // S_IF…
	mode  uint32 // permission bits
	size  int64
	mtime int64 // nanoseconds
	link  string
	inode inode // only of a file with several names
}

type inode struct{ device, number uint64 }

// skip is something that the seed does not hold as it was.
type skip struct {
	Path string `json:"path"`
	Type string `json:"type"`
}

var specialTypes = map[uint32]string{
	unix.S_IFIFO: "fifo", unix.S_IFSOCK: "socket", unix.S_IFCHR: "character_device", unix.S_IFBLK: "block_device",
}

// scan is the sorted walk of a directory.
type scan struct {
	root    *os.File
	mode    uint32
	entries []entry
	skipped []skip

	excludes excludes
	// wanted are the names to look at in each directory; nil for all.
	wanted map[string][]string
}

func scanDirectory(source Source) (*scan, error) {
	excludes, err := parseExcludes(source.Exclude)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenFile(source.Path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, unreadable(source.Path, err)
	}
	s := &scan{root: root, excludes: excludes}
	if source.Files != nil {
		s.wanted = namesByDirectory(source.Files)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(int(root.Fd()), &stat); err != nil {
		return nil, unreadable(source.Path, err)
	}
	s.mode = stat.Mode & 0o7777
	_, err = s.directory(root, "")
	return s, err
}

// namesByDirectory has the files and, in their parents, the directories that lead to them.
func namesByDirectory(files []string) map[string][]string {
	names := map[string][]string{}
	for _, file := range files {
		for file = path.Clean(file); file != "."; file = path.Dir(file) {
			parent := path.Dir(file)
			if parent == "." {
				parent = ""
			}
			names[parent] = append(names[parent], path.Base(file))
		}
	}
	for parent, list := range names {
		slices.Sort(list)
		names[parent] = slices.Compact(list)
	}
	return names
}

// directory walks what dir holds; newest is the latest mtime that it saw.
func (s *scan) directory(dir *os.File, rel string) (newest int64, err error) {
	names := s.wanted[rel]
	if s.wanted == nil {
		if names, err = dir.Readdirnames(-1); err != nil {
			return 0, unreadable(s.name(rel), err)
		}
		slices.Sort(names)
	}
	for _, name := range names {
		mtime, err := s.entry(dir, name, path.Join(rel, name))
		if err != nil {
			return 0, err
		}
		newest = max(newest, mtime)
	}
	return newest, nil
}

func (s *scan) entry(dir *os.File, name, rel string) (mtime int64, err error) {
	var stat unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		// Gone since it was listed, or a tracked file that is not in the working tree.
		if err == unix.ENOENT || err == unix.ENOTDIR {
			return 0, nil
		}
		return 0, unreadable(s.name(rel), err)
	}
	kind := stat.Mode & unix.S_IFMT
	if s.excludes.match(rel, kind == unix.S_IFDIR) {
		return 0, nil
	}
	if special := specialTypes[kind]; special != "" {
		s.skipped = append(s.skipped, skip{Path: rel, Type: special})
		return 0, nil
	}
	e := entry{path: rel, kind: kind, mode: stat.Mode & 0o7777, mtime: stat.Mtim.Nano()}
	switch kind {
	case unix.S_IFDIR:
		return s.subdirectory(dir, name, e)
	case unix.S_IFLNK:
		if e.link, err = readLink(dir, name); err != nil {
			return 0, unreadable(s.name(rel), err)
		}
	default:
		e.size = stat.Size
		if stat.Nlink > 1 {
			e.inode = inode{uint64(stat.Dev), stat.Ino}
		}
		if !readable(dir, name, &stat) {
			return 0, unreadable(s.name(rel), unix.EACCES)
		}
	}
	s.entries = append(s.entries, e)
	return e.mtime, nil
}

func (s *scan) subdirectory(dir *os.File, name string, e entry) (int64, error) {
	index := len(s.entries)
	s.entries = append(s.entries, e)
	if s.wanted != nil && s.wanted[e.path] == nil {
		return e.mtime, nil
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, unreadable(s.name(e.path), err)
	}
	sub := os.NewFile(uintptr(fd), e.path)
	defer sub.Close()
	newest, err := s.directory(sub, e.path)
	if s.wanted != nil {
		// What else comes and goes in the directory is not part of this seed.
		s.entries[index].mtime = newest
	}
	return s.entries[index].mtime, err
}

func (s *scan) name(rel string) string { return path.Join(s.root.Name(), rel) }

// key identifies the content: same paths, types, modes, sizes, times and links.
func (s *scan) key(virtualSize int64) string {
	hash := sha256.New()
	fmt.Fprintf(hash, "pyro seed directory 1\x00%d\x00%o\x00", virtualSize, s.mode)
	for _, e := range s.entries {
		fmt.Fprintf(hash, "%s\x00%o\x00%d\x00%d\x00%s\x00", e.path, e.kind|e.mode, e.size, e.mtime, e.link)
	}
	for _, e := range s.skipped {
		fmt.Fprintf(hash, "%s\x00%s\x00", e.Path, e.Type)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

func readLink(dir *os.File, name string) (string, error) {
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(dir.Fd()), name, buffer)
	if err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}

var effectiveUser = uint32(os.Geteuid())

// readable asks the kernel only where the mode bits do not tell.
func readable(dir *os.File, name string, stat *unix.Stat_t) bool {
	if effectiveUser == 0 || stat.Uid == effectiveUser {
		return effectiveUser == 0 || stat.Mode&unix.S_IRUSR != 0
	}
	return unix.Faccessat(int(dir.Fd()), name, unix.R_OK, unix.AT_EACCESS) == nil
}

func unreadable(name string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return event.Errorf("unreadable", "%s cannot be read: %v", name, unix.EACCES)
	}
	if _, ok := err.(*os.PathError); ok {
		return err
	}
	return &os.PathError{Op: "read", Path: name, Err: err}
}
