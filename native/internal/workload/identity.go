package workload

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// minEntropy is what the kernel's generator is reseeded with at least, in bytes.
const minEntropy = 32

// reseed sets this fork's random numbers apart from those of all others.
func reseed(entropy []byte) error {
	if len(entropy) < minEntropy {
		return fmt.Errorf("%d bytes of entropy are too few", len(entropy))
	}
	random, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer random.Close()
	// struct rand_pool_info of linux/random.h
	pool := binary.NativeEndian.AppendUint32(nil, uint32(8*len(entropy)))
	pool = binary.NativeEndian.AppendUint32(pool, uint32(len(entropy)))
	pool = append(pool, entropy...)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, random.Fd(), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&pool[0]))); errno != 0 {
		return fmt.Errorf("add entropy: %w", errno)
	}
	const reseedNow = 0x5207 // RNDRESEEDCRNG
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, random.Fd(), reseedNow, 0); errno != 0 {
		return fmt.Errorf("reseed the random generator: %w", errno)
	}
	return nil
}

// writeNames writes the files that tell a machine its name, beneath the upper
// directory of its root. What the guest made of /etc/hosts stays.
func writeNames(upper string, id Identity) error {
	root, err := unix.Open(upper, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: upper, Err: err}
	}
	defer unix.Close(root)
	if err := unix.Mkdirat(root, "etc", 0o755); err != nil && err != unix.EEXIST {
		return fmt.Errorf("make /etc: %w", err)
	}
	etc, err := unix.Openat(root, "etc", unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		// The guest made something else of its /etc.
		return nil
	}
	defer unix.Close(etc)
	hosts := "127.0.0.1\tlocalhost\n127.0.1.1\t" + id.Hostname + "\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	for _, file := range []struct {
		name, content string
		flags         int
	}{
		{"hostname", id.Hostname + "\n", unix.O_TRUNC},
		{"machine-id", id.MachineID + "\n", unix.O_TRUNC},
		{"hosts", hosts, unix.O_EXCL},
	} {
		fd, err := unix.Openat(etc, file.name, unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|file.flags, 0o644)
		if err == unix.EEXIST || err == unix.ELOOP || err == unix.EISDIR || err == unix.ENXIO {
			continue
		}
		if err != nil {
			return fmt.Errorf("write /etc/%s: %w", file.name, err)
		}
		_, err = unix.Write(fd, []byte(file.content))
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("write /etc/%s: %w", file.name, err)
		}
	}
	return nil
}
