package lockdown

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const securityDir = "/sys/kernel/security"

// Kernel closes what root could change about the running kernel, once the
// agent has loaded its modules. None of it can be undone before the machine ends.
func Kernel() error {
	var failed error
	for _, setting := range [][2]string{
		// Programs that the kernel runs by itself have no capabilities, and it looks for no modules.
		{"kernel/usermodehelper/bset", "0 0"},
		{"kernel/usermodehelper/inheritable", "0 0"},
		{"kernel/modprobe", "\n"},
		// A debugger may attach to what is its user's.
		{"kernel/yama/ptrace_scope", "0"},
		// The workload cannot raise it, and databases ask for it.
		{"vm/max_map_count", "262144"},
	} {
		failed = errors.Join(failed, write(filepath.Join("/proc/sys", setting[0]), setting[1]))
	}
	if err := unix.Mount("securityfs", securityDir, "securityfs", 0, ""); err != nil && err != unix.EBUSY {
		return errors.Join(failed, fmt.Errorf("mount securityfs: %w", err))
	}
	failed = errors.Join(failed, write(securityDir+"/lockdown", "confidentiality"))
	return errors.Join(failed, unix.Unmount(securityDir, 0))
}

func write(path, value string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}
