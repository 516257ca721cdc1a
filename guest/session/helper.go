package session

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Helper answers the verbs on one machine. Make it inside the bubble when it
// is to run in virtual time.
type Helper struct {
	host Host
	opt  Options
	gate chan struct{} // holds one token: whoever has it may open, find or recover
	open *session      // under gate; nil or ended when none is open
}

// New makes a helper over a machine. It looks at nothing yet.
func New(host Host, opt Options) *Helper {
	return &Helper{host: host, opt: opt, gate: make(chan struct{}, 1)}
}

// Handle answers one request. It may be called concurrently; a verb under way
// for the same run is joined, not started again. When ctx ends the verb goes
// on and can be asked for again.
func (h *Helper) Handle(ctx context.Context, req protocol.Request) protocol.Reply {
	return h.Seal(req, h.handle(ctx, req))
}

// Seal completes a reply to req: who answers what, and when.
func (h *Helper) Seal(req protocol.Request, r protocol.Reply) protocol.Reply {
	r.Version, r.Verb, r.RunID, r.Now = protocol.Version, req.Verb, req.RunID, h.host.Stamp().Wall
	return r
}

func (h *Helper) handle(ctx context.Context, req protocol.Request) protocol.Reply {
	if err := Check(req); err != nil {
		return failed(err)
	}
	if req.Verb == protocol.DryRun {
		return h.dryRun(ctx, req)
	}
	s, reply := h.find(ctx, req)
	if s == nil {
		return reply
	}
	switch req.Verb {
	case protocol.Begin:
		return s.call(ctx, req, s.begin)
	case protocol.Freeze:
		return s.call(ctx, req, s.freeze)
	case protocol.Thaw:
		return s.call(ctx, req, s.thaw)
	case protocol.Probe:
		return s.probe()
	default:
		return s.reply(nil)
	}
}

// find returns the session that the request is for, or the whole reply.
func (h *Helper) find(ctx context.Context, req protocol.Request) (*session, protocol.Reply) {
	if err := h.enter(ctx); err != nil {
		return nil, failed(err)
	}
	defer h.leave()
	opens := req.Verb == protocol.Begin
	if s := h.current(); s != nil {
		if s.run == req.RunID {
			return s, protocol.Reply{}
		}
		if req.Verb != protocol.Thaw && req.Verb != protocol.Status {
			return nil, failed(busy(s.run))
		}
	} else if left, err := h.leftover(); err != nil {
		return nil, failed(err)
	} else if left != nil && (opens || req.Verb == protocol.Thaw && left.RunID == req.RunID) {
		if err := h.recover(ctx, *left); err != nil {
			reply := failed(err)
			if rec, rerr := h.record(req.RunID); rerr == nil && rec != nil {
				reply.Evidence = &rec.Evidence
			}
			return nil, reply
		}
	} else if left != nil && left.RunID != req.RunID && req.Verb != protocol.Status && req.Verb != protocol.Thaw {
		return nil, failed(busy(left.RunID))
	}
	rec, err := h.record(req.RunID)
	if err != nil {
		return nil, failed(err)
	}
	if rec != nil {
		return nil, recorded(*rec, req.Verb)
	}
	if !opens {
		return nil, h.unknown(req)
	}
	if err := Late(req, h.host.Stamp().Wall); err != nil {
		return nil, failed(err)
	}
	s, err := open(h.host, h.opt, req)
	if err != nil {
		return nil, failed(err)
	}
	h.open = s
	return s, protocol.Reply{}
}

// unknown answers for a run that nobody began here. A thaw is kept on record:
// the begin that it overtook must not open a session that nobody would end.
func (h *Helper) unknown(req protocol.Request) protocol.Reply {
	reply := failed(fault.New(fault.NoSession, "no session of run %s is known here", req.RunID))
	if req.Verb == protocol.Thaw {
		now := h.host.Stamp()
		_ = h.host.Save(Record{ // without it a late begin is left to its session's deadline
			RunID: req.RunID, OpenedAt: now, EndsAt: now,
			Evidence: protocol.Evidence{RunID: req.RunID, BootID: h.host.BootID(), Phase: protocol.Released},
			Replies:  map[protocol.Verb]protocol.Reply{protocol.Thaw: reply},
		})
	}
	return reply
}

// Recorded answers a verb of a run that has ended, from the records alone. The
// second result is false for any other run.
func (h *Helper) Recorded(req protocol.Request) (protocol.Reply, bool) {
	rec, err := h.record(req.RunID)
	if err != nil || rec == nil || !rec.Released() {
		return protocol.Reply{}, false
	}
	return h.Seal(req, recorded(*rec, req.Verb)), true
}

// Recover undoes what a dead predecessor left of a run, or of any run for "":
// it thaws what that froze, and only that, and releases the application. It
// does nothing when all is well. The predecessor must be known to be dead.
func (h *Helper) Recover(ctx context.Context, run string) error {
	if err := h.enter(ctx); err != nil {
		return err
	}
	defer h.leave()
	if h.current() != nil {
		return nil
	}
	left, err := h.leftover()
	if err != nil || left == nil || run != "" && run != left.RunID {
		return err
	}
	return h.recover(ctx, *left)
}

