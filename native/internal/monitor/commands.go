package monitor

import (
	"bytes"
	"encoding/json"
	"sync"

	"pyro/native/internal/event"
)

// command is a line from an owner or a client.
type command struct {
	Command string `json:"command"`
	// Path and the rest are for "pass": the file, whether for writing too, the
	// VMM's QMP socket that takes descriptors, and the set it joins there.
	Path   string `json:"path"`
	Write  bool   `json:"write"`
	Socket string `json:"socket"`
	Fdset  int    `json:"fdset"`
	// LeaseSeconds is for "lease": how long the machine lives without any connection from now on.
	LeaseSeconds float64 `json:"lease_seconds"`
}

type consoleEvent struct {
	Event   string `json:"event"`
	Console string `json:"console"`
}

// servant carries out commands on one machine, whoever they come from.
type servant struct {
	console *console
	sockets string
	// unwanted is closed by the first kill.
	unwanted chan struct{}
	kill     func()
	// clients is nil for a machine that ends with its owner.
	clients *clients
}

func newServant(m *machine) *servant {
	s := &servant{console: m.console, sockets: m.spec.Sockets, clients: m.clients, unwanted: make(chan struct{})}
	s.kill = sync.OnceFunc(func() { close(s.unwanted) })
	return s
}

// obey carries out the owner's commands for as long as lines come. It has its
// own goroutine: an owner that does not read its answers holds up nothing else.
func (s *servant) obey(o *owner, out *event.Stream) {
	for {
		select {
		case <-o.gone:
			return
		case line := <-o.lines:
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			if answer := s.answer(line); answer != nil {
				out.Emit(answer)
			}
		}
	}
}

func (s *servant) answer(line []byte) any {
	var c command
	if err := json.Unmarshal(line, &c); err != nil {
		return event.FailureOf(event.Errorf("invalid_command", "command: %v", err))
	}
	switch c.Command {
	case "console":
		return consoleEvent{Event: "console", Console: s.console.String()}
	case "kill":
		s.kill()
		return nil
	case "lease":
		detached := Detached{LeaseSeconds: c.LeaseSeconds}
		if err := detached.check(); err != nil {
			return event.FailureOf(err)
		}
		if s.clients != nil {
			s.clients.renew(detached.lease())
		}
		return nil
	case "pass":
		if err := pass(s.sockets, c); err != nil {
			return event.FailureOf(err)
		}
		return event.Name{Event: "passed"}
	}
	return event.FailureOf(event.Errorf("invalid_command", "no such command: %s", c.Command))
}
