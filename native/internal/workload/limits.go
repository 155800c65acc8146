package workload

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"pyro/native/internal/cgroup"
)

const (
	// memoryReserve is what the workload leaves of the memory that is available
	// before it starts, in bytes: when it runs out of its own, that ends one of its
	// processes instead of starving the whole machine.
	memoryReserve = 32 << 20
	// taskReserve is how many of the tasks that the kernel can have are not for the workload.
	taskReserve = 512
)

// setLimits keeps a workload that takes all it can get from taking what the
// agent and the kernel need.
func setLimits(group *cgroup.Group) error {
	memory, err := availableMemory()
	if err != nil {
		return err
	}
	tasks, err := possibleTasks()
	if err != nil {
		return err
	}
	return errors.Join(
		group.Set("memory.max", fmt.Sprint(max(memory-memoryReserve, memory/2))),
		group.Set("pids.max", fmt.Sprint(max(tasks-taskReserve, tasks/2))),
	)
}

// availableMemory is what programs could use, in bytes.
func availableMemory() (int64, error) {
	content, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(content), "MemAvailable:")
	kib := int64(0)
	if _, err := fmt.Sscan(rest, &kib); !found || err != nil {
		return 0, errors.New("the kernel does not tell how much memory is available")
	}
	return kib << 10, nil
}

// possibleTasks is how many processes and threads the kernel allows at most.
func possibleTasks() (int64, error) {
	least := int64(0)
	for _, path := range []string{"/proc/sys/kernel/threads-max", "/proc/sys/kernel/pid_max"} {
		content, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		limit := int64(0)
		if _, err := fmt.Sscan(string(content), &limit); err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		if least == 0 || limit < least {
			least = limit
		}
	}
	return least, nil
}
