// Package seed packs what a workspace starts with into a squashfs image, once
// per content.
package seed

import (
	"encoding/json"
	"io"
	"path/filepath"

	"pyro/native/internal/event"
)

// Spec says what to pack and where the images are kept.
type Spec struct {
	Source Source `json:"source"`
	// Cache holds one directory per key.
	Cache string `json:"cache"`
	// VirtualSize is the apparent size of the image in bytes; 0 leaves it as it is.
	VirtualSize int64 `json:"virtual_size"`
}

// Source is a directory or an archive.
type Source struct {
	Kind string `json:"kind"`
	Path string `json:"path"`
	// Files are the only files to take from a directory, if not nil; those that do not exist are left out.
	Files []string `json:"files"`
	// Exclude are patterns of what to leave out of a directory, see excludes.
	Exclude []string `json:"exclude"`
}

func readSpec(stdin io.Reader) (*Spec, error) {
	spec := &Spec{}
	decoder := json.NewDecoder(stdin)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(spec); err != nil {
		return nil, invalid("%v", err)
	}
	source := spec.Source
	switch {
	case source.Kind != "directory" && source.Kind != "archive":
		return nil, invalid("source.kind must be directory or archive")
	case source.Kind == "archive" && (source.Files != nil || source.Exclude != nil):
		return nil, invalid("files and exclude are for directories")
	case !filepath.IsAbs(source.Path):
		return nil, invalid("source.path must be absolute")
	case !filepath.IsAbs(spec.Cache):
		return nil, invalid("cache must be absolute")
	case spec.VirtualSize < 0:
		return nil, invalid("virtual_size must not be negative")
	}
	for _, file := range source.Files {
		if !filepath.IsLocal(file) {
			return nil, event.Errorf("unsafe_member", "files: %q does not lie in the directory", file)
		}
	}
	return spec, nil
}

func invalid(format string, args ...any) error {
	return event.Errorf("invalid_spec", "spec: "+format, args...)
}
