package lockdown

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dropped are the capabilities that no process of the workload can have.
var dropped = []uintptr{
	unix.CAP_SYS_MODULE, unix.CAP_SYS_RAWIO, unix.CAP_SYS_BOOT, unix.CAP_SYS_TIME, unix.CAP_MKNOD,
	unix.CAP_MAC_ADMIN, unix.CAP_MAC_OVERRIDE,
	// Opens by handle, whatever the file is: groups and subvolumes beyond its own.
	unix.CAP_DAC_READ_SEARCH,
	// Without it a process is open only to those that have all of its own
	// capabilities: neither init is, nor what is about to become a command and
	// still has the agent's memory and channels.
	unix.CAP_SYS_PTRACE,
}

// Children takes the capabilities from the programs that this thread will
// start, not from the thread.
func Children() error {
	for _, capability := range dropped {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", capability, err)
		}
	}
	return nil
}

// Init takes the capabilities from this process for good, except the one that
// makes it more than the workload is.
func Init() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	for _, capability := range dropped {
		if capability == unix.CAP_SYS_PTRACE {
			continue
		}
		mask := ^uint32(1 << (capability % 32))
		data[capability/32].Permitted &= mask
		data[capability/32].Effective &= mask
		if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, capability, 0); errno != 0 {
			return fmt.Errorf("drop capability %d: %w", capability, errno)
		}
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	if errno != 0 {
		return fmt.Errorf("capset: %w", errno)
	}
	return nil
}
