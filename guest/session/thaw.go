package session

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

const (
	thawBudget  = 5 * time.Second
	thawStep    = 250 * time.Millisecond // how long one that hangs holds up those beneath it
	expireTries = 120

	thawOK        = "ok"
	thawNotFrozen = "not-frozen"
)

// thaw ends the session: hold, application, guards, in this order.
func (s *session) thaw(req protocol.Request) error {
	var ask protocol.ThawRequest
	if req.Thaw != nil {
		ask = *req.Thaw
	}
	s.stop(errEnding)
	s.enter(context.Background())
	defer s.leave()
	return s.end(ask.Reason, ask.CallEnded)
}

// expire ends the session unasked, and keeps trying.
func (s *session) expire(reason string) {
	s.stop(errEnding)
	for try := range expireTries {
		if s.expired(reason, try == 0) {
			return
		}
		time.Sleep(thawBudget)
	}
}

// expired reports that the session has ended. The turn is left even by a
// goroutine that ends inside it: others wait for that.
func (s *session) expired(reason string, first bool) bool {
	s.enter(context.Background())
	defer s.leave()
	if s.phase() == protocol.Released {
		return true
	}
	if first {
		s.note(func(e *protocol.Evidence) { e.AutoThawed = true })
		s.lose("helper", "the session ended unasked: "+reason, s.host.Stamp())
	}
	if fault.CodeOf(s.end(reason, "")) == fault.ThawFailed {
		return false
	}
	s.finish()
	return true
}

// breakOff ends the hold but not the session: the application is let go by the
// thaw or the session's end. Whatever is noted comes before the thaw.
func (s *session) breakOff(reason string, noted func()) {
	s.enter(context.Background())
	defer s.leave()
	s.mu.Lock()
	moot := s.letGo || s.rec.Evidence.Phase != protocol.Frozen
	s.mu.Unlock()
	if moot {
		return
	}
	noted()
	if reason == "deadline" {
		s.note(func(e *protocol.Evidence) { e.AutoThawed = true })
	}
	s.letLoose(protocol.ThawEvidence{Reason: reason})
	s.save()
}

// insist thaws at the deadline what a thaw before it was refused for, and keeps
// trying: the guard behind that may be dead.
func (s *session) insist() {
	for range expireTries {
		if s.thawOwed() {
			return
		}
		time.Sleep(thawBudget)
	}
}

// thawOwed reports that nothing is owed any more.
func (s *session) thawOwed() bool {
	s.enter(context.Background())
	defer s.leave()
	if len(s.owed()) == 0 {
		return true
	}
	_ = s.thawAll()
	s.save()
	return len(s.owed()) == 0
}

// sign deals with what happened to a volume unasked.
func (s *session) sign(v *volume, sign Sign) {
	s.mu.Lock()
	if s.letGo {
		if sign.Kind == GuardFired {
			s.rec.Evidence.Filesystems[v.index].GuardFired = true
		}
		s.mu.Unlock()
		return
	}
	f := &s.rec.Evidence.Filesystems[v.index]
	loss := protocol.Loss{Code: fault.HoldLost, Subject: v.about.Mount, At: sign.At}
	reason := "guard"
	switch sign.Kind {
	case Tripped:
		reason = "hold-lost"
		loss.Message = "the tripwire got through: somebody else thawed it"
	case GuardFired:
		f.GuardFired, s.rec.Evidence.AutoThawed = true, true
		loss.Message = "its guard thawed it"
		if sign.Thaw != nil {
			thawed(f, *sign.Thaw, nil)
		}
	case GuardDied:
		loss.Message = "its guard died"
	case Blind:
		reason, loss.Message = "hold-lost", "its tripwire failed"
	}
	s.rec.Evidence.Lost = append(s.rec.Evidence.Lost, loss)
	retreat := s.retreat
	s.mu.Unlock()
	if retreat != nil {
		retreat() // the freeze in progress undoes itself
	}
	go s.breakOff(reason, func() {})
}

// end thaws, releases and closes. On ThawFailed the session stays open: the
// guards keep trying, and so may the caller.
func (s *session) end(reason, callEnded string) error {
	if s.phase() == protocol.Released {
		return outcome(*s.reply(nil).Evidence)
	}
	if reason == "" {
		reason = "unsaid"
	}
	thawErr := s.letLoose(protocol.ThawEvidence{Reason: reason, CallEnded: callEnded})
	s.release(thawErr == nil)
	if thawErr != nil {
		s.save()
		return thawErr
	}
	if err := s.newcomers(context.Background()); err != nil {
		s.lose("helper", "nobody could look what was mounted meanwhile: "+err.Error(), s.host.Stamp())
	}
	s.closeVolumes()
	for _, t := range s.timers {
		t.Stop()
	}
	s.note(func(e *protocol.Evidence) { e.Phase = protocol.Released })
	s.save()
	return outcome(*s.reply(nil).Evidence)
}

