package seed

import (
	"path"
	"strings"
)

// excludes are patterns in the manner of .gitignore: one without a slash is
// for names at any depth, one with a slash for paths from the root; "*", "?"
// and "[…]" stay within a name, "**" is any number of names, and a final slash
// means directories only.
type excludes []exclude

type exclude struct {
	parts         []string
	directoryOnly bool
}

func parseExcludes(patterns []string) (excludes, error) {
	var all excludes
	for _, pattern := range patterns {
		trimmed := strings.TrimSuffix(pattern, "/")
		e := exclude{directoryOnly: trimmed != pattern}
		if !strings.Contains(trimmed, "/") {
			trimmed = "**/" + trimmed
		}
		e.parts = strings.Split(strings.TrimPrefix(trimmed, "/"), "/")
		for _, part := range e.parts {
			if _, err := path.Match(part, ""); err != nil || part == "" {
				return nil, invalid("exclude: %q is no pattern", pattern)
			}
		}
		all = append(all, e)
	}
	return all, nil
}

func (all excludes) match(rel string, directory bool) bool {
	if len(all) == 0 {
		return false
	}
	names := strings.Split(rel, "/")
	for _, e := range all {
		if (directory || !e.directoryOnly) && matchParts(e.parts, names) {
			return true
		}
	}
	return false
}

func matchParts(parts, names []string) bool {
	for len(parts) > 0 {
		if parts[0] == "**" {
			if len(parts) == 1 {
				return len(names) > 0
			}
			for skip := range len(names) {
				if matchParts(parts[1:], names[skip:]) {
					return true
				}
			}
			return false
		}
		if len(names) == 0 {
			return false
		}
		if ok, _ := path.Match(parts[0], names[0]); !ok {
			return false
		}
		parts, names = parts[1:], names[1:]
	}
	return len(names) == 0
}
