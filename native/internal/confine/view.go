package confine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// view is the root file system of a VMM, as parts of ours.
type view struct {
	// Binds are in the order in which they are to be mounted.
	Binds []bind
	// Links are symbolic links to what is bound.
	Links []link
	// Unreadable tells that a file to be read is not for everyone to read.
	Unreadable bool
}

type bind struct {
	Path string
	// From is the path without symbolic links, which would lead astray in a root of another kind.
	From      string
	Directory bool
	Write     bool
	// Lent is a file that is written to where there is no lender.
	Lent bool
}

type link struct{ Path, To string }

var usualDevices = []string{"/dev/null", "/dev/zero", "/dev/urandom"}

// resolve finds what a program needs and a spec names, and makes the files that are to be written.
func resolve(spec *Spec, c Command) (*view, error) {
	v := &view{}
	for _, path := range spec.Write {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		file.Close()
	}
	read, err := installed(c.Path, c.Env)
	if err != nil {
		return nil, err
	}
	read = append(read, spec.Read...)
	slices.SortFunc(read, func(a, b string) int { return len(a) - len(b) })
	for _, path := range read {
		if err := v.read(filepath.Clean(path), read); err != nil {
			return nil, err
		}
	}
	for _, path := range slices.Concat(usualDevices, spec.Devices) {
		v.Binds = append(v.Binds, bind{Path: path})
	}
	if spec.Connect != "" {
		v.Binds = append(v.Binds, bind{Path: spec.Connect, Directory: true})
	}
	for _, path := range spec.Write {
		v.Binds = append(v.Binds, bind{Path: path, Write: true})
	}
	for _, path := range spec.Lend {
		v.Binds = append(v.Binds, bind{Path: path, Lent: true})
	}
	for i, b := range v.Binds {
		real, err := filepath.EvalSymlinks(b.Path)
		if err != nil {
			return nil, err
		}
		v.Binds[i].From = real
	}
	return v, nil
}

// read adds one path, unless it is in a directory that is there already.
func (v *view) read(path string, all []string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if v.covers(path) {
		return nil
	}
	// Such as /lib, where it is a link to /usr/lib.
	if real, err := filepath.EvalSymlinks(path); err == nil && real != path && info.IsDir() && slices.Contains(all, real) {
		v.Links = append(v.Links, link{path, real})
		return nil
	}
	v.Binds = append(v.Binds, bind{Path: path, Directory: info.IsDir()})
	v.Unreadable = v.Unreadable || info.Mode().IsRegular() && info.Mode().Perm()&0o004 == 0
	return nil
}

func (v *view) covers(path string) bool {
	return slices.ContainsFunc(v.Binds, func(b bind) bool {
		return b.Path == path || b.Directory && strings.HasPrefix(path, b.Path+"/")
	})
}

// withoutLender is the view for a VMM that has to open by itself what would be lent.
func (v *view) withoutLender() *view {
	other := *v
	other.Binds = slices.Clone(v.Binds)
	for i := range other.Binds {
		other.Binds[i].Write = other.Binds[i].Write || other.Binds[i].Lent
	}
	return &other
}

// old is where the host's root is while the new one is made.
const old = "/.host"

// enter makes the view our root. It needs a mount namespace of our own.
func (v *view) enter(directory string) error {
	// Modes are to be as they are given here.
	defer unix.Umask(unix.Umask(0))
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	// A root has to be mounted on something, and pivoting takes it off again.
	if err := unix.Mount("pyro", directory, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0755,size=64k,nr_inodes=1k"); err != nil {
		return &os.PathError{Op: "mount", Path: directory, Err: err}
	}
	if err := os.Mkdir(directory+old, 0o700); err != nil {
		return err
	}
	if err := unix.PivotRoot(directory, directory+old); err != nil {
		return os.NewSyscallError("pivot_root", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	if err := v.fill(); err != nil {
		return err
	}
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	if err := unix.Unmount(old, unix.MNT_DETACH); err != nil {
		return os.NewSyscallError("umount", err)
	}
	if err := os.Remove(old); err != nil {
		return err
	}
	if err := v.close(); err != nil {
		return err
	}
	return unix.Chdir(directory)
}

func (v *view) fill() error {
	for _, b := range v.Binds {
		if err := b.mount(); err != nil {
			return fmt.Errorf("%s: %w", b.Path, err)
		}
	}
	for _, l := range v.Links {
		if err := os.MkdirAll(filepath.Dir(l.Path), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(l.To, l.Path); err != nil {
			return err
		}
	}
	return nil
}

func (b bind) mount() error {
	if err := b.place(); err != nil {
		return err
	}
	return os.NewSyscallError("mount", unix.Mount(old+b.From, b.Path, "", unix.MS_BIND|unix.MS_REC, ""))
}

// place makes what is mounted upon.
func (b bind) place() error {
	if b.Directory {
		return os.MkdirAll(b.Path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(b.Path), 0o755); err != nil {
		return err
	}
	if _, err := os.Lstat(b.Path); err == nil {
		return nil
	}
	fd, err := unix.Open(b.Path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o444)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// close makes everything read-only but what is to be written.
func (v *view) close() error {
	attributes := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &attributes); err != nil {
		return os.NewSyscallError("mount_setattr", err)
	}
	for _, b := range v.Binds {
		if !b.Write {
			continue
		}
		if err := unix.MountSetattr(unix.AT_FDCWD, b.Path, 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return &os.PathError{Op: "mount_setattr", Path: b.Path, Err: err}
		}
	}
	return nil
}
