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

const defaultMode = 0o644

// precreateNames makes the files of writeNames, empty, so that a fork has only
// to fill them.
func precreateNames(upper string) error {
	etc, err := openEtc(upper)
	if err != nil {
		return err
	}
	defer unix.Close(etc)
	for _, name := range []string{"hostname", "machine-id", "hosts"} {
		fd, err := unix.Openat(etc, name, unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, defaultMode)
		if err != nil {
			return fmt.Errorf("make /etc/%s: %w", name, err)
		}
		unix.Close(fd)
	}
	return nil
}

// writeNames writes the files that tell a machine its name, beneath the upper
// directory of its root. What the guest made of /etc/hosts stays.
func writeNames(upper string, id Identity) error {
	etc, err := openEtc(upper)
	if err != nil {
		// The guest made something else of its /etc.
		return nil
	}
	defer unix.Close(etc)
	hosts := "127.0.0.1\tlocalhost\n127.0.1.1\t" + id.Hostname + "\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	for _, file := range []struct {
		name, content string
		keep          bool
	}{{"hostname", id.Hostname + "\n", false}, {"machine-id", id.MachineID + "\n", false}, {"hosts", hosts, true}} {
		if err := writeName(etc, file.name, file.content, file.keep); err != nil {
			return fmt.Errorf("write /etc/%s: %w", file.name, err)
		}
	}
	return nil
}

// writeName leaves alone what is no regular file, and with keep what is not empty.
func writeName(etc int, name, content string, keep bool) error {
	fd, err := unix.Openat(etc, name, unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, defaultMode)
	if err == unix.ELOOP || err == unix.EISDIR || err == unix.ENXIO {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || (keep && st.Size > 0) {
		return err
	}
	if _, err := unix.Pwrite(fd, []byte(content), 0); err != nil {
		return err
	}
	if st.Size > int64(len(content)) {
		return unix.Ftruncate(fd, int64(len(content)))
	}
	return nil
}

func openEtc(upper string) (int, error) {
	root, err := unix.Open(upper, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: upper, Err: err}
	}
	defer unix.Close(root)
	etc, err := unix.Openat(root, "etc", unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != unix.ENOENT {
		return etc, err
	}
	if err := unix.Mkdirat(root, "etc", 0o755); err != nil {
		return -1, err
	}
	return unix.Openat(root, "etc", unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}
