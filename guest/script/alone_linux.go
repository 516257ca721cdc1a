package script

import "syscall"

// alone gives the script a process namespace that ends with it, and it with
// this thread: whatever it started ends too, however this process does.
func alone(attr *syscall.SysProcAttr) {
	attr.Cloneflags |= syscall.CLONE_NEWPID
	attr.Pdeathsig = syscall.SIGKILL
}
