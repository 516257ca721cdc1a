//go:build linux

// Package recovery brings a set's disks to life on the machine to which they
// were attached: their filesystems are found, checked and mounted beside what
// is there already, a second server recovers on them, and the user's own check
// looks at it. All that it does is on record before it is done, and is undone
// in reverse when it fails, by the next one if this process dies.
package recovery

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/guest/linux"
	"github.com/quiesce/quiesce/guest/script"
	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Recovery is what recovers on this machine.
type Recovery struct {
	linux.State
	Scripts    script.Rules
	Recoverers map[string]application.Recoverer // by the kind of server

	// Patience is how long a disk may take to show up and a mount to be let
	// go; 30 seconds if it is 0.
	Patience time.Duration

	// Root is under which /sys and /proc are read, Node finds the device
	// behind a name, tool runs programs; tests have their own.
	Root string
	Node func(name string) (device, number string, err error)
	tool tool
}

// lockName is that of the lock under which one recovery works at a time.
const lockName = "recovery"

// undoLimit is how long it may take to take everything away again.
const undoLimit = 2 * time.Minute

// work is one recovery under way.
type work struct {
	*Recovery
	req       *protocol.RecoverRequest
	run       string
	short     string // names what is made, so that two recoveries never meet
	journal   *journal
	copies    []*copied // all that was found on the disks
	mountable []*copied // those that are filesystems, in mounting order
	reply     *protocol.RecoverReply
}

func (w *work) record(s step) error { return w.journal.record(s) }

func (w *work) problem(format string, args ...any) {
	w.reply.Problems = append(w.reply.Problems, shorten(fmt.Sprintf(format, args...)))
}

func (w *work) note(format string, args ...any) {
	if text := shorten(fmt.Sprintf(format, args...)); !slices.Contains(w.reply.Notes, text) {
		w.reply.Notes = append(w.reply.Notes, text)
	}
}

// Check refuses a request of the verbs of a recovery that is not well formed.
func (r *Recovery) Check(req protocol.Request) error {
	if err := session.CheckHead(req); err != nil || req.Verb != protocol.Recover {
		return err
	}
	return r.check(req.Recover)
}

// Handle does what one request asks for. Asked again, it replays its answer; a
// second one that comes while the first is under way waits for it.
func (r *Recovery) Handle(ctx context.Context, req protocol.Request) protocol.Reply {
	r.defaults()
	reply := protocol.Reply{Version: protocol.Version, Verb: req.Verb, RunID: req.RunID}
	err := r.handle(ctx, req, &reply)
	if reply.Error == nil {
		reply.Error = protocol.FailureOf(err)
	}
	reply.Now = time.Now().UTC()
	return reply
}

func (r *Recovery) defaults() {
	if r.Patience == 0 {
		r.Patience = 30 * time.Second
	}
	if r.Root == "" {
		r.Root = "/"
	}
	if r.Node == nil {
		r.Node = node
	}
	if r.tool == nil {
		r.tool = run
	}
}

func (r *Recovery) handle(ctx context.Context, req protocol.Request, reply *protocol.Reply) error {
	// The shell that starts the helper lets nobody else see what it makes; the
	// server's account has to walk through some of it.
	defer unix.Umask(unix.Umask(0o022))
	if err := session.Late(req, time.Now()); err != nil && req.Verb == protocol.Recover {
		return err
	}
	if err := r.Check(req); err != nil {
		return err
	}
	wait := undoLimit
	if req.Recover != nil {
		wait = time.Duration(req.Recover.TimeoutSeconds) * time.Second
	}
	unlock, err := r.Lock(lockName, wait)
	if err != nil {
		return fault.Wrap(fault.RunInProgress, err, "another recovery is under way")
	}
	defer unlock()
	j, err := r.open(req.RunID)
	if err != nil {
		return err
	}
	if req.Verb == protocol.Unmount {
		return r.forget(ctx, j)
	}
	if j.Reply != nil {
		*reply = *j.Reply
		reply.Replayed = true
		return nil
	}
	if err := session.Late(req, time.Now()); err != nil { // the wait may have been long
		return err
	}
	if err := r.leftovers(ctx, j); err != nil {
		return err
	}
	answer, err := r.recover(ctx, req, j)
	reply.Recover, reply.Error = answer, protocol.FailureOf(err)
	if err != nil {
		return nil // so that it can be asked for again, once what was wrong is mended
	}
	j.Reply = reply
	return j.save()
}

