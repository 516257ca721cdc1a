//go:build !linux

package process

import "syscall"

func dies(*syscall.SysProcAttr) {}
