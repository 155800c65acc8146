// Package beneath resolves paths in a guest's root, in one step of the kernel,
// so that no link can lead out of where they must stay.
package beneath

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrRelative refuses a path that is not absolute.
var ErrRelative = errors.New("the path is not absolute")

// maxLinks is how many links a path may go through, as in the kernel.
const maxLinks = 40

// Base is a directory that paths must stay below.
type Base struct {
	dir    int
	prefix string
	how    uint64
}

// Open opens the directory `beneath`, an absolute path in the root whose
// descriptor is given. "" and "/" are the root itself, in which absolute links
// start at the root.
func Open(root int, beneath string) (*Base, error) {
	prefix := path.Clean("/" + beneath)
	if prefix == "/" {
		dir, err := unix.FcntlInt(uintptr(root), unix.F_DUPFD_CLOEXEC, 3)
		return &Base{dir, prefix, unix.RESOLVE_IN_ROOT}, err
	}
	if !path.IsAbs(beneath) {
		return nil, ErrRelative
	}
	dir, err := openat2(root, prefix, unix.O_PATH|unix.O_DIRECTORY, 0, unix.RESOLVE_IN_ROOT)
	return &Base{dir, prefix, unix.RESOLVE_BENEATH}, err
}

// Close lets go of the directory.
func (b *Base) Close() error { return unix.Close(b.dir) }

// Relative is the part of an absolute path that lies below the base.
func (b *Base) Relative(name string) (string, error) {
	if !path.IsAbs(name) {
		return "", ErrRelative
	}
	rest, found := strings.CutPrefix(name, b.prefix)
	if b.prefix == "/" {
		return "./" + name, nil
	}
	if !found || (rest != "" && rest[0] != '/') {
		return "", &os.PathError{Op: "open", Path: name, Err: unix.EXDEV}
	}
	return "./" + rest, nil
}

// Open opens an absolute path.
func (b *Base) Open(name string, flags int, mode uint32) (int, error) {
	rel, err := b.Relative(name)
	if err != nil {
		return -1, err
	}
	fd, err := openat2(b.dir, rel, flags, mode, b.how)
	if err == unix.EXDEV {
		if rel, err = b.expand(rel); err == nil {
			fd, err = openat2(b.dir, rel, flags, mode, b.how)
		}
	}
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}

// Parent opens the directory of what the path leads to, through every link, and
// makes it when it is missing. The name in it is returned, "" for the base.
func (b *Base) Parent(name string) (dir int, last string, err error) {
	rel, err := b.Relative(name)
	if err == nil {
		rel, err = b.expand(rel)
	}
	if err == nil {
		last = path.Base(rel)
		if rel == "." {
			last = ""
		}
		dir, err = b.directories(path.Dir(rel))
	}
	if err != nil {
		return -1, "", &os.PathError{Op: "open", Path: name, Err: err}
	}
	return dir, last, nil
}

// Directory opens a directory and makes what is missing of its path.
func (b *Base) Directory(name string) (int, error) {
	rel, err := b.Relative(name)
	if err == nil {
		rel, err = b.expand(rel)
	}
	dir := -1
	if err == nil {
		dir, err = b.directories(rel)
	}
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return dir, nil
}

// directories opens a directory by a path without links.
func (b *Base) directories(rel string) (int, error) {
	dir, err := openat2(b.dir, rel, unix.O_RDONLY|unix.O_DIRECTORY, 0, b.how|unix.RESOLVE_NO_SYMLINKS)
	if err != unix.ENOENT {
		return dir, err
	}
	parent, err := b.directories(path.Dir(rel))
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	if err := unix.Mkdirat(parent, path.Base(rel), 0o755); err != nil && err != unix.EEXIST {
		return -1, err
	}
	return unix.Openat(parent, path.Base(rel), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// expand replaces the links of a path, absolute ones that stay below the base
// too, which the kernel would refuse. What is missing stays as it is.
func (b *Base) expand(rel string) (string, error) {
	done, todo := []string{}, strings.Split(rel, "/")
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			if len(done) > 0 {
				done = done[:len(done)-1]
			} else if b.prefix != "/" {
				return "", unix.EXDEV
			}
			continue
		}
		target, err := b.link(path.Join(append(done, name)...))
		switch {
		case err == unix.ENOENT && contains(todo, ".."):
			return "", err
		case err == unix.ENOENT:
			return path.Join(append(append(done, name), todo...)...), nil
		case err != nil:
			return "", err
		case target == "":
			done = append(done, name)
			continue
		}
		if links++; links > maxLinks {
			return "", unix.ELOOP
		}
		if path.IsAbs(target) {
			if target, err = b.Relative(target); err != nil {
				return "", unix.EXDEV
			}
			done = done[:0]
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return path.Join(append([]string{"."}, done...)...), nil
}

// link is where the link of that path leads, "" for anything but a link.
func (b *Base) link(rel string) (string, error) {
	fd, err := openat2(b.dir, rel, unix.O_PATH|unix.O_NOFOLLOW, 0, b.how|unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var buffer [unix.PathMax]byte
	n, err := unix.Readlinkat(fd, "", buffer[:])
	if err == unix.ENOENT || err == unix.EINVAL {
		return "", nil
	}
	return string(buffer[:max(n, 0)]), err
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

func openat2(dir int, name string, flags int, mode uint32, resolve uint64) (int, error) {
	how := &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Mode: uint64(mode), Resolve: resolve | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(dir, name, how)
		if err != unix.EINTR && err != unix.EAGAIN {
			return fd, err
		}
	}
}
