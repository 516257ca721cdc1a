package disk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The ioctls that golang.org/x/sys/unix does not name.
const (
	fiFreeze = 0xC0045877
	fiThaw   = 0xC0045878
)

// thawIfOurs thaws the filesystem at the mount point if it is the expected
// one: a path whose mount has gone names another filesystem, at worst the root.
func thawIfOurs(mountPoint, device string) error {
	dir, err := os.OpenFile(mountPoint, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	if got, err := deviceOf(dir); err != nil || got != device {
		return fmt.Errorf("%s is not the filesystem on %s any more", mountPoint, device)
	}
	err = unix.IoctlSetInt(int(dir.Fd()), fiThaw, 0)
	if errors.Is(err, unix.EINVAL) {
		return nil // it was not frozen
	}
	return err
}

func deviceOf(f *os.File) (string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)), nil
}

// guard is a process of its own that thaws a filesystem when its limit is over
// or its starter is gone, so that nothing stays frozen behind a crash.
type guard struct {
	cmd  *exec.Cmd
	life *os.File
}

// newGuard returns when the guard runs; arm it before the freeze. It holds the
// directory open, hence needs no path that a freeze could hide.
func newGuard(dir *os.File, limit time.Duration, mark string) (*guard, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	cmd := exec.Command("/bin/sh", "-c",
		fmt.Sprintf("timeout %d cat; exec fsfreeze -u /proc/self/fd/3", max(1, int(limit.Seconds()))))
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", mark}
	cmd.Stdin, cmd.ExtraFiles = read, []*os.File{dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		write.Close()
		return nil, fmt.Errorf("arming the thaw guard: %w", err)
	}
	return &guard{cmd: cmd, life: write}, nil
}

// cancel ends the guard; a stale thaw would break a later freeze.
func (g *guard) cancel() {
	_ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL)
	_ = g.cmd.Wait()
	g.life.Close()
}
