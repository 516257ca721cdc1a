// Package postgresql holds a PostgreSQL server for one atomic set.
//
// PostgreSQL has no lock that stops commits, and needs none: a set that is one
// point in time across data, WAL and tablespaces is what a power cut leaves,
// and the server recovers from it to its last commit. The freeze makes the
// point in time; this package makes the recovery short, and sees that one and
// the same server ran from before it until after. That is all that an
// application hold of PostgreSQL means here: no transaction in flight is waited
// for, and unlogged tables are empty after the restore, as after any crash.
package postgresql

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Kind is how a policy names this adapter.
const Kind = "postgresql"

// Modes of a hold.
const (
	// Checkpoint writes everything out, so that the recovery is short, and
	// proves it by the control file.
	Checkpoint = "checkpoint"

	// Backup holds an online backup in one session, from which a base for
	// point-in-time recovery comes: its backup_label is what Release returns.
	// The label demands the WAL up to the backup's end, which is written after
	// the set was taken: put it in place only with an archive to restore from.
	// Without it the set recovers by itself, as it does in the other mode.
	Backup = "backup"
)

const (
	oldest, newest = 12, 17 // major versions whose functions are known
	exclusiveGone  = 15     // from here on: other names, no exclusive backups

	defaultLimit = 10 * time.Second
	proofLimit   = 5 * time.Second  // a server that runs answers at once
	stopLimit    = 10 * time.Second // never waits for the archive
)

// Adapter is one server for one session. Its hold dies with its connection,
// hence it keeps no journal and has nothing to undo.
type Adapter struct {
	socket, optionFile, mode string
	limit                    time.Duration // of the checkpoint

	session *session // nil unless a hold is attempted or stands
	files   map[string]string
}

var _ application.New = New

// New makes the adapter. The socket is a socket's file or its folder; empty
// takes the only one in the usual folder. An option file is a service file of
// PostgreSQL's own with a section [quiesce].
func New(o protocol.Application, _ application.Journal) (application.Adapter, error) {
	a := &Adapter{socket: o.Socket, optionFile: o.OptionFile, mode: o.Mode, limit: time.Duration(o.TimeoutSeconds) * time.Second}
	if a.mode == "" {
		a.mode = Checkpoint
	}
	if a.limit == 0 {
		a.limit = defaultLimit
	}
	switch {
	case a.mode != Checkpoint && a.mode != Backup:
		return nil, fault.Input("mode", "wants %s or %s, got %q", Checkpoint, Backup, a.mode)
	case a.limit < 0:
		return nil, fault.Input("timeoutSeconds", "wants none or more, got %d", o.TimeoutSeconds)
	case a.socket != "" && !filepath.IsAbs(a.socket):
		return nil, fault.Input("socket", "wants an absolute path, got %q", a.socket)
	case a.optionFile != "" && !filepath.IsAbs(a.optionFile):
		return nil, fault.Input("optionFile", "wants an absolute path, got %q", a.optionFile)
	}
	return a, nil
}

// Look reports the server and where its files lie: each of those folders must
// be in the set, or it cannot be restored.
func (a *Adapter) Look(ctx context.Context) (protocol.Server, error) {
	s, err := a.open(ctx)
	if err != nil {
		return protocol.Server{}, err
	}
	defer s.close()
	found := protocol.Server{Kind: Kind, Version: s.version, Replica: s.standby}
	if err := a.allow(s); err != nil {
		return found, err
	}
	if found.Dirs, err = s.dirs(ctx); err != nil {
		return found, err
	}
	found.Warnings, err = a.warnings(ctx, s)
	return found, err
}

// warnings are what an operator should know of a server that can be held.
func (a *Adapter) warnings(ctx context.Context, s *session) (list []string, err error) {
	if s.major > newest {
		list = append(list, "version "+s.version+" is newer than those that were tried")
	}
	if s.standby {
		list = append(list, "this is a standby: its restart point replaces the checkpoint, and the set recovers to what it had replayed")
	}
	got, err := s.row(ctx, proofLimit, "SELECT current_setting('fsync'), current_setting('full_page_writes')")
	if err != nil {
		return list, refused(err, "reading the settings")
	}
	for i, name := range []string{"fsync", "full_page_writes"} {
		if got[i] == "off" {
			list = append(list, name+" is off: only a set that was taken frozen is sure to recover")
		}
	}
	return list, nil
}

// allow refuses a server that cannot be held in this mode, by what is known of
// it without touching it.
func (a *Adapter) allow(s *session) error {
	switch {
	case s.major < oldest:
		return fault.New(fault.ApplicationRefused, "version %s is older than %d", s.version, oldest)
	case s.standby && a.mode == Backup:
		return fault.New(fault.ApplicationRefused,
			"the server is a standby, whose online backup does not restore reliably: snapshot its primary, or use mode %s", Checkpoint)
	}
	return nil
}

// Quiesce makes the checkpoint or starts the backup. Nothing waits for it: it
// takes no lock that a query could queue behind.
func (a *Adapter) Quiesce(ctx context.Context) (application.Held, error) {
	s, err := a.open(ctx)
	if err != nil {
		return application.Held{}, err
	}
	a.session, a.files = s, nil
	if err := a.allow(s); err != nil {
		return application.Held{}, err
	}
	if a.mode == Backup {
		err = s.startBackup(ctx, a.limit)
	} else {
		err = s.checkpoint(ctx, a.limit)
	}
	if err != nil {
		return application.Held{}, err
	}
	if s.identity, err = s.identify(ctx); err != nil {
		return application.Held{}, refused(err, "naming the session")
	}
	return application.Held{SessionID: s.identity.String(), Version: s.version, Mode: a.mode}, nil
}

// StillHeld proves that the very session of Quiesce lives, in the very server:
// a server that crashed or was restarted in between has none of its sessions
// left. An online backup lives exactly as long as its session.
func (a *Adapter) StillHeld(ctx context.Context) error {
	if a.session == nil {
		return fault.New(fault.HoldLost, "no session holds the server")
	}
	got, err := a.session.identify(ctx)
	switch {
	case err != nil:
		return fault.Wrap(fault.HoldLost, err, "session %s does not answer", a.session.identity)
	case got != a.session.identity || got == identity{}:
		return fault.New(fault.HoldLost, "session %s answers as %s", a.session.identity, got)
	}
	return nil
}

// Release ends the session and in mode backup returns its files. A session
// that was lost has ended its backup with it, without a label.
func (a *Adapter) Release(ctx context.Context) (map[string]string, error) {
	if a.session == nil {
		return a.files, nil
	}
	s := a.session
	a.session = nil
	defer s.close()
	if s.backup == "" || !s.lives() {
		return nil, nil
	}
	files, err := s.stopBackup(ctx)
	if err != nil && !s.lives() {
		return nil, nil
	}
	a.files = files
	return files, err
}

// Undo has nothing to take back: a session that died has taken its hold along.
func (a *Adapter) Undo(context.Context, []byte) error { return nil }

// identity tells one session from every other of any server: process ids come
// round again, and so they are named with the starts of session and server.
type identity struct{ pid, started, server string }

func (i identity) String() string { return i.pid + "/" + i.started }

// PID is the server process behind a session's id; 0 if it names none.
func PID(sessionID string) int {
	pid, _, _ := strings.Cut(sessionID, "/")
	n, _ := strconv.Atoi(pid)
	return n
}
