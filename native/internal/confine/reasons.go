package confine

import (
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// lasting are the errors of a kernel that cannot do something or of a host that
// does not allow it. Any other may be over in a moment, and a VMM is not to run
// with less because of it.
var lasting = []unix.Errno{unix.EPERM, unix.EACCES, unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP, unix.EBUSY}

// restrictions are the settings of a host that keep users from making namespaces.
var restrictions = []struct{ file, forbids string }{
	{"/proc/sys/user/max_user_namespaces", "0"},
	{"/proc/sys/kernel/unprivileged_userns_clone", "0"},
	{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"},
}

// lasts tells whether trying again would fail as well.
func lasts(err unix.Errno) bool {
	// Said of namespaces both when there are too many and when there may be none.
	if err == unix.ENOSPC {
		return restriction() != ""
	}
	return slices.Contains(lasting, err)
}

// restriction is the setting that keeps users from making namespaces, if there is one.
func restriction() string {
	for _, r := range restrictions {
		if value, err := os.ReadFile(r.file); err == nil && strings.TrimSpace(string(value)) == r.forbids {
			name := strings.ReplaceAll(strings.TrimPrefix(r.file, "/proc/sys/"), "/", ".")
			return name + "=" + r.forbids
		}
	}
	return ""
}

// noNamespaces is why there are none.
func noNamespaces(reason string) string {
	if setting := restriction(); setting != "" {
		return "the host allows no namespaces (" + setting + "): " + reason
	}
	return "the host allows no namespaces: " + reason
}
