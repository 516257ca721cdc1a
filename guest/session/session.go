package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

var errEnding = errors.New("the session is being ended")

// session is one run's hold on the machine, from begin to release.
type session struct {
	host Host
	opt  Options
	run  string
	over chan struct{} // closed when nothing is left to do
	act  chan struct{} // one token: begin, freeze and the end take turns
	work context.Context
	stop context.CancelCauseFunc // ends begin's and freeze's work

	app    application.Adapter // under act; nil when there is none to release
	vols   []*volume           // under act; in freeze order
	timers []*time.Timer

	mu      sync.Mutex // never held while anything blocks
	rec     Record
	calls   map[protocol.Verb]*call
	letGo   bool               // the hold is being ended: signs mean nothing any more
	retreat context.CancelFunc // ends a freeze in progress; nil when none is
}

// volume is one filesystem with its place in the evidence.
type volume struct {
	Volume
	about  About
	index  int
	frozen bool // under session.mu: it is, or may yet be, ours to thaw
}

type call struct {
	done  chan struct{}
	reply protocol.Reply
}

func open(host Host, opt Options, req protocol.Request) (*session, error) {
	now := host.Stamp()
	s := &session{
		host: host, opt: opt, run: req.RunID,
		over:  make(chan struct{}),
		act:   make(chan struct{}, 1),
		calls: map[protocol.Verb]*call{},
	}
	s.work, s.stop = context.WithCancelCause(context.Background())
	life := time.Duration(req.Begin.SessionSeconds) * time.Second
	s.rec = Record{
		RunID: req.RunID, OpenedAt: now, EndsAt: after(now, life), Begin: *req.Begin,
		Evidence: protocol.Evidence{RunID: req.RunID, BootID: host.BootID(), Phase: protocol.Opening},
		Replies:  map[protocol.Verb]protocol.Reply{},
	}
	if err := host.Save(s.rec); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "opening the record")
	}
	s.timers = append(s.timers, time.AfterFunc(life, func() { s.expire("deadline") }))
	return s, nil
}

// call runs a verb once and gives its reply to everybody who asks for it.
func (s *session) call(ctx context.Context, req protocol.Request, do func(protocol.Request) error) protocol.Reply {
	s.mu.Lock()
	c, again := s.calls[req.Verb]
	if !again {
		c = &call{done: make(chan struct{})}
		s.calls[req.Verb] = c
	}
	s.mu.Unlock()
	if !again {
		go func() {
			defer close(c.done)
			err := do(req)
			c.reply = s.reply(err)
			s.keep(req.Verb, c, err)
		}()
	}
	select {
	case <-c.done:
		r := c.reply
		r.Replayed = again
		return r
	case <-ctx.Done():
		return failed(fault.Wrap(fault.Unavailable, context.Cause(ctx), "%s is still under way", req.Verb))
	}
}

// keep records a verb's reply for replay. A thaw that could not thaw is tried
// anew when it is asked for again.
func (s *session) keep(verb protocol.Verb, c *call, err error) {
	s.mu.Lock()
	if verb == protocol.Thaw && s.rec.Evidence.Phase != protocol.Released {
		delete(s.calls, verb)
	} else {
		s.rec.Replies[verb] = c.reply
	}
	s.mu.Unlock()
	s.save()
	if s.phase() == protocol.Released {
		s.finish()
	}
}

// reply is the state of things with an error.
func (s *session) reply(err error) protocol.Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := copyEvidence(s.rec.Evidence)
	return protocol.Reply{Error: protocol.FailureOf(err), Evidence: &e}
}

func (s *session) probe() protocol.Reply {
	s.mu.Lock()
	phase, broken := s.rec.Evidence.Phase, len(s.rec.Evidence.Lost) > 0
	var vols []*volume
	if phase == protocol.Frozen && !s.letGo {
		vols = append(vols, s.vols...)
	}
	s.mu.Unlock()
	switch {
	case broken:
		return s.reply(outcome(*s.reply(nil).Evidence))
	case phase != protocol.Frozen:
		return s.reply(fault.New(fault.HoldLost, "nothing is frozen by run %s: it is %s", s.run, phase))
	}
	for _, v := range vols {
		if !v.about.ReadOnly && !v.Held() {
			return s.reply(&fault.Error{Code: fault.HoldLost, Field: v.about.Mount, Message: "the tripwire is not blocked any more"})
		}
	}
	return s.reply(nil)
}

// enter takes the turn. Who waits for it with the work's context gives up when
// the session is being ended.
func (s *session) enter(ctx context.Context) error {
	select {
	case s.act <- struct{}{}:
		return nil
	case <-ctx.Done():
		return s.ending()
	}
}

func (s *session) leave() { <-s.act }

func (s *session) ending() error {
	return fault.Wrap(fault.NoSession, context.Cause(s.work), "run %s", s.run)
}

func (s *session) isOver() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}

func (s *session) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.over:
	default:
		close(s.over)
	}
}

func (s *session) phase() protocol.Phase {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rec.Evidence.Phase
}

// note changes the record; save makes it last.
func (s *session) note(change func(*protocol.Evidence)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.rec.Evidence)
}

// save writes the record. Its failure must not stop a thaw: the session goes
// on in memory, and the next save says what this one would have.
func (s *session) save() error {
	s.mu.Lock()
	rec := s.rec
	rec.Evidence = copyEvidence(rec.Evidence)
	rec.Replies = make(map[protocol.Verb]protocol.Reply, len(s.rec.Replies))
	for v, r := range s.rec.Replies {
		rec.Replies[v] = r
	}
	s.mu.Unlock()
	return fault.Wrap(fault.Internal, s.host.Save(rec), "saving the record")
}

func (s *session) lose(subject, message string, at protocol.Stamp) {
	s.note(func(e *protocol.Evidence) {
		e.Lost = append(e.Lost, protocol.Loss{Code: fault.HoldLost, Subject: subject, Message: message, At: at})
	})
}

func copyEvidence(e protocol.Evidence) protocol.Evidence {
	e.Filesystems = append([]protocol.FilesystemEvidence(nil), e.Filesystems...)
	e.Lost = append([]protocol.Loss(nil), e.Lost...)
	if e.Application != nil {
		a := *e.Application
		e.Application = &a
	}
	if e.Thaw != nil {
		t := *e.Thaw
		e.Thaw = &t
	}
	return e
}
