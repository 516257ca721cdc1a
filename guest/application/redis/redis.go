// Package redis holds a Redis server at rest, with all that it knows on disk.
//
// Writes are paused by the server itself, for a time that it counts itself, so
// that whatever dies they come back. What had been written then is seen on disk:
// in the append-only file where there is one, else in a snapshot file made
// meanwhile. The pause outlives the connection, and the server does not tell
// whether it is on; what proves it is that nothing was written.
package redis

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
const Kind = "redis"

const (
	defaultLimit = 10 * time.Second
	proofLimit   = 5 * time.Second // a server that runs answers at once
	poll         = 10 * time.Millisecond

	defaultHold = 6 * time.Minute // the longest deadline of a freeze, and what lies around it
)

// Adapter is one server for one session.
type Adapter struct {
	socket, optionFile string
	limit              time.Duration // until it is at rest
	longest            time.Duration // that the server pauses if nobody ends it
	journal            application.Journal

	client *client // nil unless a hold is attempted or stands
	undo   entry   // what is to be taken back; zero for nothing
	held   hold    // zero unless it stands
}

var _ application.New = New

// New makes the adapter. Without a socket it looks where distributions have it,
// then at the usual port of this machine. An option file is in the syntax of
// the server's own: unixsocket, port, username and requirepass are read.
func New(o protocol.Application, journal application.Journal) (application.Adapter, error) {
	a := &Adapter{socket: o.Socket, optionFile: o.OptionFile, journal: journal,
		limit: time.Duration(o.TimeoutSeconds) * time.Second, longest: time.Duration(o.HoldSeconds) * time.Second}
	if a.limit == 0 {
		a.limit = defaultLimit
	}
	if a.longest == 0 {
		a.longest = defaultHold
	}
	switch {
	case o.Mode != "":
		return nil, fault.Input("mode", "wants none, got %q", o.Mode)
	case a.limit < 0:
		return nil, fault.Input("timeoutSeconds", "wants none or more, got %d", o.TimeoutSeconds)
	case a.longest < 0:
		return nil, fault.Input("holdSeconds", "wants none or more, got %d", o.HoldSeconds)
	case a.socket != "" && !filepath.IsAbs(a.socket):
		return nil, fault.Input("socket", "wants an absolute path, got %q", a.socket)
	case a.optionFile != "" && !filepath.IsAbs(a.optionFile):
		return nil, fault.Input("optionFile", "wants an absolute path, got %q", a.optionFile)
	}
	return a, nil
}

// Look reports the server and the folder of its files.
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
	found := protocol.Server{Kind: Kind, Version: s.version, Replica: s.replica}
	if err := s.allow(); err != nil {
		return found, err
	}
	store, err := c.store(ctx, s)
	if err != nil {
		return found, err
	}
	found.Dirs = []string{store.dir}
	if s.replica {
		found.Warnings = append(found.Warnings, "this is a replica: the set holds what it had received")
	}
	if !s.aof {
		found.Warnings = append(found.Warnings, "there is no append-only file: writes pause as long as a snapshot file is written")
	}
	return found, nil
}

// Quiesce pauses all writes and sees on disk what was written before. Reads go
// on. What others have begun is waited for, before anything is paused.
func (a *Adapter) Quiesce(ctx context.Context) (application.Held, error) {
	c, err := a.connect(ctx)
	if err != nil {
		return application.Held{}, err
	}
	a.client = c
	ctx, cancel := context.WithTimeoutCause(ctx, a.limit, fault.New(fault.ApplicationBusy, "the server was not at rest after %v", a.limit))
	defer cancel()
	s, err := c.quiet(ctx)
	if err != nil {
		return application.Held{}, err
	}
	if s.paused != "" {
		return application.Held{}, fault.New(fault.ApplicationBusy, "somebody else pauses the server: %s", s.paused)
	}
	store, err := c.store(ctx, s)
	if err != nil {
		return application.Held{}, err
	}
	if !s.aof && s.saveTook > a.limit {
		return application.Held{}, fault.New(fault.ApplicationBusy,
			"writes would pause for a snapshot file, and the last one took %v: allow more than %v, or turn the append-only file on", s.saveTook, a.limit)
	}
	if err := a.pause(ctx, s); err != nil {
		return application.Held{}, err
	}
	// What was begun before the pause took hold is waited for under it.
	if s, err = c.quiet(ctx); err != nil {
		return application.Held{}, err
	}
	if err := c.persist(ctx, s, store); err != nil {
		return application.Held{}, err
	}
	if s, err = c.state(ctx); err != nil {
		return application.Held{}, err
	}
	a.held.state = s
	return application.Held{SessionID: c.session(s), Version: s.version}, nil
}

// StillHeld proves that the pause cannot have run out, that it is the same
// server, asked on the same connection, and that nothing was written to it
// since: neither data nor the files that hold it.
func (a *Adapter) StillHeld(ctx context.Context) error {
	if a.client == nil || a.held.state.run == "" {
		return fault.New(fault.HoldLost, "nothing is held")
	}
	if !time.Now().Before(a.held.until) {
		return fault.New(fault.HoldLost, "the pause has run out")
	}
	ctx, cancel := context.WithTimeout(ctx, proofLimit)
	defer cancel()
	s, err := a.client.state(ctx)
	if err != nil {
		return fault.Wrap(fault.HoldLost, err, "session %s does not answer", a.client.session(a.held.state))
	}
	if why := a.held.state.differs(s); why != "" {
		return fault.New(fault.HoldLost, "%s", why)
	}
	return nil
}

// Release ends the pause and restores the settings, on another connection if
// the one of the hold was lost: the pause does not end with it.
func (a *Adapter) Release(ctx context.Context) (map[string]string, error) {
	defer func() {
		if a.client != nil {
			a.client.close()
			a.client = nil
		}
		a.held = hold{}
	}()
	if a.undo.Run == "" {
		return nil, nil
	}
	if a.client != nil && a.client.restore(ctx, a.undo) == nil {
		a.undo = entry{}
		return nil, nil
	}
	err := a.takeBack(ctx, a.undo)
	if err == nil {
		a.undo = entry{}
	}
	return nil, err
}

// Undo takes back what the journal tells of, if the same server still runs: a
// new one has never heard of it.
func (a *Adapter) Undo(ctx context.Context, journal []byte) error {
	e, err := readEntry(journal)
	if err != nil || e.Run == "" {
		return err
	}
	return a.takeBack(ctx, e)
}

func (a *Adapter) takeBack(ctx context.Context, e entry) error {
	c, err := a.connect(ctx)
	if fault.CodeOf(err) == fault.ApplicationNotFound {
		return nil // a server that is gone has taken its pause along
	}
	if err != nil {
		return err
	}
	defer c.close()
	return c.restore(ctx, e)
}

// ID is the client id of the session, as CLIENT KILL ID wants it; empty if the
// session's id names none.
func ID(sessionID string) string {
	id, _, found := strings.Cut(sessionID, "/")
	if !found {
		return ""
	}
	return id
}
