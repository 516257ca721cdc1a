package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/quiesce/quiesce/local/database"
	"github.com/quiesce/quiesce/local/database/mariadb"
	"github.com/quiesce/quiesce/local/database/postgresql"
	"github.com/quiesce/quiesce/local/database/redis"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// servers is the one table of the databases that a run can be of, by the name
// that --app and the policy's kind share.
var servers = map[string]struct {
	open    func(database.Logs) database.Database
	missing func() string // what this host lacks; empty for nothing
	holds   bool          // quiesced, it lets no write through
}{
	policy.MariaDB:    {func(l database.Logs) database.Database { return mariadb.New(l) }, mariadb.Missing, true},
	policy.PostgreSQL: {func(l database.Logs) database.Database { return postgresql.New(l) }, postgresql.Missing, false},
	policy.Redis:      {func(database.Logs) database.Database { return redis.New() }, redis.Missing, true},
}

func isServer(app string) bool {
	_, ok := servers[app]
	return ok
}

// databaseStage is this host with a real server on its volumes in place of the
// ledger's process.
type databaseStage struct {
	*realStage
	database database.Database
	holds    bool
	tune     func(*policy.Application)
	settings string // of the server before the run
}

func (s *databaseStage) furnish(ctx context.Context, volumes []member) (err error) {
	if err := s.mountAll(ctx, volumes); err != nil {
		return err
	}
	if err := s.database.Start(ctx, s.place(s.dir(), s.mounts)); err != nil {
		return err
	}
	if err := s.database.Load(ctx); err != nil {
		return err
	}
	s.settings, err = s.database.Settings(ctx)
	return err
}

func (s *databaseStage) place(room string, folders []string) database.Place {
	return database.Place{Folders: folders, Room: room, Env: []string{s.pool.Room().Mark()}, Own: s.pool.Room().Own}
}

func (s *databaseStage) policy(o Options) policy.Policy {
	p := o.Policy("", "")
	app := s.database.Application()
	app.TimeoutSeconds, app.Retries = o.Timeout, o.Retries
	if s.tune != nil {
		s.tune(&app)
	}
	p.Application = app
	return p
}

func (s *databaseStage) changed(ctx context.Context) (string, error) {
	now, err := s.database.Settings(ctx)
	if err != nil || now == s.settings {
		return "", err
	}
	return fmt.Sprintf("%s, which were %s", now, s.settings), nil
}

func (s *databaseStage) acks(ctx context.Context) ([]ledger.Ack, error) {
	acks, err := s.database.Acks(ctx)
	if err != nil {
		return nil, err
	}
	return acks, s.database.Stop(ctx)
}

// read lets a second server live on the restored volumes, all mounted at once.
func (s *databaseStage) read(ctx context.Context, volumes []member, proved run.Consistency) (*restored, error) {
	found := &restored{served: true, holds: s.holds}
	var folders []string
	for i, v := range volumes {
		disk, err := s.mountRestored(ctx, i, v)
		if err != nil {
			return nil, err
		}
		found.disks, folders = append(found.disks, disk), append(folders, s.restoredAt(i))
	}
	room := filepath.Join(s.dir(), "second")
	if err := os.Mkdir(room, 0o700); err != nil {
		return nil, err
	}
	checked, err := s.database.Check(ctx, s.place(room, folders), proved)
	if err != nil {
		return nil, fmt.Errorf("check the restored server: %w", err)
	}
	for i, v := range volumes {
		if err := s.unmountRestored(ctx, i, v); err != nil {
			return nil, err
		}
	}
	found.volumes, found.recoveryMs, found.findings, found.notes = checked.Tables, checked.RecoveryMs, checked.Findings, checked.Notes
	return found, nil
}

func (s *databaseStage) hooks() map[fault.Kind]func(context.Context) {
	all := s.realStage.hooks()
	all[fault.KillSession] = func(ctx context.Context) { s.database.Kill(ctx) }
	all[fault.LongQuery] = func(ctx context.Context) { _ = s.database.Occupy(ctx) } // else the run succeeds, which is seen
	return all
}
