// Package mysql holds a MySQL server by one connection, in one of two ways.
//
// LOCK INSTANCE FOR BACKUP keeps every definition and every file as it is, and
// lets writers go on. It needs no more than that where all tables are InnoDB's:
// a set that is one point in time is what a power cut leaves, and the server
// recovers from it to its last commit. That is all that an application hold
// means in this mode, and a server with tables that do not recover is refused.
//
// FLUSH TABLES WITH READ LOCK stops all writers, whatever their tables are, and
// has a price: it waits for every query that runs, and others wait for it.
//
// Both die with the connection, hence nothing is left by a crash; a setting such
// as read_only, which would outlive it, is never touched.
package mysql

import (
	"context"
	"strings"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/guest/application/mysqld"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Kind is how a policy names this adapter.
const Kind = "mysql"

// Modes of holding. Empty: the first, where nothing stands against it.
const (
	LockInstance = "lock-instance"
	FTWRL        = "ftwrl"
)

// brand is what MySQL has of its own.
var brand = mysqld.Brand{
	Is: func(version string) error {
		switch {
		case strings.Contains(version, "MariaDB"):
			return fault.New(fault.ApplicationRefused, "the server is %s, no MySQL: wants kind mariadb", version)
		case !mysqld.AtLeast(version, 5, 7, 8):
			return fault.New(fault.ApplicationRefused, "version %s is older than 5.7.8", version)
		}
		return nil
	},
	Groups:   []string{"client", "quiesce"},
	Settings: "SET SESSION max_execution_time=0",
}

// instance is the way of the first mode: it waits for definitions that are
// being changed, and for nothing else.
var instance = mysqld.Method{Steps: []string{"LOCK INSTANCE FOR BACKUP"}, End: "UNLOCK INSTANCE", Aloof: true}

// adapter is one session's hold.
type adapter struct {
	options protocol.Application
	session *mysqld.Session
}

var _ application.Adapter = (*adapter)(nil)

// New makes the adapter.
func New(options protocol.Application, _ application.Journal) (application.Adapter, error) {
	if options.Mode != "" && options.Mode != LockInstance && options.Mode != FTWRL {
		return nil, fault.Input("application.mode", "wants %s or %s, got %q", LockInstance, FTWRL, options.Mode)
	}
	s, err := mysqld.New(options, brand)
	if err != nil {
		return nil, err
	}
	return &adapter{options, s}, nil
}

// Look finds the server, where its files lie, and what stands against a quiesce.
func (a *adapter) Look(ctx context.Context) (protocol.Server, error) {
	s, err := mysqld.New(a.options, brand)
	if err != nil {
		return protocol.Server{}, err
	}
	defer s.Release(ctx)
	if err := s.Open(ctx); err != nil {
		return protocol.Server{Kind: Kind, Version: s.Version}, err
	}
	mode := a.options.Mode
	if mode != FTWRL {
		switch err := suits(ctx, s); {
		case err == nil:
			mode = LockInstance
		case mode == LockInstance:
			return protocol.Server{Kind: Kind, Version: s.Version}, err
		default:
			mode = FTWRL
		}
	}
	rights, behind := []string{"RELOAD", "PROCESS"}, mysqld.Behind
	if mode == LockInstance {
		rights, behind = []string{"BACKUP_ADMIN"}, "the server is a replica: definitions that its source changes wait for as long as it is held"
	}
	seen, err := s.Look(ctx, rights, []string{"SHOW REPLICA STATUS", "SHOW SLAVE STATUS"})
	if seen.Replica {
		seen.Warnings = append(seen.Warnings, behind)
	}
	return seen, err
}

// Quiesce takes the lock. Without a mode, what stands against the first one does
// not stand against the second.
func (a *adapter) Quiesce(ctx context.Context) (application.Held, error) {
	if err := a.session.Open(ctx); err != nil {
		return application.Held{}, err
	}
	var err error
	mode := LockInstance
	if a.options.Mode != FTWRL {
		err = a.lockInstance(ctx)
	}
	if a.options.Mode == FTWRL || a.options.Mode == "" && fault.CodeOf(err) == fault.ApplicationRefused {
		mode, err = FTWRL, a.session.Lock(ctx, mysqld.ReadLock)
	}
	if err != nil {
		return application.Held{}, err
	}
	return application.Held{SessionID: a.session.ID(), Version: a.session.Version, Mode: mode, Killed: a.session.Killed}, nil
}

// lockInstance looks at the tables under the lock: no other one comes then.
func (a *adapter) lockInstance(ctx context.Context) error {
	if !mysqld.AtLeast(a.session.Version, 8, 0, 0) {
		return tooOld(a.session.Version)
	}
	if err := a.session.Lock(ctx, instance); err != nil {
		return err
	}
	err := suits(ctx, a.session)
	if err != nil {
		if end := a.session.Unlock(ctx); end != nil {
			return fault.Wrap(fault.ApplicationBusy, end, "unlocking after: %v", err)
		}
	}
	return err
}

// suits refuses a server that the first mode would not leave recoverable.
func suits(ctx context.Context, s *mysqld.Session) error {
	if !mysqld.AtLeast(s.Version, 8, 0, 0) {
		return tooOld(s.Version)
	}
	dir, err := s.Datadir(ctx)
	if err != nil {
		return err
	}
	table, err := unsafeTable(dir)
	if err != nil {
		return fault.Wrap(fault.ApplicationRefused, err, "the server's folder is not to be seen from here, nor which tables it has")
	}
	if table != "" {
		return fault.New(fault.ApplicationRefused, "mode %s lets writers go on, which InnoDB recovers from and %s does not: use mode %s", LockInstance, table, FTWRL)
	}
	return nil
}

func tooOld(version string) error {
	return fault.New(fault.ApplicationRefused, "version %s has no LOCK INSTANCE FOR BACKUP, 8.0 has: use mode %s", version, FTWRL)
}

// StillHeld asks the session who it is.
func (a *adapter) StillHeld(ctx context.Context) error { return a.session.StillHeld(ctx) }

// Release ends the hold and the session.
func (a *adapter) Release(ctx context.Context) (map[string]string, error) {
	return nil, a.session.Release(ctx)
}

// Undo has nothing to do: the server released what the session held when its
// connection ended.
func (a *adapter) Undo(context.Context, []byte) error { return nil }

// Recoverer starts a second MySQL. A newer one leaves the data dictionary as it
// is, which the server that it was taken of still wants to read.
func Recoverer() application.Recoverer {
	return mysqld.Recoverer{Kind: Kind, Programs: []string{"mysqld"}, Options: []string{"--loose-upgrade=NONE", "--loose-mysqlx=OFF", "--loose-secure-file-priv=NULL"}}
}
