//go:build !linux

package script

import "syscall"

func alone(*syscall.SysProcAttr) {}
