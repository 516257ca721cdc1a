package postgresql

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// dialAs connects to a socket as an account, which is all that peer
// authentication looks at: the kernel notes who calls connect. Only one thread
// takes the account on, for that one call, so that no other part of the
// process ever has it.
func dialAs(ctx context.Context, path string, uid int) (net.Conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close() // net.FileConn has its own copy
	for {
		err := as(uid, func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) })
		if err == nil {
			return net.FileConn(file)
		}
		if !errors.Is(err, unix.EAGAIN) {
			return nil, &net.OpError{Op: "dial", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"}, Err: os.NewSyscallError("connect", err)}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(retry):
		}
	}
}

// as runs do with the account as the effective one of a thread of its own. A
// thread that could not be given back its account ends with its goroutine.
func as(uid int, do func() error) error {
	if os.Geteuid() == uid {
		return do()
	}
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		own := os.Geteuid()
		if err := seteuid(uid); err != nil {
			runtime.UnlockOSThread()
			result <- err
			return
		}
		err := do()
		if seteuid(own) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// seteuid is the bare system call: unlike syscall.Setresuid it changes the
// calling thread alone.
func seteuid(uid int) error {
	const keep = ^uintptr(0)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
		return os.NewSyscallError("setresuid", errno)
	}
	return nil
}
