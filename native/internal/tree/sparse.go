package tree

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const block = 512

// segment is a part of a file that holds data.
type segment struct{ offset, size int64 }

// segments finds the data between the holes. A file system that knows no holes
// says that all is data.
func segments(fd int, size int64) (parts []segment) {
	for at := int64(0); at < size; {
		data, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		hole := size
		if err == nil {
			hole, err = unix.Seek(fd, data, unix.SEEK_HOLE)
		}
		if err != nil {
			parts = []segment{{0, size}}
			break
		}
		if hole = min(hole, size); hole > data {
			parts = append(parts, segment{data, hole - data})
		}
		at = max(hole, at+1)
	}
	unix.Seek(fd, 0, unix.SEEK_SET)
	return parts
}

func whole(parts []segment, size int64) bool {
	return len(parts) == 1 && parts[0] == segment{0, size}
}

// sparse writes a file with holes in GNU tar's format 1.0, which archive/tar
// reads but does not write: the list of segments stands before their data.
func (p *packer) sparse(file *os.File, header *tar.Header, parts []segment) error {
	var list strings.Builder
	// A last, empty segment tells readers of older formats how long the file is.
	parts = append(parts, segment{header.Size, 0})
	fmt.Fprintf(&list, "%d\n", len(parts))
	stored := int64(0)
	for _, part := range parts {
		fmt.Fprintf(&list, "%d\n%d\n", part.offset, part.size)
		stored += part.size
	}
	index := pad([]byte(list.String()))
	stored += int64(len(index))

	records := map[string]string{
		"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": header.Name,
		"GNU.sparse.realsize": strconv.FormatInt(header.Size, 10),
		"mtime":               fmt.Sprintf("%d.%09d", header.ModTime.Unix(), header.ModTime.Nanosecond()),
		"size":                strconv.FormatInt(stored, 10),
		"uid":                 strconv.Itoa(header.Uid),
		"gid":                 strconv.Itoa(header.Gid),
	}
	for key, value := range header.PAXRecords {
		records[key] = value
	}
	extended := paxRecords(records)
	name := path.Join("GNUSparseFile.0", shorten(path.Base(header.Name)))

	if err := p.tar.Flush(); err != nil {
		return err
	}
	for _, bytes := range [][]byte{
		ustar("PaxHeaders.0/sparse", tar.TypeXHeader, 0o644, int64(len(extended))), pad(extended),
		ustar(name, tar.TypeReg, header.Mode, stored), index,
	} {
		if _, err := p.out.Write(bytes); err != nil {
			return err
		}
	}
	for _, part := range parts {
		if err := p.copy(p.out, io.NewSectionReader(file, part.offset, part.size), part.size); err != nil {
			return err
		}
	}
	_, err := p.out.Write(make([]byte, (block-stored%block)%block))
	return err
}

// ustar is a header whose fields that may not fit stand in PAX records too.
func ustar(name string, kind byte, mode, size int64) []byte {
	b := make([]byte, block)
	copy(b[0:100], name)
	copy(b[100:], fmt.Sprintf("%07o\x00%07o\x00%07o\x00", mode, 0, 0))
	// 33 bits fit; a larger size counts by its record.
	copy(b[124:], fmt.Sprintf("%011o\x00%011o\x00", size&(1<<33-1), 0))
	copy(b[148:], "        ")
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// paxRecords are "LENGTH KEY=VALUE\n", the length counting its own digits.
func paxRecords(records map[string]string) []byte {
	var b []byte
	for _, key := range slices.Sorted(maps.Keys(records)) {
		value := records[key]
		rest := len(key) + len(value) + len(" =\n")
		length := rest + len(strconv.Itoa(rest))
		if rest+len(strconv.Itoa(length)) != length {
			length = rest + len(strconv.Itoa(length))
		}
		b = fmt.Appendf(b, "%d %s=%s\n", length, key, value)
	}
	return b
}

func pad(b []byte) []byte { return append(b, make([]byte, (block-len(b)%block)%block)...) }

func shorten(name string) string { return name[:min(len(name), 80)] }
