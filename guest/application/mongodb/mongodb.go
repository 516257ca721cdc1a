// Package mongodb holds a mongod by its fsync lock, under which nobody writes
// and all that was written is on disk.
//
// The lock belongs to the server and not to a connection: it stays whatever dies,
// until it was taken back as often as it was taken. So the journal knows of it
// first, whoever undoes takes it back once and no more, and only from the very
// process that gave it. That it held is proved by the connection and the process
// that it was had from, and by nothing having been written since.
package mongodb

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Kind is how a policy names this adapter.
const Kind = "mongodb"

const (
	attempt      = 2 * time.Second // that the lock may be waited for at once: so long writers queue behind it
	breath       = time.Second     // between two attempts, for those who queued
	defaultLimit = 10 * time.Second
	proofLimit   = 5 * time.Second // a server that runs answers at once
	poll         = 20 * time.Millisecond
)

// Adapter is one server for one session.
type Adapter struct {
	socket, optionFile string
	limit              time.Duration // until the lock is had
	journal            application.Journal

	client *client // nil unless a hold is attempted or stands
	undo   entry   // what is to be taken back; zero for nothing
	held   state   // zero unless the hold stands
	gone   bool    // the lock was seen to be ours no longer
}

var _ application.New = New

// New makes the adapter. Without a socket it takes the usual port of this
// machine. An option file is as MongoDB's own tools read it by --config, with
// uri and password.
func New(o protocol.Application, journal application.Journal) (application.Adapter, error) {
	a := &Adapter{socket: o.Socket, optionFile: o.OptionFile, journal: journal, limit: time.Duration(o.TimeoutSeconds) * time.Second}
	if a.limit == 0 {
		a.limit = defaultLimit
	}
	switch {
	case o.Mode != "":
		return nil, fault.Input("application.mode", "wants none, got %q", o.Mode)
	case a.limit < 0:
		return nil, fault.Input("application.timeoutSeconds", "wants none or more, got %d", o.TimeoutSeconds)
	case a.socket != "" && (!filepath.IsAbs(a.socket) || !strings.HasSuffix(a.socket, ".sock")):
		return nil, fault.Input("application.socket", "wants an absolute path that ends in .sock, got %q", a.socket)
	case a.optionFile != "" && !filepath.IsAbs(a.optionFile):
		return nil, fault.Input("application.optionFile", "wants an absolute path, got %q", a.optionFile)
	}
	return a, nil
}

// Look reports the server and the folders of its files.
func (a *Adapter) Look(ctx context.Context) (protocol.Server, error) {
	c, err := a.connect(ctx)
	if err != nil {
		return protocol.Server{}, err
	}
	defer c.close()
	s, err := c.state(ctx)
	if err != nil {
		return protocol.Server{}, err
	}
	found := protocol.Server{Kind: Kind, Version: s.version, Replica: s.secondary}
	if err := s.allow(); err != nil {
		return found, err
	}
	kept, err := c.kept(ctx)
	if err != nil {
		return found, err
	}
	found.Dirs, found.Warnings = kept.dirs, kept.warnings
	if s.secondary {
		found.Warnings = append(found.Warnings, "the server is a secondary: it falls behind by as long as it is held, and the set holds what it had received")
	}
	return found, nil
}

// Quiesce takes the lock, in short attempts: who waits for it holds up all who
// write, so that one long wait would be an outage.
func (a *Adapter) Quiesce(ctx context.Context) (application.Held, error) {
	c, err := a.connect(ctx)
	if err != nil {
		return application.Held{}, err
	}
	a.client, a.gone = c, false
	s, err := c.state(ctx)
	if err == nil {
		err = s.allow()
	}
	if err == nil {
		_, err = c.kept(ctx)
	}
	if err != nil {
		return application.Held{}, err
	}
	for began := time.Now(); ; {
		err := a.lock(ctx, s)
		if err == nil {
			break
		}
		waited := time.Since(began)
		// An attempt of which nobody knows how it ended is not repeated.
		if fault.CodeOf(err) != fault.ApplicationBusy || a.undo.Process != "" || waited >= a.limit {
			return application.Held{}, fault.Wrap(fault.CodeOf(err), err, "the lock was not had in %v", waited.Round(time.Millisecond))
		}
		select {
		case <-time.After(breath):
		case <-ctx.Done():
			return application.Held{}, fault.Wrap(fault.ApplicationBusy, err, "waiting for the lock was broken off")
		}
	}
	return application.Held{SessionID: a.held.session(), Version: s.version}, nil
}

// StillHeld proves that the same process answers on the same connection, that it
// is locked, and that nothing was written to it since.
func (a *Adapter) StillHeld(ctx context.Context) error {
	if a.client == nil || a.held.process == "" {
		return fault.New(fault.HoldLost, "nothing is held")
	}
	s, err := a.client.state(ctx)
	if err != nil {
		return fault.Wrap(fault.HoldLost, err, "session %s does not answer", a.held.session())
	}
	running, err := a.client.running(ctx)
	if err != nil {
		return fault.Wrap(fault.HoldLost, err, "session %s does not tell whether it is locked", a.held.session())
	}
	switch {
	case s.process != a.held.process:
		return fault.New(fault.HoldLost, "the server was restarted")
	case !running.locked:
		a.gone = true
		return fault.New(fault.HoldLost, "somebody else has unlocked the server")
	case s.written != a.held.written:
		a.gone = true
		return fault.New(fault.HoldLost, "the server wrote to its log of operations at %s, and last before at %s", s.written, a.held.written)
	case s.changed != a.held.changed:
		return fault.New(fault.HoldLost, "documents were changed: %s, then %s", a.held.changed, s.changed)
	case s.connection != a.held.connection:
		return fault.New(fault.HoldLost, "session %s answers as %s", a.held.session(), s.session())
	}
	return nil
}

// Release takes the lock back, on another connection if the one of the hold was
// lost: it does not end with it.
func (a *Adapter) Release(ctx context.Context) (map[string]string, error) {
	defer func() {
		if a.client != nil {
			a.client.close()
			a.client = nil
		}
		a.held = state{}
	}()
	if a.undo.Process == "" {
		return nil, nil
	}
	if a.gone {
		return nil, a.forget()
	}
	if a.client != nil && a.client.unlock(ctx, a.undo) == nil {
		return nil, a.forget()
	}
	err := a.takeBack(ctx, a.undo)
	if err == nil {
		err = a.forget()
	}
	return nil, err
}

// Undo takes back what the journal tells of, if the same process still runs: a
// new one has never heard of it.
func (a *Adapter) Undo(ctx context.Context, journal []byte) error {
	e, err := readEntry(journal)
	if err != nil || e.Process == "" {
		return err
	}
	if err := a.takeBack(ctx, e); err != nil {
		return err
	}
	return a.forget()
}

func (a *Adapter) takeBack(ctx context.Context, e entry) error {
	c, err := a.connect(ctx)
	if fault.CodeOf(err) == fault.ApplicationNotFound {
		return nil // a server that is gone has taken its lock along
	}
	if err != nil {
		return err
	}
	defer c.close()
	return c.unlock(ctx, e)
}
