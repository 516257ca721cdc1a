//go:build unix

package runtimeapi

import (
	"os/exec"
	"syscall"
)

// separate puts the process into a group of its own, so that an interrupt at
// the terminal does not reach the functions before the run has let go.
func separate(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func end(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
