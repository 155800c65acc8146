package tree

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrUnsafe refuses a name that leads out of the tree.
var ErrUnsafe = errors.New("the archive names something outside of itself")

// Written is what Unpack has made.
type Written struct {
	Entries uint64
	// Bytes of regular files.
	Bytes uint64
}

type unpacker struct {
	Written
	dir    int
	buffer []byte
	// parent is the directory of the last entry, -1 for none.
	parent     int
	parentName string
	// directories get their attributes last: entries in them change the times,
	// and a mode may forbid writing.
	directories []*tar.Header
}

// Unpack makes what a tar stream holds below the directory. A file that is in
// the way is replaced. Sockets, devices and pipes are left out.
func Unpack(dir int, in io.Reader) (Written, error) {
	u := &unpacker{dir: dir, buffer: make([]byte, bufferSize), parent: -1}
	defer u.forget()
	archive := tar.NewReader(in)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return u.Written, err
		}
		if err := u.entry(header, archive); err != nil {
			return u.Written, err
		}
	}
	for i := len(u.directories) - 1; i >= 0; i-- {
		if err := u.finish(u.directories[i]); err != nil {
			return u.Written, err
		}
	}
	// Padding after the end of an archive is the sender's to send.
	_, err := io.Copy(io.Discard, in)
	return u.Written, err
}

func (u *unpacker) entry(header *tar.Header, content io.Reader) error {
	name, err := inside(header.Name)
	if err != nil {
		return err
	}
	header.Name = name
	if name == "." {
		if header.Typeflag == tar.TypeDir {
			u.directories = append(u.directories, header)
		}
		return nil
	}
	parent, err := u.enter(path.Dir(name))
	if err == nil {
		base := path.Base(name)
		switch header.Typeflag {
		case tar.TypeDir:
			err = u.directory(parent, base, header)
		case tar.TypeReg, tar.TypeGNUSparse:
			err = u.file(parent, base, header, content)
		case tar.TypeSymlink:
			err = u.place(parent, base, func() error { return unix.Symlinkat(header.Linkname, parent, base) })
			if err == nil {
				err = attributes(parent, base, header)
			}
		case tar.TypeLink:
			err = u.link(parent, base, header.Linkname)
		default:
			return nil
		}
	}
	if err != nil {
		return &os.PathError{Op: "unpack", Path: name, Err: err}
	}
	u.Entries++
	return nil
}

func (u *unpacker) directory(parent int, base string, header *tar.Header) error {
	u.directories = append(u.directories, header)
	err := unix.Mkdirat(parent, base, 0o755)
	if err != unix.EEXIST {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return nil
	}
	return u.place(parent, base, func() error { return unix.Mkdirat(parent, base, 0o755) })
}

func (u *unpacker) file(parent int, base string, header *tar.Header, content io.Reader) error {
	fd := -1
	err := u.place(parent, base, func() (err error) {
		fd, err = unix.Openat(parent, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), header.Name)
	size, err := fill(file, content, u.buffer)
	u.Bytes += uint64(size)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return attributes(parent, base, header)
}

func (u *unpacker) link(parent int, base, target string) error {
	target, err := inside(target)
	if err != nil {
		return err
	}
	from, err := open(u.dir, path.Dir(target), unix.O_PATH|unix.O_DIRECTORY, 0, below)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	var old, now unix.Stat_t
	if unix.Fstatat(from, path.Base(target), &old, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		unix.Fstatat(parent, base, &now, unix.AT_SYMLINK_NOFOLLOW) == nil && old.Dev == now.Dev && old.Ino == now.Ino {
		return nil
	}
	return u.place(parent, base, func() error { return unix.Linkat(from, path.Base(target), parent, base, 0) })
}

// place makes a name, in the place of what has it.
func (u *unpacker) place(parent int, base string, make func() error) error {
	err := make()
	if err != unix.EEXIST {
		return err
	}
	if err := unix.Unlinkat(parent, base, 0); err == unix.EISDIR {
		if err := unix.Unlinkat(parent, base, unix.AT_REMOVEDIR); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	return make()
}

// enter opens the directory of an entry, and makes what an archive does not
// name. Entries of one directory mostly follow each other.
func (u *unpacker) enter(name string) (int, error) {
	if u.parent >= 0 && u.parentName == name {
		return u.parent, nil
	}
	fd, err := u.make(name)
	if err != nil {
		return -1, err
	}
	u.forget()
	u.parent, u.parentName = fd, name
	return fd, nil
}

func (u *unpacker) make(name string) (int, error) {
	fd, err := open(u.dir, name, unix.O_RDONLY|unix.O_DIRECTORY, 0, below)
	if err != unix.ENOENT {
		return fd, err
	}
	parent, err := u.make(path.Dir(name))
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	if err := unix.Mkdirat(parent, path.Base(name), 0o755); err != nil && err != unix.EEXIST {
		return -1, err
	}
	return open(u.dir, name, unix.O_RDONLY|unix.O_DIRECTORY, 0, below)
}

func (u *unpacker) forget() {
	if u.parent >= 0 {
		unix.Close(u.parent)
	}
	u.parent = -1
}

// finish gives a directory its attributes, if it is still one.
func (u *unpacker) finish(header *tar.Header) error {
	fd, err := open(u.dir, header.Name, unix.O_RDONLY|unix.O_DIRECTORY, 0, below)
	if err == unix.ENOTDIR || err == unix.ELOOP || err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "unpack", Path: header.Name, Err: err}
	}
	defer unix.Close(fd)
	return attributes(fd, ".", header)
}

func inside(name string) (string, error) {
	if path.IsAbs(name) || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("%w: %q", ErrUnsafe, name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("%w: %q", ErrUnsafe, name)
		}
	}
	return path.Clean(name), nil
}
