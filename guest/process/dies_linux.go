package process

import "syscall"

func dies(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
