package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

const (
	flushBudget = 30 * time.Second // then the freeze itself would take as long
	flushRounds = 6
	flushSmall  = 4 << 20
	armBudget   = 5 * time.Second
	blockBudget = 2 * time.Second
	guardMargin = 200 * time.Millisecond // the session thaws this much before the guards do
)

// freeze flushes, arms, freezes and sees the tripwires blocked; on any failure
// it undoes what it froze and leaves the session open.
func (s *session) freeze(req protocol.Request) error {
	if err := s.enter(s.work); err != nil {
		return err
	}
	defer s.leave()
	switch {
	case s.work.Err() != nil:
		return s.ending()
	case s.phase() != protocol.Quiesced:
		return fault.New(fault.FreezeRefused, "the session of run %s is %s, not quiesced", s.run, s.phase())
	}
	if err := Late(req, s.host.Stamp().Wall); err != nil {
		return err
	}
	if err := s.newcomers(s.work); err != nil {
		return err
	}
	if err := s.openVolumes(); err != nil {
		return err
	}
	err := s.hold(req)
	if err == nil {
		return nil
	}
	undoErr := s.undo()
	s.save()
	if undoErr != nil {
		return undoErr
	}
	return err
}

// maxNewcomers bounds what a reply carries of them; one is enough to tell.
const maxNewcomers = 8

// newcomers puts on record what was mounted since the plan was made: on one of
// the set's volumes it is written to while everything else is held, and only
// the plan's maker knows the volumes. It writes nothing and may be called while
// filesystems are frozen.
func (s *session) newcomers(ctx context.Context) error {
	known := s.rec.Begin.Known
	if len(known) == 0 {
		return nil
	}
	seen, err := s.host.Survey(ctx, protocol.DryRunRequest{AllowRoot: s.rec.Begin.AllowRoot})
	if err != nil {
		return err
	}
	s.note(func(e *protocol.Evidence) {
		for _, m := range seen.Mounts {
			listed := slices.ContainsFunc(e.Newcomers, func(n protocol.Mount) bool { return n.Device == m.Device })
			if !m.ReadOnly && !listed && !slices.Contains(known, m.Device) && len(e.Newcomers) < maxNewcomers {
				m.Binds = nil
				e.Newcomers = append(e.Newcomers, m)
			}
		}
	})
	return nil
}

func (s *session) openVolumes() error {
	b := s.rec.Begin
	if len(b.Filesystems) == 0 {
		return nil
	}
	opened, err := s.host.Open(s.work, s.run, b.Filesystems, b.AllowRoot)
	if err != nil {
		return err
	}
	slices.SortStableFunc(opened, func(a, b Volume) int { return b.About().Depth - a.About().Depth })
	vols := make([]*volume, len(opened))
	evidence := make([]protocol.FilesystemEvidence, len(opened))
	for i, o := range opened {
		a := o.About()
		vols[i] = &volume{Volume: o, about: a, index: i}
		evidence[i] = protocol.FilesystemEvidence{Mount: a.Mount, Device: a.Device, Type: a.Type, ReadOnly: a.ReadOnly}
	}
	s.mu.Lock()
	s.vols = vols
	s.letGo = false
	s.rec.Evidence.Filesystems = evidence
	s.mu.Unlock()
	return nil
}

// hold does the freeze proper. After an error some filesystems may be frozen.
func (s *session) hold(req protocol.Request) error {
	vols := s.writable()
	if !s.opt.SkipFlush {
		if err := s.flush(vols); err != nil {
			return err
		}
	}
	s.note(func(e *protocol.Evidence) { e.Phase = protocol.Freezing })
	if err := s.save(); err != nil {
		return err
	}
	now := s.host.Stamp()
	end := after(now, time.Duration(s.rec.Begin.FreezeSeconds)*time.Second)
	if end.Mono > s.rec.EndsAt.Mono {
		end = s.rec.EndsAt
	}
	limit := time.Duration(end.Mono-now.Mono) - guardMargin
	ctx, cancel := context.WithTimeout(s.work, limit)
	s.mu.Lock()
	s.retreat = cancel
	s.mu.Unlock()
	defer func() {
		cancel()
		s.mu.Lock()
		s.retreat = nil
		s.mu.Unlock()
	}()
	if err := each(vols, func(v *volume) error { return s.arm(ctx, v, end) }); err != nil {
		return s.why(err)
	}
	if err := Late(req, s.host.Stamp().Wall); err != nil {
		return err
	}
	for _, layer := range layers(vols) {
		if err := each(layer, func(v *volume) error { return s.freezeOne(ctx, v) }); err != nil {
			return s.why(err)
		}
	}
	if err := each(vols, func(v *volume) error { return s.seeBlocked(ctx, v) }); err != nil {
		return s.why(err)
	}
	return s.frozen(end)
}

