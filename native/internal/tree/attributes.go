package tree

import (
	"archive/tar"
	"bytes"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// attributes sets owner, mode, extended attributes and time of what was made.
// An ordinary user stays the owner.
func attributes(dir int, base string, header *tar.Header) error {
	err := unix.Fchownat(dir, base, header.Uid, header.Gid, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil && (err != unix.EPERM || os.Geteuid() == 0) {
		return err
	}
	if header.Typeflag != tar.TypeSymlink {
		// After the owner, whose change clears the set-id bits. There is no link to
		// follow: the name was made by this archive.
		if err := unix.Fchmodat(dir, base, uint32(header.Mode)&0o7777, 0); err != nil {
			return err
		}
	}
	if len(header.PAXRecords) > 0 {
		if err := setXattrs(fdPath(dir, base), header.PAXRecords); err != nil {
			return err
		}
	}
	modified := unix.NsecToTimespec(header.ModTime.UnixNano())
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, modified}
	return unix.UtimesNanoAt(dir, base, times, unix.AT_SYMLINK_NOFOLLOW)
}

// page is the unit of holes.
const page = 4 << 10

var zeros [page]byte

// fill writes the content and leaves holes where it is zero for whole pages.
func fill(file *os.File, content io.Reader, buffer []byte) (size int64, err error) {
	ended := true
	for {
		n, err := io.ReadFull(content, buffer)
		for at := 0; at < n; {
			end := at
			for end < n && !zero(buffer[end:min(end+page, n)]) {
				end = min(end+page, n)
			}
			if ended = end > at; ended {
				if _, err := file.WriteAt(buffer[at:end], size+int64(at)); err != nil {
					return size, err
				}
			}
			for end < n && zero(buffer[end:min(end+page, n)]) {
				end = min(end+page, n)
				ended = false
			}
			at = end
		}
		size += int64(n)
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			if !ended {
				return size, file.Truncate(size)
			}
			return size, nil
		case err != nil:
			return size, err
		}
	}
}

func zero(b []byte) bool { return bytes.Equal(b, zeros[:len(b)]) }
