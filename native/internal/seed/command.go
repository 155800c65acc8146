package seed

import (
	"io"

	"pyro/native/internal/event"
)

func Command(stdin io.Reader, out *event.Stream) error { return event.Errorf("failed", "TODO") }