// frozen declares the hold, unless a sign spoke against it meanwhile.
func (s *session) frozen(end protocol.Stamp) error {
	raw := make([]byte, 16)
	if _, err := rand.Read(raw); err != nil {
		return fault.Wrap(fault.Internal, err, "making the hold's name")
	}
	s.mu.Lock()
	e := &s.rec.Evidence
	if len(e.Lost) > 0 {
		s.mu.Unlock()
		return outcome(*e)
	}
	e.Hold, e.Phase = hex.EncodeToString(raw), protocol.Frozen
	s.mu.Unlock()
	if len(s.writable()) > 0 {
		left := time.Duration(end.Mono-s.host.Stamp().Mono) - guardMargin
		s.timers = append(s.timers, time.AfterFunc(left, func() {
			s.breakOff("deadline", func() { s.lose("helper", "the freeze's deadline came before the thaw", s.host.Stamp()) })
			s.insist()
		}))
	}
	return s.save()
}

// why prefers what broke the freeze to what the breaking looked like.
func (s *session) why(err error) error {
	s.mu.Lock()
	lost := len(s.rec.Evidence.Lost) > 0
	e := copyEvidence(s.rec.Evidence)
	s.mu.Unlock()
	switch {
	case s.work.Err() != nil:
		return s.ending()
	case lost:
		return outcome(e)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(fault.FreezeTimedOut, err, "freezing")
	}
	return err
}

func (s *session) arm(ctx context.Context, v *volume, end protocol.Stamp) error {
	ctx, cancel := context.WithTimeout(ctx, armBudget)
	defer cancel()
	if err := v.Arm(ctx, end); err != nil {
		return err
	}
	go func() {
		for sign := range v.Signs() {
			s.sign(v, sign)
		}
	}()
	return nil
}

func (s *session) freezeOne(ctx context.Context, v *volume) error {
	at := s.host.Stamp()
	s.mu.Lock()
	v.frozen = true
	s.rec.Evidence.Filesystems[v.index].FreezeAt = at
	s.mu.Unlock()
	span, err := v.Freeze(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.rec.Evidence.Filesystems[v.index]
	if err != nil {
		// A call that is still going on may yet freeze: the thaw is owed.
		v.frozen = errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
		return err
	}
	f.FreezeAt, f.FrozenAt = span.Began, span.Ended
	return nil
}

func (s *session) seeBlocked(ctx context.Context, v *volume) error {
	ctx, cancel := context.WithTimeout(ctx, blockBudget)
	defer cancel()
	at, err := v.Blocked(ctx)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return &fault.Error{Code: fault.FreezeRefused, Field: v.about.Mount, Message: "its tripwire was not seen blocked"}
		}
		return err
	}
	s.note(func(e *protocol.Evidence) { e.Filesystems[v.index].BlockedAt = at })
	return nil
}

// flush writes out what is dirty, round by round, until a round no longer
// writes much less than the one before.
func (s *session) flush(vols []*volume) error {
	ctx, cancel := context.WithTimeout(s.work, flushBudget)
	defer cancel()
	err := each(vols, func(v *volume) error {
		began := s.host.Stamp()
		var last int64
		for round := 1; round <= flushRounds; round++ {
			n, err := v.Flush(ctx)
			if err != nil {
				if errors.Is(err, context.DeadlineExceeded) {
					return fault.New(fault.FreezeTimedOut, "flushing %s takes longer than %v", v.about.Mount, flushBudget)
				}
				return err
			}
			s.note(func(e *protocol.Evidence) {
				p := &e.Filesystems[v.index].Presync
				p.Rounds, p.Bytes, p.Ms = round, p.Bytes+n, ms(began, s.host.Stamp())
			})
			if n < flushSmall || round > 1 && n > last/4*3 {
				break
			}
			last = n
		}
		return nil
	})
	if s.work.Err() != nil {
		return s.ending()
	}
	return err
}

// writable are the volumes that have something to hold, in freeze order.
func (s *session) writable() []*volume {
	var vols []*volume
	for _, v := range s.vols {
		if !v.about.ReadOnly {
			vols = append(vols, v)
		}
	}
	return vols
}

// layers groups volumes of equal depth: they do not stand on each other.
func layers(vols []*volume) [][]*volume {
	var out [][]*volume
	for i, v := range vols {
		if i == 0 || vols[i-1].about.Depth != v.about.Depth {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], v)
	}
	return out
}

// each does something to all volumes at once and returns the first error.
func each(vols []*volume, do func(*volume) error) error {
	errs := make([]error, len(vols))
	var wg sync.WaitGroup
	for i, v := range vols {
		wg.Go(func() { errs[i] = do(v) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func ms(from, to protocol.Stamp) float64 { return float64(to.Mono-from.Mono) / 1e6 }
