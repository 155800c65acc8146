package workload

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"

	"golang.org/x/sys/unix"

	"pyro/native/internal/lockdown"
)

// InitName is argv[0] of the agent as the workload's init.
const InitName = "pyro-init"

// readyFd is where init tells the agent that the namespaces are complete. It
// writes the reason when they are not.
const readyFd = 3

func init() {
	if os.Args[0] == InitName {
		// Only the main thread's namespaces are seen as the process's.
		runtime.LockOSThread()
	}
}

// Init is PID 1 of the workload: it completes the namespaces that it was
// started in and then adopts the processes whose parents are gone. It never
// returns.
func Init() {
	unix.Prctl(unix.PR_SET_NAME, uintptr(cString(InitName)), 0, 0, 0)
	// An ignored SIGCHLD has the kernel reap every child. The rest is ignored so
	// that the Go runtime ends this process for none of them.
	signal.Ignore()
	err := enterRoot()
	if err == nil {
		err = lockdown.Init()
	}
	if err != nil {
		fmt.Fprint(os.NewFile(readyFd, "ready"), err)
		os.Exit(1)
	}
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		for fd := range 3 {
			unix.Dup3(null, fd, 0)
		}
	}
	unix.Close(readyFd)
	for {
		unix.Pause()
	}
}
