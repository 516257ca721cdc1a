//go:build linux

// Package linux is the real machine under a session: freeze and thaw by ioctl
// in processes of their own, so that nothing that hangs in the kernel, and
// nobody who is killed, can keep a filesystem frozen.
package linux

import (
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/shared/protocol"
)

// The freeze calls, which golang.org/x/sys/unix does not name.
const (
	fiFreeze = 0xC0045877
	fiThaw   = 0xC0045878
)

// Roles of this binary's own processes, as their first argument.
const (
	GuardRole   = "_guard"
	WitnessRole = "_witness"
)

func fsFreeze(fd int) error { return ioctl(fd, fiFreeze) }
func fsThaw(fd int) error   { return ioctl(fd, fiThaw) }

func ioctl(fd int, call uintptr) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), call, 0)
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

// mono is CLOCK_MONOTONIC in nanoseconds, the same in every process.
func mono() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

func stamp() protocol.Stamp {
	return stampAt(mono())
}

// stampAt gives a moment of another process its wall clock time.
func stampAt(m int64) protocol.Stamp {
	wall := time.Now().UTC().Add(time.Duration(m - mono()))
	return protocol.Stamp{Mono: m, Wall: wall.Truncate(time.Millisecond)}
}

// Harden makes this process hard to lose: out of reach of terminal signals and
// the out-of-memory killer, in memory, on no filesystem. All of it is best
// effort. Pages are locked as they are touched, else each process would hold
// the runtime's whole reserved heap.
func Harden() {
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE, unix.SIGTSTP)
	os.Chdir("/")
	os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)
	const onFault = 4 // MCL_ONFAULT
	unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | onFault)
}

// LeaveGroup moves this process and what it starts out of the agent's control
// group, so that the agent's restart does not kill a guard. Only systemd kills
// by group; best effort.
func LeaveGroup() {
	if fi, err := os.Lstat("/run/systemd/system"); err != nil || !fi.IsDir() {
		return
	}
	for _, top := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"} {
		if f, err := os.OpenFile(top+"/cgroup.procs", os.O_WRONLY, 0); err == nil {
			f.WriteString("0")
			f.Close()
		}
	}
}

// child is Harden for a process with one small job and no garbage.
func child() {
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	Harden()
	signal.Ignore(unix.SIGTERM)
}

// ended reports whether the other end of a pipe is closed.
func ended(fd int, timeout time.Duration) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(p, int(timeout.Milliseconds()))
	return err == nil && n > 0 && p[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}

// say writes one line to a pipe whose reader may be gone.
func say(fd int, words ...string) { unix.Write(fd, []byte(strings.Join(words, " ")+"\n")) }

// listener reads lines from a pipe without a buffer that could hide an EOF.
type listener struct {
	fd   int
	rest string
	eof  bool
}

// next waits for a line until the moment, 0 meaning for ever. It returns ""
// on timeout and sets eof when the other end is closed.
func (l *listener) next(until int64) string {
	for {
		if i := strings.IndexByte(l.rest, '\n'); i >= 0 {
			line := l.rest[:i]
			l.rest = l.rest[i+1:]
			return line
		}
		if l.eof {
			return ""
		}
		wait := -1
		if until > 0 {
			left := until - mono()
			if left <= 0 {
				return ""
			}
			wait = int((left + 999_999) / 1_000_000)
		}
		p := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, wait)
		if err != nil || n == 0 {
			continue
		}
		var buf [512]byte
		n, err = unix.Read(l.fd, buf[:])
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
		case err != nil || n == 0:
			l.eof = true
		default:
			l.rest += string(buf[:n])
		}
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func atoi(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}
