// Package mariadb holds a MariaDB server by one connection: in BACKUP STAGE
// BLOCK_COMMIT where the server knows it, under FLUSH TABLES WITH READ LOCK
// elsewhere. Both die with the connection, hence nothing is left by a crash.
package mariadb

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Modes of holding. Empty: the stages where the server has them.
const (
	Stages = "backup-stage"
	FTWRL  = "ftwrl"
)

const (
	attempt        = 2 * time.Second // that a statement may wait for a lock: so long others queue behind it
	breath         = time.Second     // between two attempts, for those who queued
	look           = 250 * time.Millisecond
	idleSeconds    = 3600 // after which the server ends a session that its helper forgot
	defaultTimeout = 10 * time.Second
	longQuery      = 60
)

// adapter is one session's hold.
type adapter struct {
	options protocol.Application
	limits  limits

	db     *sql.DB
	conn   *sql.Conn // the one that holds; never opened again
	id     int64     // its CONNECTION_ID()
	unlock string    // what ends the hold; empty while there is none
	killed int
}

var _ application.Adapter = (*adapter)(nil)

// New makes the adapter.
func New(options protocol.Application, _ application.Journal) (application.Adapter, error) {
	if options.Mode != "" && options.Mode != Stages && options.Mode != FTWRL {
		return nil, fault.Input("application.mode", "wants %s or %s, got %q", Stages, FTWRL, options.Mode)
	}
	l, err := limitsOf(options)
	if err != nil {
		return nil, err
	}
	return &adapter{options: options, limits: l}, nil
}

// Quiesce waits for quiet and takes the lock.
func (a *adapter) Quiesce(ctx context.Context) (application.Held, error) {
	version, err := a.open(ctx)
	if err != nil {
		return application.Held{}, err
	}
	// The limits of others must not end this session, nor its wait last long.
	settings := fmt.Sprintf("SET SESSION lock_wait_timeout=%d, wait_timeout=%d", int(attempt.Seconds()), idleSeconds)
	for _, s := range []string{settings, "SET SESSION max_statement_time=0"} {
		if _, err := a.conn.ExecContext(ctx, s); err != nil {
			return application.Held{}, translate(err)
		}
	}
	if err := a.quiet(ctx); err != nil {
		return application.Held{}, err
	}
	if err := a.lock(ctx, statements(a.options.Mode, version)); err != nil {
		return application.Held{}, err
	}
	return application.Held{SessionID: fmt.Sprint(a.id), Version: version, Killed: a.killed}, nil
}

// method is how a server is brought to rest, statement by statement.
type method struct {
	steps []string
	end   string
}

// statements chooses the method. The stages let reads and, until the last one,
// commits through; the first flush of the older way takes no lock, so that the
// second one has little left to do under its own.
func statements(mode, version string) method {
	if mode == FTWRL || mode == "" && !atLeast(version, 10, 4, 1) {
		return method{[]string{"FLUSH LOCAL TABLES", "FLUSH TABLES WITH READ LOCK"}, "UNLOCK TABLES"}
	}
	return method{[]string{
		"BACKUP STAGE START", "BACKUP STAGE FLUSH", "BACKUP STAGE BLOCK_DDL", "BACKUP STAGE BLOCK_COMMIT",
	}, "BACKUP STAGE END"}
}

// atLeast compares the numbers that a version begins with.
func atLeast(version string, major, minor, patch int) bool {
	var x, y, z int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &x, &y, &z); n < 2 {
		return false
	}
	if x != major {
		return x > major
	}
	if y != minor {
		return y > minor
	}
	return z >= patch
}

// lock tries again and again for a short while: whoever waits for the lock
// holds up all who come after, so that one long wait would be an outage.
func (a *adapter) lock(ctx context.Context, m method) error {
	began := time.Now()
	for {
		err := a.take(ctx, m)
		if err == nil || fault.CodeOf(err) != fault.ApplicationBusy {
			return err
		}
		waited := time.Since(began)
		if waited >= a.limits.lock {
			return a.blame(ctx, err, waited)
		}
		if a.limits.kill > 0 && waited >= a.limits.kill {
			if err := a.kill(ctx); err != nil {
				return err
			}
			continue
		}
		if err := rest(ctx, breath); err != nil {
			return err
		}
	}
}

// take goes through the statements once. What a failed attempt holds it lets
// go, and the session stays.
func (a *adapter) take(ctx context.Context, m method) error {
	for i, s := range m.steps {
		if _, err := a.conn.ExecContext(ctx, s); err != nil {
			err = translate(err)
			if i > 0 {
				if _, end := a.conn.ExecContext(ctx, m.end); end != nil {
					return fault.Wrap(fault.ApplicationRefused, end, "%s after a failed %s", m.end, s)
				}
				a.unlock = ""
			}
			return fault.Wrap(fault.CodeOf(err), err, "%s", s)
		}
		a.unlock = m.end
	}
	return nil
}

// StillHeld asks the session who it is.
func (a *adapter) StillHeld(ctx context.Context) error {
	if a.conn == nil || a.unlock == "" {
		return fault.New(fault.HoldLost, "nothing is held")
	}
	var id int64
	if err := a.conn.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		return fault.Wrap(fault.HoldLost, err, "its session %d on the server has ended", a.id)
	}
	if id != a.id {
		return fault.New(fault.HoldLost, "session %d answered in place of %d", id, a.id)
	}
	return nil
}

// Release ends the hold and the session. A session that does not take the
// order is ended by another, because it might hold the lock still.
func (a *adapter) Release(ctx context.Context) (map[string]string, error) {
	if a.conn == nil {
		return nil, nil
	}
	var err error
	if a.unlock != "" {
		_, err = a.conn.ExecContext(ctx, a.unlock)
	}
	a.conn.Close()
	if closed := a.db.Close(); err == nil {
		err = closed
	}
	a.conn, a.unlock = nil, ""
	if err == nil {
		return nil, nil
	}
	return nil, a.end(ctx)
}

// Undo has nothing to do: the server released what the session held when its
// connection ended.
func (a *adapter) Undo(context.Context, []byte) error { return nil }

// rest waits, unless ctx ends.
func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fault.Wrap(fault.ApplicationBusy, context.Cause(ctx), "waiting for the lock")
	}
}

// isMariaDB tells the server from its relatives, who lack the stages.
func isMariaDB(version string) bool { return strings.Contains(version, "MariaDB") }
