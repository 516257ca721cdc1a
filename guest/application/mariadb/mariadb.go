// Package mariadb holds a MariaDB server by one connection: in BACKUP STAGE
// BLOCK_COMMIT where the server knows it, under FLUSH TABLES WITH READ LOCK
// elsewhere. Both die with the connection, hence nothing is left by a crash.
package mariadb

import (
	"context"
	"strings"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/guest/application/mysqld"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Modes of holding. Empty: the stages where the server has them.
const (
	Stages = "backup-stage"
	FTWRL  = "ftwrl"
)

// brand is what MariaDB has of its own.
var brand = mysqld.Brand{
	Is: func(version string) error {
		if !strings.Contains(version, "MariaDB") {
			return fault.New(fault.ApplicationRefused, "the server is %s, no MariaDB: wants kind mysql", version)
		}
		return nil
	},
	Groups:   []string{"client", "client-server", "client-mariadb", "quiesce"},
	Settings: "SET SESSION max_statement_time=0",
}

// adapter is one session's hold.
type adapter struct {
	options protocol.Application
	session *mysqld.Session
}

var _ application.Adapter = (*adapter)(nil)

// New makes the adapter.
func New(options protocol.Application, _ application.Journal) (application.Adapter, error) {
	if options.Mode != "" && options.Mode != Stages && options.Mode != FTWRL {
		return nil, fault.Input("application.mode", "wants %s or %s, got %q", Stages, FTWRL, options.Mode)
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
		return protocol.Server{Kind: a.options.Kind, Version: s.Version}, err
	}
	seen, err := s.Look(ctx, []string{"RELOAD", "PROCESS"}, []string{"SHOW ALL SLAVES STATUS"})
	if seen.Replica {
		seen.Warnings = append(seen.Warnings, mysqld.Behind)
	}
	return seen, err
}

// Quiesce waits for quiet and takes the lock.
func (a *adapter) Quiesce(ctx context.Context) (application.Held, error) {
	if err := a.session.Open(ctx); err != nil {
		return application.Held{}, err
	}
	mode, m := method(a.options.Mode, a.session.Version)
	if err := a.session.Lock(ctx, m); err != nil {
		return application.Held{}, err
	}
	return application.Held{SessionID: a.session.ID(), Version: a.session.Version, Mode: mode, Killed: a.session.Killed}, nil
}

// method chooses how. The stages let reads and, until the last one, commits
// through; the older way flushes twice, so that the flush under the lock has
// little left to do.
func method(mode, version string) (string, mysqld.Method) {
	if mode == FTWRL || mode == "" && !mysqld.AtLeast(version, 10, 4, 1) {
		return FTWRL, mysqld.ReadLock
	}
	return Stages, mysqld.Method{
		Steps: []string{"BACKUP STAGE START", "BACKUP STAGE FLUSH", "BACKUP STAGE BLOCK_DDL", "BACKUP STAGE BLOCK_COMMIT"},
		End:   "BACKUP STAGE END",
	}
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

// Recoverer starts a second MariaDB.
func Recoverer() application.Recoverer {
	return mysqld.Recoverer{Kind: "mariadb", Programs: []string{"mariadbd", "mysqld"}, MariaDB: true}
}
