package confine

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	noRoot       = 1 << 0 // SECBIT_NOROOT: to execute a program as user 0 gives no capabilities
	noRootLocked = 1 << 1
)

// dropBounding keeps capabilities from coming back. Who has none at all cannot do it and need not.
func dropBounding() error {
	held, err := capabilities()
	if err != nil || held == 0 {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, noRoot|noRootLocked, 0, 0, 0); err != nil {
		return os.NewSyscallError("securebits", err)
	}
	for capability := 0; ; capability++ {
		switch err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(capability), 0, 0, 0); err {
		case nil:
		case unix.EINVAL:
			return nil // behind the last one that this kernel knows
		default:
			return fmt.Errorf("drop capability %d: %w", capability, err)
		}
	}
}

func (p *plan) setUser() error {
	if p.User == 0 {
		return nil
	}
	id := uintptr(p.User)
	for _, call := range []struct {
		name                 string
		number               uintptr
		first, second, third uintptr
	}{
		{"setgroups", unix.SYS_SETGROUPS, 0, 0, 0},
		{"setresgid", unix.SYS_SETRESGID, id, id, id},
		{"setresuid", unix.SYS_SETRESUID, id, id, id},
	} {
		if _, _, err := unix.RawSyscall(call.number, call.first, call.second, call.third); err != 0 {
			return os.NewSyscallError(call.name, err)
		}
	}
	return nil
}

// dropCapabilities gives up all that there are, for good.
func dropCapabilities() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return os.NewSyscallError("ambient capabilities", err)
	}
	header, empty := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
	if err := unix.Capset(&header, &empty[0]); err != nil {
		return os.NewSyscallError("capset", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("no_new_privs", err)
	}
	return nil
}

// capabilities that this thread has.
func capabilities() (uint64, error) {
	header, held := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
	if err := unix.Capget(&header, &held[0]); err != nil {
		return 0, os.NewSyscallError("capget", err)
	}
	return uint64(held[1].Permitted)<<32 | uint64(held[0].Permitted), nil
}