// letLoose ends the hold, once: the first to do so is who ended it. Each
// tripwire is looked at before anything is thawed.
func (s *session) letLoose(by protocol.ThawEvidence) error {
	s.mu.Lock()
	first := !s.letGo
	held := s.rec.Evidence.Phase == protocol.Frozen
	s.mu.Unlock()
	if first && held {
		for _, v := range s.writable() {
			s.seeHeld(v)
		}
	}
	s.mu.Lock()
	s.letGo = true
	if s.rec.Evidence.Thaw == nil {
		by.At = s.host.Stamp()
		s.rec.Evidence.Thaw = &by
	}
	s.rec.Evidence.Phase = protocol.Thawing
	s.mu.Unlock()
	return s.thawAll()
}

// undo takes back a freeze that failed; the session stays quiesced.
func (s *session) undo() error {
	s.mu.Lock()
	s.letGo = true
	s.mu.Unlock()
	err := s.thawAll()
	if err == nil {
		s.closeVolumes()
		s.note(func(e *protocol.Evidence) { e.Phase = protocol.Quiesced })
	}
	return err
}

func (s *session) seeHeld(v *volume) {
	held, at := v.Held(), s.host.Stamp()
	s.mu.Lock()
	known := lostOf(s.rec.Evidence, v.about.Mount)
	if held && !known {
		s.rec.Evidence.Filesystems[v.index].HeldAt = at
	}
	s.mu.Unlock()
	if !held && !known {
		s.lose(v.about.Mount, "the tripwire was not blocked any more", at)
	}
}

// thawAll thaws in reverse, outer before inner. One that hangs does not hold
// up the others for long.
func (s *session) thawAll() error {
	groups := layers(s.owed())
	var before <-chan struct{}
	errs := make(chan error, len(s.vols))
	n := 0
	for i := len(groups) - 1; i >= 0; i-- {
		group, turn, done := groups[i], before, make(chan struct{})
		n++
		go func() {
			defer close(done)
			if turn != nil {
				select {
				case <-turn:
				case <-time.After(thawStep):
				}
			}
			errs <- each(group, s.thawOne)
		}()
		before = done
	}
	var first error
	for ; n > 0; n-- {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	s.measure()
	return first
}

// owed are the volumes that are ours to thaw, in freeze order.
func (s *session) owed() []*volume {
	s.mu.Lock()
	defer s.mu.Unlock()
	var vols []*volume
	for _, v := range s.vols {
		if v.frozen {
			vols = append(vols, v)
		}
	}
	return vols
}

func (s *session) thawOne(v *volume) error {
	ctx, cancel := context.WithTimeout(context.Background(), thawBudget)
	defer cancel()
	s.note(func(e *protocol.Evidence) { e.Filesystems[v.index].ThawAt = s.host.Stamp() })
	t, err := v.Thaw(ctx)
	if err != nil {
		err = &fault.Error{Code: fault.ThawFailed, Field: v.about.Mount, Message: "not thawed yet", Cause: err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.rec.Evidence.Filesystems[v.index]
	thawed(f, t, err)
	if err != nil {
		return err
	}
	v.frozen = false
	// In an undo nothing was held yet, hence nothing can be lost.
	f.GuardFired = f.GuardFired || t.ByGuard
	s.rec.Evidence.AutoThawed = s.rec.Evidence.AutoThawed || t.ByGuard
	if (!t.WasFrozen || t.ByGuard) && s.rec.Evidence.Hold != "" && !lostOf(s.rec.Evidence, v.about.Mount) {
		s.rec.Evidence.Lost = append(s.rec.Evidence.Lost, protocol.Loss{
			Code: fault.HoldLost, Subject: v.about.Mount, At: t.Ended,
			Message: "it was not frozen any more when it was to be thawed"})
	}
	return nil
}

// lostOf reports whether the loss of this mount's hold is on record already.
func lostOf(e protocol.Evidence, mount string) bool {
	return slices.ContainsFunc(e.Lost, func(l protocol.Loss) bool { return l.Subject == mount })
}

func thawed(f *protocol.FilesystemEvidence, t Thawed, err error) {
	switch {
	case err != nil:
		f.Thaw = fmt.Sprint(err)
		return
	case t.WasFrozen:
		f.Thaw = thawOK
	default:
		f.Thaw = thawNotFrozen
	}
	f.ThawAt, f.ThawedAt = t.Began, t.Ended
}

// measure is the frozen window: first freeze succeeded to last thaw done.
func (s *session) measure() {
	s.note(func(e *protocol.Evidence) { e.FrozenMs = frozenMs(*e) })
}

func frozenMs(e protocol.Evidence) float64 {
	var from, to protocol.Stamp
	for _, f := range e.Filesystems {
		if !f.FrozenAt.IsZero() && (from.IsZero() || f.FrozenAt.Mono < from.Mono) {
			from = f.FrozenAt
		}
		if f.ThawedAt.Mono > to.Mono {
			to = f.ThawedAt
		}
	}
	if from.IsZero() || to.Mono < from.Mono {
		return 0
	}
	return ms(from, to)
}

func (s *session) closeVolumes() {
	for _, v := range s.vols {
		v.Close()
	}
	s.mu.Lock()
	s.vols = nil
	s.mu.Unlock()
}
