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
	shot  chan struct{} // closed when the guard is killed
	over  chan struct{} // closed when the freeze call has ended

	mu     sync.Mutex
	ended  bool
	armed  bool
	call   stage
	seen   int // the thaws there had been when the freeze stood, -1 before
	result *session.Thawed
}

// stage is how far the one freeze call has come.
type stage int

const (
	uncalled stage = iota
	calling
	refused // nothing of ours is frozen
	granted
)

// About tells what Open found.
func (v *held) About() session.About { return v.about }

// Signs delivers what nobody here asked for.
func (v *held) Signs() <-chan session.Sign { return v.signs }

// Flush writes out what is dirty.
func (v *held) Flush(ctx context.Context) (int64, error) {
	if err := v.p.op(ctx, "freeze", "flush"); err != nil {
		return 0, err
	}
	return v.f.flush(ctx)
}

// Arm starts the guard, which outlives the process: it thaws at the deadline or
// when the process dies.
func (v *held) Arm(ctx context.Context, deadline protocol.Stamp) error {
	if err := v.p.op(ctx, "freeze", "arm"); err != nil {
		return err
	}
	v.mu.Lock()
	v.armed = true
	v.mu.Unlock()
	v.p.tell(Event{Kind: Guarded, Mount: v.about.Mount, Run: v.run})
	left := time.Duration(deadline.Mono - v.p.stamp().Mono)
	go func() {
		t := time.NewTimer(left)
		defer t.Stop()
		select {
		case <-t.C:
		case <-v.p.dead:
		case <-v.off:
			return
		case <-v.shot:
			return
		}
		if done, err := v.thaw(context.Background(), true); err == nil {
			v.send(session.Sign{Kind: session.GuardFired, At: done.Began, Thaw: &done})
		}
	}()
	return nil
}

// shoot kills the guard, which is seen by the session's process. It reports
// whether there was one.
func (v *held) shoot() bool {
	v.mu.Lock()
	there := v.armed && !v.ended && !v.shotDead()
	if there {
		close(v.shot)
	}
	v.mu.Unlock()
	if there {
		v.send(session.Sign{Kind: session.GuardDied, At: v.p.stamp()})
	}
	return there
}

func (v *held) shotDead() bool {
	select {
	case <-v.shot:
		return true
	default:
		return false
	}
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
	if err := v.p.op(ctx, "freeze", "freeze"); err != nil {
		return session.Span{}, err
	}
	began := v.p.stamp()
	done := make(chan error, 1)
	v.reach(calling)
	go func() { done <- v.witness() }()
	select {
	case err := <-done:
		if err := v.p.op(ctx, "freeze", "frozen"); err != nil {
			return session.Span{}, err
		}
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

// witness makes the freeze call: it lets nothing stand that nobody guards.
func (v *held) witness() error {
	defer close(v.over)
	thaws, err := v.f.freeze(v.run, "")
	if err != nil {
		v.reach(refused)
		return err
	}
	v.reach(granted)
	if v.shotDead() {
		_ = v.f.thaw(context.Background(), "the witness of "+v.run)
		return &fault.Error{Code: fault.HoldLost, Field: v.about.Mount, Message: "nobody guards its freeze"}
	}
	v.mu.Lock()
	v.seen = thaws
	v.mu.Unlock()
	return nil
}

func (v *held) reach(s stage) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.call = s
}

// Blocked sees the tripwire blocked; from then on any thaw lets it through.
func (v *held) Blocked(ctx context.Context) (protocol.Stamp, error) {
	if err := v.p.op(ctx, "freeze", "blocked"); err != nil {
		return protocol.Stamp{}, err
	}
	if err := v.f.until(ctx, func() bool { return !v.f.freezing }); err != nil {
		return protocol.Stamp{}, err
	}
	frozen, thaws := v.f.frozen, v.f.thaws
	v.p.Machine.mu.Unlock()
	v.mu.Lock()
	seen := v.seen
	v.mu.Unlock()
	if !frozen || thaws != seen {
		return protocol.Stamp{}, &fault.Error{Code: fault.HoldLost, Field: v.about.Mount, Message: "the tripwire was not held"}
	}
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
	if v.p.op(context.Background(), "thaw", "held") != nil {
		return false
	}
	v.mu.Lock()
	seen := v.seen
	v.mu.Unlock()
	v.p.Machine.mu.Lock()
	defer v.p.Machine.mu.Unlock()
	return v.f.frozen && v.f.thaws == seen
}

// Thaw ends the freeze, once a freeze call in progress has ended.
func (v *held) Thaw(ctx context.Context) (session.Thawed, error) {
	if err := v.p.op(ctx, "thaw", "thaw"); err != nil {
		return session.Thawed{}, err
	}
	t, err := v.thaw(ctx, false)
	if err == nil {
		err = v.p.op(ctx, "thaw", "thawed")
	}
	return t, err
}

func (v *held) thaw(ctx context.Context, guard bool) (session.Thawed, error) {
	v.mu.Lock()
	done := v.result
	v.mu.Unlock()
	if done != nil {
		return *done, nil
	}
	began := v.p.stamp()
	v.mu.Lock()
	called := v.call != uncalled
	v.mu.Unlock()
	if called { // a thaw that came before its freeze has begun would leave that standing
		select {
		case <-v.over:
		case <-ctx.Done():
			return session.Thawed{}, ctx.Err()
		}
	}
	v.p.Machine.mu.Lock()
	thaws := v.f.thaws
	v.p.Machine.mu.Unlock()
	v.mu.Lock()
	seen := v.seen
	theirs := seen >= 0 && thaws != seen || v.call == uncalled || v.call == refused // what is frozen now is not ours
	v.mu.Unlock()
	t := session.Thawed{ByGuard: guard}
	if !theirs {
		err := v.f.thaw(ctx, map[bool]string{true: "the guard of ", false: ""}[guard]+v.run)
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
