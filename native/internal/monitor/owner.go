package monitor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"pyro/native/internal/event"
)

// maxLine bounds the spec and every command, in bytes.
const maxLine = 4 << 20

// backlog is how many commands may wait, so that the end of stdin is seen behind them.
const backlog = 64

// owner is the process at the other end of stdin. It is gone when stdin ends,
// which happens however it dies.
type owner struct {
	lines chan []byte
	gone  chan struct{}
}

func listenTo(stdin io.Reader) *owner {
	o := &owner{lines: make(chan []byte, backlog), gone: make(chan struct{})}
	go o.read(bufio.NewReader(stdin))
	return o
}

// read hands on whole lines: one without its end is that of an owner that died while writing it.
func (o *owner) read(stdin *bufio.Reader) {
	defer close(o.gone)
	for {
		line, err := readLine(stdin)
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

type command struct {
	Command string `json:"command"`
}

type consoleEvent struct {
	Event   string `json:"event"`
	Console string `json:"console"`
}

// obey carries out the owner's commands for as long as lines come. It has its
// own goroutine: an owner that does not read its answers holds up nothing else.
func (o *owner) obey(console *console, kill func(), out *event.Stream) {
	for {
		select {
		case <-o.gone:
			return
		case line := <-o.lines:
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			var c command
			err := json.Unmarshal(line, &c)
			switch {
			case err != nil:
				out.Emit(event.FailureOf(event.Errorf("invalid_command", "command: %v", err)))
			case c.Command == "console":
				out.Emit(consoleEvent{Event: "console", Console: console.String()})
			case c.Command == "kill":
				kill()
			default:
				out.Emit(event.FailureOf(event.Errorf("invalid_command", "no such command: %s", c.Command)))
			}
		}
	}
}
