package main

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/local/disk"
)

// safetySeconds is longer than any window here should be.
const safetySeconds = "60"

// safety is a process of its own that thaws, whatever happens to this one.
type safety struct{ cmd *exec.Cmd }

// arm returns once the safety runs. Cancel it: one that is stale breaks a
// later freeze.
func arm(room *disk.Room, mounts []string) (*safety, error) {
	cmd := exec.Command("/bin/sh", append([]string{"-c", `sleep "$0"; for m; do fsfreeze -u "$m"; done`, safetySeconds}, mounts...)...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", room.Mark()}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return &safety{cmd}, cmd.Start()
}

func (s *safety) cancel() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // gone already if it has thawed
	_ = s.cmd.Wait()
}

// fiThaw is the kernel's FITHAW, which its Go package has no name for.
const fiThaw = 0xC0045878

// leftFrozen counts the filesystems that are frozen, and thaws them: the
// kernel refuses to thaw what is not.
func leftFrozen(mounts []string) (n int) {
	for _, m := range mounts {
		dir, err := os.Open(m)
		if err != nil {
			continue
		}
		if unix.IoctlSetInt(int(dir.Fd()), fiThaw, 0) == nil {
			n++
		}
		dir.Close()
	}
	return n
}
