// Command pyro-host does on the host what Node has no system call for.
package main

import (
	"fmt"
	"os"
	"runtime"

	"pyro/native/internal/confine"
	"pyro/native/internal/event"
	"pyro/native/internal/filelock"
	"pyro/native/internal/monitor"
	"pyro/native/internal/reap"
	"pyro/native/internal/seed"
	"pyro/native/internal/tsc"
)

// The parent-death signal of a child follows the thread that started it, and
// only the main thread lives as long as the process.
func init() { runtime.LockOSThread() }

var commands = map[string]func(args []string, out *event.Stream) error{
	"monitor": func(_ []string, out *event.Stream) error { return monitor.Command(os.Stdin, out) },
	// The stage between a monitor and its VMM, and what looks at it from inside.
	"confine": func(args []string, _ *event.Stream) error { return confine.Stage(args) },
	"probe":   func(args []string, _ *event.Stream) error { return confine.Probe(args, os.Stdout) },
	"examine": func(_ []string, out *event.Stream) error { return confine.Examine(out) },
	"lock":    func(args []string, out *event.Stream) error { return filelock.Command(args, os.Stdin, out) },
	"reap":    reap.Command,
	"tsc":     func(_ []string, out *event.Stream) error { return tsc.Command(out) },
	"seed":    func(_ []string, out *event.Stream) error { return seed.Command(os.Stdin, out) },
}

func main() {
	out := event.NewStream(os.Stdout)
	if err := run(os.Args[1:], out); err != nil {
		out.Emit(event.FailureOf(err))
		fmt.Fprintln(os.Stderr, "pyro-host:", err)
		os.Exit(1)
	}
}

func run(args []string, out *event.Stream) error {
	if len(args) == 0 {
		return event.Errorf("usage", "pyro-host monitor|lock|reap|tsc|seed|examine")
	}
	command, ok := commands[args[0]]
	if !ok {
		return event.Errorf("usage", "no such subcommand: %s", args[0])
	}
	return command(args[1:], out)
}