// End ends the open session as its deadline would, for a process that is told
// to go. It returns when all is thawed and released, or could not be.
func (h *Helper) End(ctx context.Context, reason string) {
	if h.enter(ctx) != nil {
		return
	}
	s := h.current()
	h.leave()
	if s != nil {
		s.expire(reason)
	}
}

// Ended returns a channel that is closed when the session of the run is over;
// nil when no such session is open.
func (h *Helper) Ended(ctx context.Context, run string) <-chan struct{} {
	if h.enter(ctx) != nil {
		return nil
	}
	defer h.leave()
	if s := h.current(); s != nil && s.run == run {
		return s.over
	}
	return nil
}

func (h *Helper) dryRun(ctx context.Context, req protocol.Request) protocol.Reply {
	if err := Late(req, h.host.Stamp().Wall); err != nil {
		return failed(err)
	}
	var ask protocol.DryRunRequest
	if req.DryRun != nil {
		ask = *req.DryRun
	}
	seen, err := h.host.Survey(ctx, ask)
	for _, m := range seen.Mounts {
		seen.Devices = append(seen.Devices, m.Device)
	}
	reply := failed(err)
	reply.DryRun = &seen
	switch {
	case ask.Application == nil || err != nil:
	case ask.Application.Kind == protocol.Auto:
		h.lookAtAll(ctx, *ask.Application, seen.Found)
	default:
		server, err := h.look(ctx, *ask.Application)
		if err != nil {
			seen.NoServer = protocol.FailureOf(err)
		} else {
			seen.Server = &server
		}
	}
	if left, lerr := h.leftover(); lerr == nil && left != nil && left.RunID != req.RunID {
		seen.ActiveRun = left.RunID
	}
	return reply
}

func (h *Helper) enter(ctx context.Context) error {
	select {
	case h.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, ctx.Err(), "another request is being dealt with")
	}
}

func (h *Helper) leave() { <-h.gate }

func (h *Helper) current() *session {
	if h.open != nil && h.open.isOver() {
		h.open = nil
	}
	return h.open
}

// leftover is the record of a run that is not over.
func (h *Helper) leftover() (*Record, error) {
	records, err := h.host.Records()
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "reading the records")
	}
	for i := range records {
		if !records[i].Released() {
			return &records[i], nil
		}
	}
	return nil, nil
}

func (h *Helper) record(run string) (*Record, error) {
	records, err := h.host.Records()
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "reading the records")
	}
	for i := range records {
		if records[i].RunID == run {
			return &records[i], nil
		}
	}
	return nil, nil
}

// recorded replays a verb of a run without a live session.
func recorded(rec Record, verb protocol.Verb) protocol.Reply {
	// A session whose process is dead holds nothing, whatever it answered once.
	if r, ok := rec.Replies[verb]; ok && rec.Released() {
		r.Replayed = true
		return r
	}
	r := protocol.Reply{Evidence: &rec.Evidence, Replayed: true}
	switch {
	case verb == protocol.Status:
		r.Replayed = false
	case verb == protocol.Thaw && rec.Released():
		r.Error = protocol.FailureOf(outcome(rec.Evidence))
	case verb == protocol.Probe:
		r.Replayed = false
		r.Error = protocol.FailureOf(fault.New(fault.HoldLost, "the session of run %s has ended", rec.RunID))
	default:
		r.Error = protocol.FailureOf(fault.New(fault.NoSession, "the session of run %s has ended", rec.RunID))
	}
	return r
}

// outcome is what a thaw has to answer for a session that is over.
func outcome(e protocol.Evidence) error {
	for _, f := range e.Filesystems {
		if f.Thaw != "" && f.Thaw != thawOK && f.Thaw != thawNotFrozen {
			return &fault.Error{Code: fault.ThawFailed, Field: f.Mount, Message: f.Thaw}
		}
	}
	if len(e.Lost) > 0 {
		l := e.Lost[0]
		return &fault.Error{Code: fault.HoldLost, Field: l.Subject, Message: l.Message}
	}
	switch a := e.Application; {
	case a == nil:
	case a.Post != nil && (a.Post.TimedOut || a.Post.ExitCode != 0):
		code := fault.ScriptFailed
		if a.Post.TimedOut {
			code = fault.ScriptTimedOut
		}
		return &fault.Error{Code: code, Field: "postScript", Message: "the post script did not succeed"}
	case a.Kind != "script" && a.ReleasedAt.IsZero() && a.Error != nil:
		return &fault.Error{Code: a.Error.Code, Field: "application", Message: "it was not released: " + a.Error.Message}
	}
	return nil
}

func busy(run string) error {
	return &fault.Error{Code: fault.RunInProgress, Field: run, Message: "a session of another run is open"}
}

func failed(err error) protocol.Reply { return protocol.Reply{Error: protocol.FailureOf(err)} }

func after(s protocol.Stamp, d time.Duration) protocol.Stamp {
	return protocol.Stamp{Mono: s.Mono + int64(d), Wall: s.Wall.Add(d)}
}
