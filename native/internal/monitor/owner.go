package monitor

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLine bounds the spec and every command, in bytes.
const maxLine = 4 << 20

// backlog is how many commands may wait, so that the end of stdin is seen behind them.
const backlog = 64

// owner is the process at the other end of stdin, or of a connection. It is
// gone when that ends, which happens however it dies.
type owner struct {
	lines chan []byte
	gone  chan struct{}
}

func listenTo(input io.Reader) *owner {
	o := &owner{lines: make(chan []byte, backlog), gone: make(chan struct{})}
	go o.read(bufio.NewReader(input))
	return o
}

// read hands on whole lines: one without its end is that of an owner that died while writing it.
func (o *owner) read(input *bufio.Reader) {
	defer close(o.gone)
	for {
		line, err := readLine(input)
		if err != nil {
			return
		}
		o.lines <- line
	}
}

func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return nil, errors.New("line too long")
		}
		line = append(line, part...)
		if err == bufio.ErrBufferFull {
			continue
		}
		return bytes.TrimSuffix(line, []byte("\n")), err
	}
}
