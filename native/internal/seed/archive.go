package seed

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"pyro/native/internal/event"
)

// maxWindow is the largest zstd window that is read, that of `zstd --long=27`, in bytes.
const maxWindow = 128 << 20

// archive is a tar file, compressed or not.
type archive struct {
	path string
	info os.FileInfo
}

func statArchive(path string) (*archive, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	info, err := os.Stat(real)
	if err != nil {
		return nil, unreadable(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, event.Errorf("bad_archive", "%s is not a file", path)
	}
	return &archive{path: real, info: info}, nil
}

// key identifies the content by the file that holds it.
func (a *archive) key(virtualSize int64) string {
	var number uint64
	if stat, ok := a.info.Sys().(*syscall.Stat_t); ok {
		number = stat.Ino
	}
	identity := fmt.Sprintf("pyro seed archive 1\x00%d\x00%s\x00%d\x00%d\x00%d",
		virtualSize, a.path, a.info.Size(), a.info.ModTime().UnixNano(), number)
	sum := sha256.Sum256([]byte(identity))
	return hex.EncodeToString(sum[:])
}

// unchanged tells whether the file is still the one that the key is of.
func (a *archive) unchanged() bool {
	now, err := os.Stat(a.path)
	return err == nil && os.SameFile(a.info, now) && now.Size() == a.info.Size() && now.ModTime().Equal(a.info.ModTime())
}

// members calls each with every member in turn, of all the archives that the file is a concatenation of.
func (a *archive) members(each func(*tar.Header, io.Reader) error) error {
	file, err := os.Open(a.path)
	if err != nil {
		return unreadable(a.path, err)
	}
	defer file.Close()
	plain, err := decompress(file)
	if err != nil {
		return a.damaged(err)
	}
	defer plain.Close()
	return a.walk(bufio.NewReaderSize(plain, buffer), each)
}

func (a *archive) walk(stream io.Reader, each func(*tar.Header, io.Reader) error) error {
	for first := true; ; first = false {
		reader := tar.NewReader(onlyReader{stream})
		for count := 0; ; count++ {
			header, err := reader.Next()
			if err == io.EOF {
				break
			}
			if err == tar.ErrHeader && !first && count == 0 {
				// What follows the end of an archive may be anything.
				_, err := io.Copy(io.Discard, stream)
				return a.damaged(err)
			}
			if err != nil {
				return a.damaged(err)
			}
			content := &member{Reader: reader}
			err = each(header, content)
			if content.err != nil {
				return a.damaged(content.err)
			}
			if err != nil {
				return err
			}
		}
		block, err := nextBlock(stream)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return a.damaged(err)
		}
		stream = io.MultiReader(bytes.NewReader(block), stream)
	}
}

// member tells an error of the archive apart from one of writing.
type member struct {
	io.Reader
	err error
}

func (m *member) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if err != nil && err != io.EOF {
		m.err = err
	}
	return n, err
}

// nextBlock is the first block after the end of an archive that is not filler.
func nextBlock(stream io.Reader) ([]byte, error) {
	block := make([]byte, 512)
	filler := make([]byte, 512)
	for {
		_, err := io.ReadFull(stream, block)
		if err == io.ErrUnexpectedEOF {
			return nil, io.EOF
		}
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(block, filler) {
			return block, nil
		}
	}
}

// decompress tells the compression by its magic number, not by the file's name.
func decompress(file io.Reader) (io.ReadCloser, error) {
	stream := bufio.NewReaderSize(file, buffer)
	magic, err := stream.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	skippable := len(magic) == 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:], []byte{0x2a, 0x4d, 0x18})
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(stream)
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}) || skippable:
		decoder, err := zstd.NewReader(stream, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return decoder.IOReadCloser(), nil
	}
	return io.NopCloser(stream), nil
}

func (a *archive) damaged(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, tar.ErrHeader) {
		return event.Errorf("bad_archive", "%s is no tar archive, or a damaged one", a.path)
	}
	return event.Errorf("bad_archive", "%s cannot be read as an archive: %v", a.path, err)
}
