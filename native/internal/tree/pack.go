// Package tree turns a directory into a tar stream and back. Both ways go
// beneath a descriptor of it and through no link.
package tree

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const bufferSize = 128 << 10

// below is how a name is opened that must stay in its directory.
const below = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

type inode struct{ dev, ino uint64 }

type packer struct {
	ctx    context.Context
	out    io.Writer
	tar    *tar.Writer
	buffer []byte
	// linked names the first of the files that share an inode.
	linked map[inode]string
}

// Pack writes the directory and all below it, on the same mount, as a PAX
// archive. Sockets, devices and pipes are left out.
func Pack(ctx context.Context, dir int, out io.Writer) error {
	p := &packer{ctx: ctx, out: out, tar: tar.NewWriter(out), buffer: make([]byte, bufferSize), linked: map[inode]string{}}
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return err
	}
	header := p.header("./", &st, fdPath(dir, "."))
	header.Typeflag = tar.TypeDir
	if err := p.tar.WriteHeader(header); err != nil {
		return err
	}
	if err := p.directory(dir, ""); err != nil {
		return err
	}
	return p.tar.Close()
}

func (p *packer) directory(dir int, name string) error {
	names, err := list(dir)
	if err != nil {
		return &os.PathError{Op: "read", Path: name, Err: err}
	}
	for _, base := range names {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		if err := p.entry(dir, base, path.Join(name, base)); err != nil {
			return err
		}
	}
	return nil
}

// entry writes one name. What vanishes meanwhile is left out.
func (p *packer) entry(dir int, base, name string) error {
	var st unix.Stat_t
	err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == unix.ENOENT:
		return nil
	case err != nil:
		return &os.PathError{Op: "stat", Path: name, Err: err}
	}
	header := p.header(name, &st, fdPath(dir, base))
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return p.subdirectory(dir, base, header)
	case unix.S_IFLNK:
		header.Typeflag = tar.TypeSymlink
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(dir, base, target)
		if err != nil {
			return &os.PathError{Op: "readlink", Path: name, Err: err}
		}
		header.Linkname = string(target[:n])
		return p.tar.WriteHeader(header)
	case unix.S_IFREG:
		return p.file(dir, base, header, &st)
	}
	return nil
}

func (p *packer) subdirectory(dir int, base string, header *tar.Header) error {
	name := header.Name
	header.Typeflag, header.Name = tar.TypeDir, name+"/"
	if err := p.tar.WriteHeader(header); err != nil {
		return err
	}
	fd, err := open(dir, base, unix.O_RDONLY|unix.O_DIRECTORY, 0, below|unix.RESOLVE_NO_XDEV)
	switch {
	case err == unix.ENOENT, err == unix.EXDEV:
		return nil
	case err != nil:
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	return p.directory(fd, name)
}

func (p *packer) file(dir int, base string, header *tar.Header, st *unix.Stat_t) error {
	if st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, found := p.linked[id]; found {
			header.Typeflag, header.Linkname, header.PAXRecords = tar.TypeLink, first, nil
			return p.tar.WriteHeader(header)
		}
		p.linked[id] = header.Name
	}
	fd, err := open(dir, base, unix.O_RDONLY|unix.O_NONBLOCK, 0, below)
	switch {
	case err == unix.ENOENT:
		return nil
	case err != nil:
		return &os.PathError{Op: "open", Path: header.Name, Err: err}
	}
	file := os.NewFile(uintptr(fd), header.Name)
	defer file.Close()
	if err := unix.Fstat(fd, st); err != nil {
		return err
	}
	header.Typeflag, header.Size = tar.TypeReg, st.Size
	if st.Blocks*512 < st.Size {
		if parts := segments(fd, st.Size); !whole(parts, st.Size) {
			return p.sparse(file, header, parts)
		}
	}
	if err := p.tar.WriteHeader(header); err != nil {
		return err
	}
	return p.copy(p.tar, file, st.Size)
}

// copy writes exactly size bytes, with zeros for what a file has lost meanwhile.
func (p *packer) copy(out io.Writer, in io.Reader, size int64) error {
	for size > 0 {
		n, err := in.Read(p.buffer[:min(size, int64(len(p.buffer)))])
		if err == io.EOF {
			clear(p.buffer)
			n, err = int(min(size, int64(len(p.buffer)))), nil
		}
		if err != nil {
			return err
		}
		if _, err := out.Write(p.buffer[:n]); err != nil {
			return err
		}
		size -= int64(n)
		if err := p.ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) header(name string, st *unix.Stat_t, file string) *tar.Header {
	return &tar.Header{
		Format: tar.FormatPAX, Name: name, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: time.Unix(st.Mtim.Unix()), PAXRecords: xattrRecords(file),
	}
}

func list(dir int) ([]string, error) {
	// A descriptor of its own, as reading moves the position.
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "directory")
	defer file.Close()
	names, err := file.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

func open(dir int, name string, flags int, mode uint32, resolve uint64) (int, error) {
	how := &unix.OpenHow{Flags: uint64(flags | unix.O_NOFOLLOW | unix.O_CLOEXEC), Mode: uint64(mode), Resolve: resolve}
	for {
		fd, err := unix.Openat2(dir, name, how)
		if err != unix.EINTR && err != unix.EAGAIN {
			return fd, err
		}
	}
}

// fdPath is a path of a name in an open directory, for calls that want one.
func fdPath(dir int, name string) string {
	return fmt.Sprintf("/proc/self/fd/%s/%s", strconv.Itoa(dir), name)
}
