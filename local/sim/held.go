package sim

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// held is one filesystem in a session's hands, with its guard and its tripwire.
type held struct {
	p     *process
	f     *filesystem
	run   string
	about session.About
	signs chan session.Sign
	off   chan struct{} // closed by Close: the guard and the tripwire are gone

	mu     sync.Mutex
	ended  bool
	seen   int // the thaws there had been when the tripwire was seen blocked, -1 before
	result *session.Thawed
}

// About tells what Open found.
func (v *held) About() session.About { return v.about }

// Signs delivers what nobody here asked for.
func (v *held) Signs() <-chan session.Sign { return v.signs }

// Flush writes out what is dirty.
func (v *held) Flush(ctx context.Context) (int64, error) {
	v.p.alive()
	return v.f.flush(ctx)
}

// Arm starts the guard, which outlives the process: it thaws at the deadline or
// when the process dies.
func (v *held) Arm(_ context.Context, deadline protocol.Stamp) error {
	v.p.alive()
	left := time.Duration(deadline.Mono - v.p.stamp().Mono)
	go func() {
		t := time.NewTimer(left)
		defer t.Stop()
		select {
		case <-t.C:
		case <-v.p.dead:
		case <-v.off:
			return
		}
		if done, err := v.thaw(context.Background(), true); err == nil {
			v.send(session.Sign{Kind: session.GuardFired, At: done.Began, Thaw: &done})
		}
	}()
	return nil
}

// send gives a sign unless the volume is closed; it never waits.
func (v *held) send(s session.Sign) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended {
		return
	}
	select {
	case v.signs <- s:
	default:
	}
}

func (v *held) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.ended {
		v.ended = true
		close(v.signs)
	}
}

// Freeze makes the one call, which goes on in the kernel whoever gives up.
func (v *held) Freeze(ctx context.Context) (session.Span, error) {
	v.p.alive()
	began := v.p.stamp()
	done := make(chan error, 1)
	go func() { done <- v.f.freeze(v.run) }()
	select {
	case err := <-done:
		v.p.alive()
		if errors.Is(err, syscall.EBUSY) {
			return session.Span{}, &fault.Error{Code: fault.ForeignFreeze, Field: v.about.Mount, Message: "is frozen by somebody else"}
		}
		return session.Span{Began: began, Ended: v.p.stamp()}, err
	case <-v.p.dead:
		runtime.Goexit()
		return session.Span{}, nil
	case <-ctx.Done():
		return session.Span{}, ctx.Err()
	}
}

// Blocked sees the tripwire blocked; from then on any thaw lets it through.
func (v *held) Blocked(ctx context.Context) (protocol.Stamp, error) {
	v.p.alive()
	if err := v.f.until(ctx, func() bool { return !v.f.freezing }); err != nil {
		return protocol.Stamp{}, err
	}
	frozen, thaws := v.f.frozen, v.f.thaws
	v.p.Machine.mu.Unlock()
	if !frozen {
		return protocol.Stamp{}, &fault.Error{Code: fault.HoldLost, Field: v.about.Mount, Message: "the tripwire was not held"}
	}
	v.mu.Lock()
	v.seen = thaws
	v.mu.Unlock()
	go v.watch(thaws)
	return v.p.stamp(), nil
}

func (v *held) watch(thaws int) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		select {
		case <-v.off:
		case <-v.p.dead:
		case <-ctx.Done():
		}
		stop()
	}()
	if v.f.until(ctx, func() bool { return v.f.thaws != thaws }) != nil {
		return
	}
	v.p.Machine.mu.Unlock()
	v.send(session.Sign{Kind: session.Tripped, At: v.p.stamp()})
}

// Held reports whether the tripwire has been blocked without a break.
func (v *held) Held() bool {
	v.mu.Lock()
	seen := v.seen
	v.mu.Unlock()
	v.p.Machine.mu.Lock()
	defer v.p.Machine.mu.Unlock()
	return v.f.frozen && v.f.thaws == seen
}

// Thaw ends the freeze, once a freeze call in progress has ended.
func (v *held) Thaw(ctx context.Context) (session.Thawed, error) {
	v.p.alive()
	return v.thaw(ctx, false)
}

func (v *held) thaw(ctx context.Context, guard bool) (session.Thawed, error) {
	v.mu.Lock()
	done, seen := v.result, v.seen
	v.mu.Unlock()
	if done != nil {
		return *done, nil
	}
	began := v.p.stamp()
	if err := v.f.until(ctx, func() bool { return !v.f.freezing }); err != nil {
		return session.Thawed{}, err
	}
	theirs := seen >= 0 && v.f.thaws != seen // what is frozen now is not ours
	v.p.Machine.mu.Unlock()
	t := session.Thawed{ByGuard: guard}
	if !theirs {
		err := v.f.thaw(ctx)
		if notFrozen(err) != nil {
			return session.Thawed{}, err
		}
		t.WasFrozen = err == nil
	}
	t.Span = session.Span{Began: began, Ended: v.p.stamp()}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.result != nil {
		return *v.result, nil // guard and session were at it together
	}
	v.result = &t
	if guard {
		v.p.Machine.mu.Lock()
		v.p.guardThaws[mark(v.run, v.about.Device)] = t
		v.p.Machine.mu.Unlock()
	}
	return t, nil
}

// notFrozen takes the kernel's word that there was nothing to thaw.
func notFrozen(err error) error {
	if errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}

// Close disarms the guard and lets everything go.
func (v *held) Close() {
	v.p.alive()
	v.mu.Lock()
	select {
	case <-v.off:
	default:
		close(v.off)
	}
	v.mu.Unlock()
	v.end()
}
