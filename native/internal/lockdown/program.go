// Package lockdown keeps root of the workload away from the rest of the
// machine: the raw devices, the agent's channels and the kernel itself.
package lockdown

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// program is machine code for the kernel's BPF. What it returns in register 0
// is 1 to allow and 0 to refuse with EPERM.
type program []byte

// instruction is struct bpf_insn of linux/bpf.h.
func (p *program) instruction(code, to, from byte, offset int16, value int32) {
	*p = append(*p, code, from<<4|to)
	*p = binary.NativeEndian.AppendUint16(*p, uint16(offset))
	*p = binary.NativeEndian.AppendUint32(*p, uint32(value))
}

func (p *program) load(size, to, from byte, offset int16) {
	p.instruction(unix.BPF_LDX|unix.BPF_MEM|size, to, from, offset, 0)
}

func (p *program) set(to byte, value int32) {
	p.instruction(unix.BPF_ALU64|unix.BPF_MOV|unix.BPF_K, to, 0, 0, value)
}

func (p *program) copy(to, from byte) {
	p.instruction(unix.BPF_ALU64|unix.BPF_MOV|unix.BPF_X, to, from, 0, 0)
}

// skipUnless skips so many instructions unless the lower half of a register has the value.
func (p *program) skipUnless(register byte, value int32, instructions int16) {
	p.instruction(unix.BPF_JMP32|unix.BPF_JNE|unix.BPF_K, register, 0, instructions, value)
}

// verdict takes two instructions.
func (p *program) verdict(value int32) {
	p.set(0, value)
	p.instruction(unix.BPF_JMP|unix.BPF_EXIT, 0, 0, 0, 0)
}

const (
	refuse = 0
	allow  = 1

	loadTries = 1000
)

// attach has the kernel ask the program about every process of a control group
// and of those below it, where more programs can be attached but all have to allow.
func (p program) attach(group int, kind, point uint32) error {
	license, log := []byte("GPL\x00"), make([]byte, 16<<10)
	// union bpf_attr of linux/bpf.h, as each command takes it
	load := struct {
		kind, instructions uint32
		code, license      uint64
		logLevel, logSize  uint32
		log                uint64
		version, flags     uint32
	}{
		kind: kind, instructions: uint32(len(p) / 8), code: address(p), license: address(license),
		logLevel: 1, logSize: uint32(len(log)), log: address(log),
	}
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	for range loadTries {
		// The kernel gives up checking a program when a signal comes, such as those of the Go runtime.
		if err != unix.EAGAIN {
			break
		}
		fd, err = bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	}
	runtime.KeepAlive(p)
	runtime.KeepAlive(license)
	if err != nil {
		return fmt.Errorf("load a BPF program: %w: %s", err, unix.ByteSliceToString(log))
	}
	defer unix.Close(fd)
	place := struct{ group, program, point, flags uint32 }{uint32(group), uint32(fd), point, unix.BPF_F_ALLOW_MULTI}
	if _, err := bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&place), unsafe.Sizeof(place)); err != nil {
		return fmt.Errorf("attach a BPF program: %w", err)
	}
	return nil
}

func bpf(command int, attributes unsafe.Pointer, size uintptr) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(attributes), size)
	if errno != 0 {
		return -1, errno
	}
	return int(n & math.MaxInt32), nil
}

func address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }
