//go:build linux

package linux

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

const (
	blockedSamples = 3
	samplePause    = 100 * time.Microsecond
	closeBudget    = time.Second
	tripBudget     = 50 * time.Millisecond
)

// volume drives one filesystem's guard and witness over pipes. It holds the
// filesystem open and never touches it.
type volume struct {
	about   session.About
	dir     *os.File
	written func() int64 // the device's write counter, in bytes
	mark    string

	guard, witness   *exec.Cmd
	control, order   *os.File // to the guard, to the witness
	status, report   *os.File // from them
	guardGone        chan struct{}
	witnessGone      chan struct{}
	armed, callOver  chan struct{} // closed once
	thawDone, passed chan struct{} // closed once
	flushed          chan error
	signs            chan session.Sign

	mu      sync.Mutex
	span    session.Span
	callErr error
	wire    tripwire
	thaw    session.Thawed
	thawErr string
	asked   bool // a thaw was asked for, or Close: what follows is no sign
	closed  bool
	blind   bool // the tripwire ended by an error that proves nothing
}

func (v *volume) About() session.About       { return v.about }
func (v *volume) Signs() <-chan session.Sign { return v.signs }

// start runs guard and witness, idle. The pipes' ends that belong to them are
// closed here, so that each EOF means what it says.
func (v *volume) start(markFile *os.File) error {
	v.guardGone, v.witnessGone = make(chan struct{}), make(chan struct{})
	v.armed, v.callOver, v.thawDone, v.passed = make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
	v.flushed = make(chan error, 1)
	v.signs = make(chan session.Sign, 8)
	var pipes [6][2]*os.File
	var theirs []*os.File
	closeAll := func(files []*os.File) {
		for _, f := range files {
			f.Close()
		}
	}
	for i := range pipes {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(theirs)
			return err
		}
		pipes[i] = [2]*os.File{r, w}
	}
	control, status, order, report, freezing, alive := pipes[0], pipes[1], pipes[2], pipes[3], pipes[4], pipes[5]
	v.control, v.status, v.order, v.report = control[1], status[0], order[1], report[0]
	theirs = []*os.File{control[0], status[1], order[0], report[1], freezing[0], freezing[1], alive[0], alive[1]}
	defer closeAll(theirs)
	v.guard = helper(GuardRole, v.dir, control[0], status[1], freezing[0], alive[1], markFile)
	v.witness = helper(WitnessRole, v.dir, order[0], report[1], freezing[1], alive[0])
	if err := v.guard.Start(); err != nil {
		return err
	}
	if err := v.witness.Start(); err != nil {
		v.control.Close()
		go v.guard.Wait()
		return err
	}
	go v.hearGuard()
	go v.hearWitness()
	go func() {
		v.guard.Wait()
		close(v.guardGone)
		v.emit(session.Sign{Kind: session.GuardDied, At: stamp()})
	}()
	go func() {
		v.witness.Wait()
		close(v.witnessGone)
	}()
	return nil
}

// helper is a process of this very binary, in a session of its own.
func helper(role string, files ...*os.File) *exec.Cmd {
	c := &exec.Cmd{Path: "/proc/self/exe", Args: []string{"quiesce-guest", role}, Dir: "/", Env: []string{"GOMAXPROCS=1", "GOTRACEBACK=none"}}
	c.ExtraFiles = files
	c.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	return c
}

