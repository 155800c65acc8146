// Package sparse copies files without writing out their holes.
package sparse

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// step is how much is copied before a copy looks whether it was called off, in bytes.
const step = 8 << 20

// Copy makes to, which must not exist, with the content of from: a reflink
// where the file system has them, else its data extents only. to is removed
// again if the copy fails.
func Copy(ctx context.Context, from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &os.PathError{Op: "copy", Path: from, Err: errors.New("not a regular file")}
	}
	target, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if closed := target.Close(); err == nil {
			err = closed
		}
		if err != nil {
			os.Remove(to)
		}
	}()
	if unix.IoctlFileClone(int(target.Fd()), int(source.Fd())) == nil {
		return nil
	}
	if err := target.Truncate(info.Size()); err != nil {
		return err
	}
	return copyExtents(ctx, source, target, info.Size())
}

func copyExtents(ctx context.Context, source, target *os.File, size int64) error {
	for offset := int64(0); offset < size; {
		data, hole, err := extent(source, offset, size)
		if err != nil {
			return err
		}
		if err := copyRange(ctx, source, target, data, hole); err != nil {
			return err
		}
		offset = hole
	}
	return nil
}

// extent is the next stretch of data at or after offset, empty at size when only a hole is left.
func extent(file *os.File, offset, size int64) (data, hole int64, err error) {
	fd := int(file.Fd())
	data, err = unix.Seek(fd, offset, unix.SEEK_DATA)
	switch {
	case err == unix.ENXIO:
		return size, size, nil
	case err == unix.EINVAL:
		return offset, size, nil
	case err != nil:
		return 0, 0, &os.PathError{Op: "seek", Path: file.Name(), Err: err}
	}
	hole, err = unix.Seek(fd, data, unix.SEEK_HOLE)
	if err != nil {
		return 0, 0, &os.PathError{Op: "seek", Path: file.Name(), Err: err}
	}
	return min(data, size), min(hole, size), nil
}

func copyRange(ctx context.Context, source, target *os.File, from, to int64) error {
	inKernel := true
	for from < to {
		if err := ctx.Err(); err != nil {
			return err
		}
		length := min(to-from, step)
		if inKernel {
			in, out := from, from
			n, err := unix.CopyFileRange(int(source.Fd()), &in, int(target.Fd()), &out, int(length), 0)
			if n > 0 {
				from += int64(n)
				continue
			}
			if err == unix.EINTR {
				continue
			}
			if err == unix.ENOSPC || err == unix.EDQUOT || err == unix.EIO {
				return &os.PathError{Op: "copy", Path: target.Name(), Err: err}
			}
			inKernel = false
		}
		n, err := io.Copy(io.NewOffsetWriter(target, from), io.NewSectionReader(source, from, length))
		if err != nil {
			return err
		}
		if n == 0 {
			return &os.PathError{Op: "copy", Path: source.Name(), Err: io.ErrUnexpectedEOF}
		}
		from += n
	}
	return nil
}
