//go:build linux

package linux

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// hearGuard takes down what the guard says until its pipe ends.
func (v *volume) hearGuard() {
	in := lines(v.status)
	for in.Scan() {
		f := strings.Fields(in.Text())
		switch {
		case len(f) == 1 && f[0] == "armed":
			v.once(v.armed)
		case len(f) >= 2 && f[0] == "failed":
			v.mu.Lock()
			v.thawErr = strings.Join(f[1:], " ")
			v.mu.Unlock()
		case len(f) == 5 && f[0] == "thawed":
			t := thawedLine(f)
			v.mu.Lock()
			v.thaw = t
			if f[1] == "error" {
				v.thawErr = "the kernel refuses the thaw"
				v.mu.Unlock()
				continue
			}
			v.mu.Unlock()
			v.once(v.thawDone)
			if t.ByGuard {
				v.emit(session.Sign{Kind: session.GuardFired, At: t.Began, Thaw: &t})
			}
		}
	}
}

// thawedLine reads a guard's "thawed HOW WHY BEGAN ENDED".
func thawedLine(f []string) session.Thawed {
	return session.Thawed{
		Span:      session.Span{Began: stampAt(atoi(f[3])), Ended: stampAt(atoi(f[4]))},
		WasFrozen: f[1] == "ok",
		ByGuard:   f[2] != "asked" && f[2] != "tripped",
	}
}

// hearWitness takes down what the witness says until its pipe ends.
func (v *volume) hearWitness() {
	in := lines(v.report)
	for in.Scan() {
		f := strings.Fields(in.Text())
		switch {
		case len(f) == 2 && f[0] == "flushed":
			v.flushed <- errno(f[1])
		case len(f) == 4 && f[0] == "frozen":
			v.mu.Lock()
			v.span = session.Span{Began: stampAt(atoi(f[1])), Ended: stampAt(atoi(f[2]))}
			v.wire.dir = "/proc/" + itoa(int64(v.witness.Process.Pid)) + "/task/" + f[3]
			v.mu.Unlock()
			v.once(v.callOver)
		case len(f) == 2 && f[0] == "refused":
			v.end(v.refusal(errno(f[1])))
		case f[0] == "guardless":
			v.end(v.fault(fault.HoldLost, "its guard died while it was being frozen; thawed again"))
		case len(f) == 3 && f[0] == "through":
			v.through(stampAt(atoi(f[1])), errno(f[2]))
		}
	}
	// A witness that is gone has no call in progress any more.
	v.end(v.fault(fault.FreezeRefused, "the process that freezes it died"))
}

// through deals with a tripwire's end. Only the error of a name that is not
// there says that the call went all the way, hence that the filesystem was
// not frozen; any other means that the tripwire is no good. The guard is asked
// first, for its own thaw lets the tripwire through as well.
func (v *volume) through(at protocol.Stamp, err error) {
	v.mu.Lock()
	v.blind = !errors.Is(err, unix.ENOENT)
	v.mu.Unlock()
	v.once(v.passed)
	if v.blind {
		v.emit(session.Sign{Kind: session.Blind, At: at})
		return
	}
	v.control.WriteString("through\n")
	go func() {
		select {
		case <-v.thawDone:
		case <-v.guardGone:
		}
		v.mu.Lock()
		ours := v.thaw.ByGuard
		v.mu.Unlock()
		if !ours {
			v.emit(session.Sign{Kind: session.Tripped, At: at})
		}
	}()
}

func (v *volume) end(err error) {
	v.mu.Lock()
	select {
	case <-v.callOver:
	default:
		v.callErr = err
	}
	v.mu.Unlock()
	v.once(v.callOver)
}

func (v *volume) refusal(err error) error {
	if errors.Is(err, unix.EBUSY) {
		return v.fault(fault.ForeignFreeze, "somebody else has frozen it")
	}
	return v.fault(fault.FreezeRefused, "the kernel refuses: "+err.Error())
}

func (v *volume) fault(code fault.Code, message string) error {
	return &fault.Error{Code: code, Field: v.about.Mount, Message: message}
}

func (v *volume) emit(s session.Sign) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed || v.asked {
		return
	}
	select {
	case v.signs <- s:
	default: // enough was said
	}
}

// once closes a channel that may be closed already.
func (v *volume) once(c chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	select {
	case <-c:
	default:
		close(c)
	}
}

func errno(s string) error {
	if n := atoi(s); n != 0 {
		return unix.Errno(n)
	}
	return nil
}