// forget takes away all that a recovery left, and its journal with it. What
// was never there is gone.
func (r *Recovery) forget(ctx context.Context, j *journal) error {
	if err := r.undo(ctx, j, nil); err != nil {
		return err
	}
	os.Remove(j.path)
	return nil
}

// recover does the work, and undoes it unless it is to be kept and succeeded.
func (r *Recovery) recover(ctx context.Context, req protocol.Request, j *journal) (*protocol.RecoverReply, error) {
	began := time.Now()
	limit := time.Duration(req.Recover.TimeoutSeconds) * time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fault.New(fault.RestoreTimedOut, "it was not done after %v", limit))
	defer cancel()
	w := &work{
		Recovery: r, req: req.Recover, run: req.RunID, journal: j,
		short: fmt.Sprintf("%x", sha256.Sum256([]byte(req.RunID)))[:8],
		reply: &protocol.RecoverReply{Filesystems: []protocol.Recovered{}},
	}
	err := w.do(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	// What was kept stays on record; all else has to go, also when time is up.
	var only func(step) bool
	if err == nil && w.req.Keep {
		only = func(s step) bool { return s.Kind == room || s.Kind == point }
	}
	ending, end := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer end()
	if left := r.undo(ending, j, only); left != nil {
		w.problem("not all of it could be taken away again: %v", left)
		if err == nil {
			err = left
		}
	}
	w.tell()
	w.reply.Seconds = time.Since(began).Seconds()
	return w.reply, err
}

// do finds the disks where everybody sees them; a test goes on where nobody
// does.
func (w *work) do(ctx context.Context) error {
	if err := w.find(ctx); err != nil {
		return err
	}
	if err := w.assemble(ctx); err != nil {
		return err
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	if w.req.Keep {
		if err := w.mountAll(ctx); err != nil {
			return err
		}
		return apart(func() error { return w.serve(ctx) })
	}
	if err := w.folder(w.req.At); err != nil {
		return fault.Wrap(fault.Internal, err, "making %s", w.req.At)
	}
	return apart(func() (err error) {
		defer func() {
			// Before the thread ends, so that it is seen whether it worked.
			ending, end := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
			defer end()
			if left := w.undo(ending, w.journal, func(s step) bool { return s.Kind == mounted }); left != nil && err == nil {
				err = left
			}
		}()
		if err := w.mountAll(ctx); err != nil {
			return err
		}
		return deeper(func() error { return w.serve(ctx) })
	})
}

func (w *work) mountAll(ctx context.Context) error {
	for _, c := range w.mountable {
		if err := w.revive(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// tell puts what was found into the reply, in the order of the disks.
func (w *work) tell() {
	for _, c := range w.copies {
		t := c.told
		t.Origin, t.Device, t.Type, t.UUID, t.Was = c.origin(), c.device, c.kind, c.uuid, c.was
		w.reply.Filesystems = append(w.reply.Filesystems, t)
	}
}

// room is where the server has its socket and log: beside the state folder,
// because that one is closed to all accounts but root's.
func (w *work) room() (string, error) {
	above := w.Dir + ".recovery"
	if err := os.Mkdir(above, 0o711); err != nil && !os.IsExist(err) {
		return "", fault.Wrap(fault.Internal, err, "making the server's room")
	}
	fi, err := os.Lstat(above)
	if err != nil || !fi.IsDir() || !linux.Own(fi) || fi.Mode().Perm()&0o022 != 0 {
		return "", fault.New(fault.Internal, "%s is not a folder of our own", above)
	}
	at := filepath.Join(above, w.short)
	if err := w.record(step{Kind: room, Path: at}); err != nil {
		return "", err
	}
	if err := os.Mkdir(at, 0o711); err != nil {
		return "", fault.Wrap(fault.Internal, err, "making the server's room")
	}
	return at, nil
}