// Flush lets the witness sync the filesystem once.
func (v *volume) Flush(ctx context.Context) (int64, error) {
	before := v.written()
	if _, err := v.order.WriteString("flush\n"); err != nil {
		return 0, v.fault(fault.Internal, "its witness is gone")
	}
	select {
	case err := <-v.flushed:
		if err != nil {
			return 0, v.fault(fault.FreezeRefused, "flushing it: "+err.Error())
		}
		return max(0, v.written()-before), nil
	case <-v.callOver:
		return 0, v.fault(fault.Internal, "its witness is gone")
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Arm tells the guard its deadline and waits for its word.
func (v *volume) Arm(ctx context.Context, deadline protocol.Stamp) error {
	if _, err := v.control.WriteString("arm " + itoa(deadline.Mono) + "\n"); err != nil {
		return v.fault(fault.Internal, "its guard is gone")
	}
	select {
	case <-v.armed:
		return nil
	case <-v.guardGone:
		return v.fault(fault.Internal, "its guard died")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Freeze lets the witness freeze.
func (v *volume) Freeze(ctx context.Context) (session.Span, error) {
	if _, err := v.order.WriteString("go\n"); err != nil {
		return session.Span{}, v.fault(fault.Internal, "its witness is gone")
	}
	select {
	case <-v.callOver:
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.span, v.callErr
	case <-ctx.Done():
		return session.Span{}, ctx.Err()
	}
}

// Blocked sees the tripwire asleep in its call, several times in a row without
// its having run in between.
func (v *volume) Blocked(ctx context.Context) (protocol.Stamp, error) {
	v.mu.Lock()
	wire := v.wire
	v.mu.Unlock()
	for seen, last := 0, ""; ; {
		now, blocked := wire.look()
		switch {
		case !blocked:
			seen, last = 0, ""
		case now == last:
			seen++
		default:
			seen, last = 1, now
		}
		if seen >= blockedSamples {
			v.mu.Lock()
			v.wire.switches = last
			v.mu.Unlock()
			return stamp(), nil
		}
		select {
		case <-v.passed:
			if v.sightless() {
				return protocol.Stamp{}, v.fault(fault.FreezeRefused, "the call that is to block on it does not")
			}
			return protocol.Stamp{}, v.fault(fault.HoldLost, "the tripwire was not blocked: somebody thawed it")
		case <-ctx.Done():
			return protocol.Stamp{}, ctx.Err()
		default:
		}
		// Inside the window: package time's timers are a millisecond late.
		pause := unix.NsecToTimespec(int64(samplePause))
		unix.Nanosleep(&pause, nil)
	}
}

// Held reports whether the tripwire has not run since it was seen blocked.
func (v *volume) Held() bool {
	v.mu.Lock()
	wire := v.wire
	v.mu.Unlock()
	select {
	case <-v.passed:
		return false
	default:
	}
	now, blocked := wire.look()
	return blocked && now == wire.switches
}

// Thaw lets the guard thaw, or does it here when there is no guard any more.
func (v *volume) Thaw(ctx context.Context) (session.Thawed, error) {
	v.mu.Lock()
	v.asked = true
	v.mu.Unlock()
	if v.tripped() {
		v.control.WriteString("through\n")
	} else {
		v.control.WriteString("thaw\n")
	}
	select {
	case <-v.thawDone:
	case <-v.guardGone:
		select {
		case <-v.thawDone:
		default:
			if now := stamp(); v.tripped() {
				return session.Thawed{Span: session.Span{Began: now, Ended: now}}, nil
			}
			return v.thawUnguarded(ctx)
		}
	case <-ctx.Done():
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.thawErr != "" {
			return session.Thawed{}, errors.New(v.thawErr)
		}
		return session.Thawed{}, errors.New("the thaw has not returned")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.thaw, nil
}

// tripped reports whether the tripwire got through: what is frozen then is not
// ours to thaw. One that seems to have moved is given a moment to say so.
func (v *volume) tripped() bool {
	v.mu.Lock()
	wire := v.wire
	v.mu.Unlock()
	if wire.dir == "" {
		return false
	}
	now, blocked := wire.look()
	if blocked && (wire.switches == "" || now == wire.switches) {
		return false
	}
	select {
	case <-v.passed:
		return !v.sightless()
	case <-time.After(tripBudget):
		return false
	}
}

func (v *volume) sightless() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.blind
}

// thawUnguarded thaws in this process, past EINVAL until the freeze call is
// over; the only case in which the session's own process makes such a call.
func (v *volume) thawUnguarded(ctx context.Context) (session.Thawed, error) {
	select {
	case <-v.callOver:
		v.mu.Lock()
		refused := v.callErr != nil
		v.mu.Unlock()
		if now := stamp(); refused {
			return session.Thawed{Span: session.Span{Began: now, Ended: now}}, nil
		}
	default:
	}
	type result struct {
		t   session.Thawed
		err error
	}
	done := make(chan result, 1)
	go func() {
		t, err := thawPast(ctx, int(v.dir.Fd()), func() bool {
			select {
			case <-v.callOver:
				return true
			default:
				return false
			}
		})
		done <- result{t, err}
	}()
	select {
	case r := <-done:
		if r.err == nil {
			v.mu.Lock()
			v.thaw = r.t
			v.mu.Unlock()
			v.once(v.thawDone)
		}
		return r.t, r.err
	case <-ctx.Done():
		return session.Thawed{}, errors.New("the thaw has not returned")
	}
}

// thawPast sends the thaw until it works or nothing can be frozen any more.
func thawPast(ctx context.Context, fd int, over func() bool) (session.Thawed, error) {
	for {
		last := over()
		began := stamp()
		err := fsThaw(fd)
		switch {
		case err == nil:
			return session.Thawed{Span: session.Span{Began: began, Ended: stamp()}, WasFrozen: true}, nil
		case err == unix.EINVAL && last:
			return session.Thawed{Span: session.Span{Began: began, Ended: stamp()}}, nil
		case ctx.Err() != nil:
			return session.Thawed{}, err
		}
		time.Sleep(freezePoll)
	}
}

// Close disarms the guard and lets the pipes go. Witness and guard end by it;
// they are waited for a moment, because they hold the filesystem open.
func (v *volume) Close() {
	v.mu.Lock()
	if v.closed {
		v.mu.Unlock()
		return
	}
	v.closed = true
	close(v.signs)
	v.mu.Unlock()
	v.control.WriteString("off\n")
	for _, f := range []*os.File{v.control, v.order, v.status, v.report, v.dir} {
		f.Close()
	}
	os.Remove(v.mark)
	limit := time.After(closeBudget)
	for _, gone := range []chan struct{}{v.guardGone, v.witnessGone} {
		select {
		case <-gone:
		case <-limit:
			return
		}
	}
}
