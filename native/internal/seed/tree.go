package seed

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/internal/event"
)

// pack writes what the scan found.
func (s *scan) pack(into *image, tally *tally) error {
	first := map[inode]string{}
	block := make([]byte, buffer)
	for _, e := range s.entries {
		var err error
		switch e.kind {
		case unix.S_IFDIR:
			err = s.packDirectory(into, e)
		case unix.S_IFLNK:
			err = into.WriteHeader(headerOf(e, tar.TypeSymlink))
		default:
			if earlier, ok := first[e.inode]; ok {
				e.link = earlier
				err = into.WriteHeader(headerOf(e, tar.TypeLink))
				break
			}
			var packed bool
			packed, err = s.packFile(into, e, block, tally)
			if !packed && err == nil {
				continue
			}
			if e.inode != (inode{}) {
				first[e.inode] = e.path
			}
		}
		if err != nil {
			return err
		}
		tally.entry()
	}
	return nil
}

func headerOf(e entry, kind byte) *tar.Header {
	return &tar.Header{
		Typeflag: kind, Name: e.path, Linkname: e.link, Mode: int64(e.mode), ModTime: timeOf(e.mtime),
	}
}

func (s *scan) packDirectory(into *image, e entry) error {
	header := headerOf(e, tar.TypeDir)
	header.Name += "/"
	if file, err := openBeneath(s.root, e.path, unix.O_DIRECTORY); err == nil {
		header.PAXRecords = attributes(file)
		file.Close()
	}
	return into.WriteHeader(header)
}

// packFile writes a regular file with the size that it has when it is opened.
// One that is gone, or that is not what the scan saw, is listed as changed.
func (s *scan) packFile(into *image, e entry, block []byte, tally *tally) (packed bool, err error) {
	file, err := openBeneath(s.root, e.path, 0)
	if errors.Is(err, fs.ErrPermission) {
		return false, unreadable(s.name(e.path), err)
	}
	if err != nil {
		tally.changed(e.path)
		return false, nil
	}
	defer file.Close()
	before, err := file.Stat()
	if err != nil {
		return false, err
	}
	if !before.Mode().IsRegular() {
		tally.changed(e.path)
		return false, nil
	}
	header := headerOf(e, tar.TypeReg)
	header.Size = before.Size()
	header.PAXRecords = attributes(file)
	if err := into.WriteHeader(header); err != nil {
		return false, err
	}
	content := &source{file: file, path: s.name(e.path)}
	written, err := io.CopyBuffer(onlyWriter{tally.count(into)}, onlyReader{io.LimitReader(content, header.Size)}, block)
	if content.err != nil {
		return false, content.err
	}
	if err == nil && written < header.Size {
		_, err = io.CopyBuffer(onlyWriter{tally.count(into)}, onlyReader{io.LimitReader(zeros{}, header.Size-written)}, block)
	}
	if err != nil {
		return false, err
	}
	after, err := file.Stat()
	if err != nil {
		return false, err
	}
	if written < header.Size || after.Size() != e.size || after.ModTime().UnixNano() != e.mtime {
		tally.changed(e.path)
	}
	return true, nil
}

// source tells an error of reading apart from one of writing.
type source struct {
	file *os.File
	path string
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.file.Read(p)
	if err != nil && err != io.EOF {
		s.err = event.Errorf("unreadable", "%s cannot be read: %v", s.path, err)
	}
	return n, err
}

// openBeneath opens a file of the tree without going through any link, whatever has become of the tree.
func openBeneath(root *os.File, rel string, flags int) (*os.File, error) {
	flags |= unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	how := &unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(int(root.Fd()), rel, how)
	if err == unix.ENOSYS || err == unix.EPERM {
		fd, err = unix.Openat(int(root.Fd()), rel, flags, 0)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: rel, Err: err}
	}
	return os.NewFile(uintptr(fd), rel), nil
}

const paxAttribute = "SCHILY.xattr."

func keptAttribute(name string) bool {
	return strings.HasPrefix(name, "user.") || name == "security.capability"
}

// attributes are the extended attributes of a file that a guest can use.
func attributes(file *os.File) map[string]string {
	fd := int(file.Fd())
	size, err := unix.Flistxattr(fd, nil)
	if err != nil || size == 0 {
		return nil
	}
	list := make([]byte, size)
	if size, err = unix.Flistxattr(fd, list); err != nil {
		return nil
	}
	records := map[string]string{}
	for name := range strings.SplitSeq(string(list[:size]), "\x00") {
		if !keptAttribute(name) {
			continue
		}
		value := make([]byte, 64<<10)
		if n, err := unix.Fgetxattr(fd, name, value); err == nil {
			records[paxAttribute+name] = string(value[:n])
		}
	}
	return records
}

// newest is the latest time of any entry, in seconds.
func (s *scan) newest() int64 {
	var latest int64
	for _, e := range s.entries {
		latest = max(latest, e.mtime)
	}
	return timeOf(latest).Unix()
}
