package filelock

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"

	"pyro/native/internal/event"
)

// Command is `pyro-host lock [--wait-notice] PATH`: it holds the lock until
// stdin ends.
func Command(args []string, stdin io.Reader, out *event.Stream) error {
	flags := flag.NewFlagSet("lock", flag.ContinueOnError)
	notice := flags.Bool("wait-notice", false, "print an event when the lock is held by someone else")
	path, err := parse(flags, args)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, stdin)
		cancel()
	}()
	busy := func() {
		if *notice {
			out.Emit(event.Name{Event: "waiting"})
		}
	}
	file, err := Acquire(ctx, path, Exclusive, busy)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if err := out.Emit(event.Name{Event: "locked"}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// parse takes the flags before and after the one path.
func parse(flags *flag.FlagSet, args []string) (string, error) {
	flags.SetOutput(io.Discard)
	var paths []string
	for {
		if err := flags.Parse(args); err != nil {
			return "", event.Errorf("usage", "lock: %v", err)
		}
		if flags.NArg() == 0 {
			break
		}
		paths = append(paths, flags.Arg(0))
		args = flags.Args()[1:]
	}
	if len(paths) != 1 || paths[0] == "" {
		return "", event.Errorf("usage", "lock takes one path")
	}
	return paths[0], nil
}
