package tree

import (
	"bytes"
	"strings"

	"golang.org/x/sys/unix"
)

// xattrPrefix marks extended attributes in PAX records, as GNU tar, bsdtar and
// libarchive have it.
const xattrPrefix = "SCHILY.xattr."

// carried is whether an attribute belongs to the file rather than to the
// machine that it lies on.
func carried(name string) bool {
	switch {
	case strings.HasPrefix(name, "trusted.overlay."):
		return false
	case strings.HasPrefix(name, "user."), strings.HasPrefix(name, "trusted."),
		strings.HasPrefix(name, "system.posix_acl_"), name == "security.capability":
		return true
	}
	return false
}

func xattrRecords(path string) map[string]string {
	size, err := unix.Llistxattr(path, nil)
	if err != nil || size == 0 {
		return nil
	}
	names := make([]byte, size)
	if size, err = unix.Llistxattr(path, names); err != nil {
		return nil
	}
	records := map[string]string{}
	value := make([]byte, 64<<10)
	for name := range bytes.SplitSeq(names[:size], []byte{0}) {
		if !carried(string(name)) {
			continue
		}
		if n, err := unix.Lgetxattr(path, string(name), value); err == nil {
			records[xattrPrefix+string(name)] = string(value[:n])
		}
	}
	return records
}

// setXattrs sets what the file system and the caller's rights allow.
func setXattrs(path string, records map[string]string) error {
	for key, value := range records {
		name, found := strings.CutPrefix(key, xattrPrefix)
		if !found || !carried(name) {
			continue
		}
		switch err := unix.Lsetxattr(path, name, []byte(value), 0); err {
		case nil, unix.EOPNOTSUPP, unix.EPERM:
		default:
			return err
		}
	}
	return nil
}
