// Package file reads and replaces single regular files.
package file

import (
	"crypto/rand"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"pyro/native/internal/beneath"
)

// ErrNotRegular refuses directories, devices and pipes.
var ErrNotRegular = errors.New("not a regular file")

// Info is what is told about a file.
type Info struct {
	Size    uint64
	Mode    uint32
	ModTime int64
}

// DefaultMode is a new file's when nothing else is asked for.
const DefaultMode = 0o644

// Open opens a regular file to be read.
func Open(base *beneath.Base, name string) (*os.File, Info, error) {
	fd, err := base.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, Info{}, err
	}
	info, err := stat(fd, name)
	if err != nil {
		unix.Close(fd)
		return nil, Info{}, err
	}
	unix.SetNonblock(fd, false)
	return os.NewFile(uintptr(fd), name), info, nil
}

// Replacement is a file that will take the place of another in one step.
type Replacement struct {
	*os.File
	dir       int
	name, own string
}

// Replace makes a file beside its place, through every link of the path. One
// that is replaced gives its owner and mode.
func Replace(base *beneath.Base, name string, mode uint32) (*Replacement, error) {
	dir, last, err := base.Parent(name)
	if err != nil {
		return nil, err
	}
	if last == "" {
		unix.Close(dir)
		return nil, &os.PathError{Op: "write", Path: name, Err: unix.EISDIR}
	}
	r := &Replacement{dir: dir, name: last, own: ".pyro-" + rand.Text()}
	var old unix.Stat_t
	err = unix.Fstatat(dir, last, &old, unix.AT_SYMLINK_NOFOLLOW)
	replaced := err == nil
	if err == unix.ENOENT {
		err = nil
	} else if replaced && old.Mode&unix.S_IFMT != unix.S_IFREG {
		err = kind(old.Mode)
	}
	fd := -1
	if err == nil {
		fd, err = unix.Openat(dir, r.own, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	}
	if err != nil {
		unix.Close(dir)
		return nil, &os.PathError{Op: "write", Path: name, Err: err}
	}
	r.File = os.NewFile(uintptr(fd), name)
	if mode &= 0o7777; mode == 0 {
		mode = DefaultMode
	}
	if replaced {
		mode = old.Mode & 0o7777
		if err := unix.Fchown(fd, int(old.Uid), int(old.Gid)); err != nil && err != unix.EPERM {
			r.Discard()
			return nil, err
		}
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		r.Discard()
		return nil, err
	}
	return r, nil
}

// Commit flushes the file and puts it in its place.
func (r *Replacement) Commit() (Info, error) {
	fd := int(r.Fd())
	info, err := stat(fd, r.name)
	if err == nil {
		err = r.Sync()
	}
	if err == nil {
		err = unix.Renameat(r.dir, r.own, r.dir, r.name)
	}
	if err != nil {
		r.Discard()
		return Info{}, err
	}
	err = unix.Fsync(r.dir)
	unix.Close(r.dir)
	return info, errors.Join(err, r.Close())
}

// Discard leaves everything as it was.
func (r *Replacement) Discard() {
	unix.Unlinkat(r.dir, r.own, 0)
	unix.Close(r.dir)
	r.Close()
}

// Copy gives a range of the file to emit, in pieces that emit must not keep.
// A limit of 0 is the end of the file.
func Copy(in *os.File, offset, limit uint64, emit func([]byte) error) error {
	if offset > 1<<62 {
		return nil
	}
	if limit == 0 || limit > 1<<62 {
		limit = 1 << 62
	}
	section := io.NewSectionReader(in, int64(offset), int64(limit))
	buffer := make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(section, buffer)
		if n > 0 {
			if err := emit(buffer[:n]); err != nil {
				return err
			}
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return err
		}
	}
}

func stat(fd int, name string) (Info, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = kind(st.Mode)
	}
	if err != nil {
		return Info{}, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return Info{uint64(st.Size), st.Mode & 0o7777, st.Mtim.Nano()}, nil
}

func kind(mode uint32) error {
	if mode&unix.S_IFMT == unix.S_IFDIR {
		return unix.EISDIR
	}
	return ErrNotRegular
}
