//go:build linux

package recovery

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/guest/mounts"
	"github.com/quiesce/quiesce/shared/fault"
)

// apart runs do on a thread of its own that sees mounts of its own: what do
// mounts nobody else sees, and the kernel takes it away when thread and
// children have ended, however they do. What the machine unmounts meanwhile is
// let go there too.
func apart(do func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its goroutine
		if unix.Gettid() == unix.Getpid() {
			// The first thread never ends; it is kept here while another works.
			result <- <-start(do)
			runtime.UnlockOSThread()
			return
		}
		result <- unshared(do)
	}()
	return <-result
}

func start(do func() error) <-chan error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		result <- unshared(do)
	}()
	return result
}

func unshared(do func() error) error {
	if err := unshare(); err != nil {
		return err
	}
	return do()
}

func unshare() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fault.Wrap(fault.Internal, err, "making a mount namespace")
	}
	return fault.Wrap(fault.Internal, unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""), "making the mounts private")
}

// deeper is apart once more, for a thread that is apart already: do sees the
// mounts as they are and may lay others over them.
func deeper(do func() error) error {
	back, err := os.Open("/proc/thread-self/ns/mnt")
	if err != nil {
		return fault.Wrap(fault.Internal, err, "naming the mount namespace")
	}
	defer back.Close()
	if err := unshare(); err != nil {
		return err
	}
	failed := do()
	if err := unix.Setns(int(back.Fd()), unix.CLONE_NEWNS); err != nil && failed == nil {
		return fault.Wrap(fault.Internal, err, "going back to the mount namespace")
	}
	return failed
}

// overlay mounts a folder over another one, here alone.
func overlay(from, over string) error {
	return fault.Wrap(fault.Internal, unix.Mount(from, over, "", unix.MS_BIND, ""), "laying %s over %s", from, over)
}

// guard makes everything read-only in this namespace but for what lies under
// the folders given: a link on a copy that leads to a file of the machine's own
// server must not let a second one write to it.
func guard(writable []string) error { return guardBy(lock, writable) }

func guardBy(lock func(mounts.List) error, writable []string) error {
	list, err := mounts.ReadList("/", "thread-self")
	if err != nil {
		return fault.Wrap(fault.Internal, err, "reading what is mounted")
	}
	if err := lock(list); err != nil {
		return fault.Wrap(fault.Internal, err, "making the machine's own mounts read-only")
	}
	for _, w := range append(slices.Clone(writable), "/dev/shm") {
		top, is := list.At(w)
		if !is {
			if w == "/dev/shm" {
				continue
			}
			if err := overlay(w, w); err != nil { // a mount of its own, to be told apart
				return err
			}
		}
		if err := remount(w, flags(top.Options)&^unix.MS_RDONLY); err != nil {
			return fault.Wrap(fault.Internal, err, "making %s writable", w)
		}
	}
	return nil
}

// lock makes all mounts read-only: by one call, or where the kernel is older
// than 5.12 one by one.
func lock(list mounts.List) error {
	err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if errors.Is(err, unix.ENOSYS) {
		return lockEach(list)
	}
	return err
}

// lockEach can leave out what no path leads to any more, and what mounts itself
// when it is looked at.
func lockEach(list mounts.List) error {
	for _, p := range list {
		if top, _ := list.At(p.Path); top != p || p.Type == "autofs" {
			continue
		}
		err := remount(p.Path, flags(p.Options)|unix.MS_RDONLY)
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("%s: %w", p.Path, err)
		}
	}
	return nil
}

// remount changes one mount's own flags, and needs all of them.
func remount(path string, flags uintptr) error {
	return unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND|flags, "")
}

// flags are those of a mount, by the names that mountinfo has for them.
func flags(options string) (all uintptr) {
	for o := range strings.SplitSeq(options, ",") {
		all |= map[string]uintptr{"ro": unix.MS_RDONLY, "nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC,
			"noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME, "relatime": unix.MS_RELATIME}[o]
	}
	return all
}
