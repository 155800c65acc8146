package monitor

import (
	"bytes"
	"cmp"
	"encoding/json"
	"path/filepath"
	"regexp"
	"time"

	"pyro/native/internal/confine"
	"pyro/native/internal/event"
)

// Spec says what machine to run. It is the first line of stdin.
type Spec struct {
	ID string `json:"id"`
	// Directory is made for the machine's life; Sockets likewise, and may be empty when nothing listens.
	Directory string   `json:"directory"`
	Sockets   string   `json:"sockets"`
	Copies    []Copy   `json:"copies"`
	Locks     []Lock   `json:"locks"`
	Listen    []Listen `json:"listen"`
	Open      []Open   `json:"open"`
	// Argv may hold "{name}" of a descriptor below, and "{directory}".
	Argv []string `json:"argv"`
	// Env are "NAME=value" entries beside the few that the VMM gets from us.
	Env     []string    `json:"env"`
	Console ConsoleSpec `json:"console"`
	// Detached is nil for a machine that ends with its owner.
	Detached *Detached `json:"detached"`
	// Confine is nil for what is to run as the user runs, such as an agent without a guest.
	Confine *confine.Spec `json:"confine"`
}

// Detached makes a machine outlive whoever started it: the end of stdin means
// nothing once the spec has come, and commands come over the socket named
// "monitor" in the sockets directory.
type Detached struct {
	// LeaseSeconds is how long the machine lives without any connection to that socket.
	LeaseSeconds float64 `json:"lease_seconds"`
}

func (d *Detached) check() error {
	if d.LeaseSeconds > 0 && d.LeaseSeconds <= maxLeaseSeconds {
		return nil
	}
	return invalid("lease_seconds must be above 0 and at most %d", maxLeaseSeconds)
}

// lease is how long the machine lives without any connection.
func (d *Detached) lease() time.Duration {
	return time.Duration(d.LeaseSeconds * float64(time.Second))
}

// Copy is a file that the machine gets a copy of. To is relative to the
// directory, or an absolute path that must not exist yet and that stays when
// the machine has gone.
type Copy struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Lock is a lock held for the machine's life. With Inherit the VMM holds it
// too, so that it is not free while a killed monitor's VMM is still dying.
type Lock struct {
	Path      string `json:"path"`
	Exclusive bool   `json:"exclusive"`
	Inherit   bool   `json:"inherit"`
}

// Listen is a listening Unix socket in the sockets directory.
type Listen struct {
	Name string `json:"name"`
	File string `json:"file"`
}

// Open is an opened file; a relative path is one in the directory.
type Open struct {
	Name  string `json:"name"`
	Path  string `json:"path"`
	Write bool   `json:"write"`
}

// ConsoleSpec names the VMM's end of the console and says how many bytes of its output are kept.
type ConsoleSpec struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
}

const (
	defaultConsoleBytes = 64 << 10
	maxConsoleBytes     = 16 << 20

	// maxSocketPath is what fits in sockaddr_un.sun_path with its final NUL, in bytes.
	maxSocketPath = 107

	// monitorSocket is the socket of a detached machine's monitor.
	monitorSocket = "monitor"

	maxLeaseSeconds = 10 * 365 * 24 * 3600
)

var placeholder = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// parseSpec reads and checks a spec.
func parseSpec(line []byte) (*Spec, error) {
	spec := &Spec{}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(spec); err != nil {
		return nil, invalid("%v", err)
	}
	if spec.Console.Bytes == 0 {
		spec.Console.Bytes = defaultConsoleBytes
	}
	return spec, spec.check()
}

func (s *Spec) check() error {
	switch {
	case !filepath.IsAbs(s.Directory):
		return invalid("directory must be an absolute path")
	case len(s.Listen) > 0 && s.Sockets == "":
		return invalid("listen needs a sockets directory")
	case s.Sockets != "" && !filepath.IsAbs(s.Sockets):
		return invalid("sockets must be an absolute path")
	case len(s.Argv) == 0 || s.Argv[0] == "":
		return invalid("argv is empty")
	case s.Detached != nil && s.Sockets == "":
		return invalid("detached needs a sockets directory")
	case s.Console.Bytes < 0 || s.Console.Bytes > maxConsoleBytes:
		return invalid("console.bytes must be between 0 and %d", maxConsoleBytes)
	}
	if s.Detached != nil {
		if err := s.Detached.check(); err != nil {
			return err
		}
	}
	for _, c := range s.Copies {
		if filepath.IsAbs(c.To) {
			continue
		}
		if !filepath.IsLocal(c.To) || filepath.Clean(c.To) == "." || filepath.Clean(c.To) == "lock" {
			return invalid("copies: %q is no name for a file in the directory", c.To)
		}
	}
	for _, l := range s.Listen {
		if !isName(l.File) || l.File == "lock" || l.File == monitorSocket {
			return invalid("listen: %q is no name for a socket", l.File)
		}
	}
	if s.Confine != nil {
		if err := s.Confine.Check(); err != nil {
			return invalid("confine: %v", err)
		}
	}
	return cmp.Or(s.checkSocketPaths(), s.checkNames())
}

func (s *Spec) checkSocketPaths() error {
	files := []string{}
	for _, l := range s.Listen {
		files = append(files, l.File)
	}
	if s.Detached != nil {
		files = append(files, monitorSocket)
	}
	for _, file := range files {
		if path := filepath.Join(s.Sockets, file); len(path) > maxSocketPath {
			return event.Errorf("socket_path_too_long", "%s: a socket's path has at most %d bytes, this one has %d", path, maxSocketPath, len(path))
		}
	}
	return nil
}

// isName tells whether name is one of a file in some directory, without a way out of it.
func isName(name string) bool {
	return name == filepath.Base(name) && name != "." && name != ".." && name != "/"
}

func (s *Spec) checkNames() error {
	seen := map[string]bool{"directory": true}
	for _, name := range s.names() {
		if !placeholder.MatchString(name) {
			return invalid("%q is no name for a descriptor", name)
		}
		if seen[name] {
			return invalid("two descriptors are named %q", name)
		}
		seen[name] = true
	}
	return nil
}

// names of all descriptors that the VMM inherits.
func (s *Spec) names() []string {
	var names []string
	for _, l := range s.Listen {
		names = append(names, l.Name)
	}
	for _, o := range s.Open {
		names = append(names, o.Name)
	}
	if s.Console.Name != "" {
		names = append(names, s.Console.Name)
	}
	return names
}

// inherited numbers the named descriptors as the VMM gets them, after its three
// standard streams.
func (s *Spec) inherited() map[string]int {
	numbers := map[string]int{}
	for i, name := range s.names() {
		numbers[name] = 3 + i
	}
	return numbers
}

func invalid(format string, args ...any) error {
	return event.Errorf("invalid_spec", "spec: "+format, args...)
}
