// Package mysqld is what the adapters of MariaDB and of MySQL share: the one
// connection that holds a server, how it is reached, and how a lock is waited
// for without making others wait. Such a hold dies with its connection, hence
// nothing is left by a crash.
package mysqld

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

const (
	attempt        = 2 * time.Second // that a statement may wait for a lock: so long others queue behind it
	breath         = time.Second     // between two attempts, for those who queued
	look           = 250 * time.Millisecond
	idleSeconds    = 3600 // after which the server ends a session that its helper forgot
	defaultTimeout = 10 * time.Second
	longQuery      = 60
)

// Brand is what one server of the family has of its own.
type Brand struct {
	Is       func(version string) error // nil for a server that is one
	Groups   []string                   // sections of an option file that its clients read
	Settings string                     // of a session whose statements have no limit
}

// Session is one hold of a server.
type Session struct {
	Version string // of the server, once it is open
	Killed  int    // queries that the policy let be killed

	options protocol.Application
	brand   Brand
	limits  limits

	db     *sql.DB
	conn   *sql.Conn // the one that holds; never opened again
	id     int64     // its CONNECTION_ID()
	unlock string    // what ends the hold; empty while there is none
}

// New makes a session and touches nothing yet. It refuses limits that are none.
func New(options protocol.Application, brand Brand) (*Session, error) {
	l, err := limitsOf(options)
	return &Session{options: options, brand: brand, limits: l}, err
}

// ID is the session's on the server.
func (s *Session) ID() string { return fmt.Sprint(s.id) }

// Datadir asks the server for the folder of its data.
func (s *Session) Datadir(ctx context.Context) (dir string, err error) {
	return dir, Translate(s.conn.QueryRowContext(ctx, "SELECT @@datadir").Scan(&dir))
}

// Method is how a server is brought to rest, statement by statement.
type Method struct {
	Steps []string
	End   string

	// Aloof: queries go on under it, and are neither waited for nor killed.
	Aloof bool
	// Flushes: it closes all tables, and one that a query has open stays shut to
	// others until that query ends, even if the attempt was given up.
	Flushes bool
}

// ReadLock is the way that all servers of the family know. Its first flush takes
// no lock, so that the second one has little left to do under its own.
var ReadLock = Method{
	Steps: []string{"FLUSH LOCAL TABLES", "FLUSH TABLES WITH READ LOCK"}, End: "UNLOCK TABLES", Flushes: true,
}

// Lock waits for quiet, and takes the lock.
func (s *Session) Lock(ctx context.Context, m Method) error {
	// The limits of others must not end this session, nor its wait last long.
	settings := fmt.Sprintf("SET SESSION lock_wait_timeout=%d, wait_timeout=%d", int(attempt.Seconds()), idleSeconds)
	for _, statement := range []string{settings, s.brand.Settings} {
		if _, err := s.conn.ExecContext(ctx, statement); err != nil {
			return Translate(err)
		}
	}
	if !m.Aloof {
		if err := s.quiet(ctx); err != nil {
			return err
		}
	}
	return s.try(ctx, m)
}

// try tries again and again for a short while: whoever waits for the lock holds
// up all who come after, so that one long wait would be an outage.
func (s *Session) try(ctx context.Context, m Method) error {
	began := time.Now()
	mayKill := s.limits.kill > 0 && !m.Aloof
	for {
		err := s.take(ctx, m)
		if err == nil || fault.CodeOf(err) != fault.ApplicationBusy {
			return err
		}
		if m.Flushes && !mayKill {
			if wedged := s.wedged(ctx); wedged != nil {
				return wedged
			}
		}
		waited := time.Since(began)
		if waited >= s.limits.lock {
			return s.blame(ctx, err, waited)
		}
		if mayKill && waited >= s.limits.kill {
			if err := s.kill(ctx); err != nil {
				return err
			}
			continue
		}
		if rest(ctx, breath) != nil {
			return fault.Wrap(fault.ApplicationBusy, err, "waiting for the lock was broken off")
		}
	}
}

// take goes through the statements once. What a failed attempt holds it lets
// go, and the session stays.
func (s *Session) take(ctx context.Context, m Method) error {
	if m.Flushes {
		if err := s.calm(ctx); err != nil {
			return err
		}
	}
	for i, step := range m.Steps {
		if _, err := s.conn.ExecContext(ctx, step); err != nil {
			err = Translate(err)
			if i > 0 {
				if _, end := s.conn.ExecContext(ctx, m.End); end != nil {
					return fault.Wrap(fault.ApplicationRefused, end, "%s after a failed %s", m.End, step)
				}
				s.unlock = ""
			}
			return fault.Wrap(fault.CodeOf(err), err, "%s", step)
		}
		s.unlock = m.End
	}
	return nil
}

// Unlock ends the hold, and the session stays.
func (s *Session) Unlock(ctx context.Context) error {
	if s.unlock == "" {
		return nil
	}
	_, err := s.conn.ExecContext(ctx, s.unlock)
	if err == nil {
		s.unlock = ""
	}
	return Translate(err)
}

// StillHeld asks the session who it is.
func (s *Session) StillHeld(ctx context.Context) error {
	if s.conn == nil || s.unlock == "" {
		return fault.New(fault.HoldLost, "nothing is held")
	}
	var id int64
	if err := s.conn.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		return fault.Wrap(fault.HoldLost, err, "its session %d on the server has ended", s.id)
	}
	if id != s.id {
		return fault.New(fault.HoldLost, "session %d answered in place of %d", id, s.id)
	}
	return nil
}

// Release ends the hold and the session. A session that does not take the
// order is ended by another, because it might hold the lock still.
func (s *Session) Release(ctx context.Context) error {
	if s.conn == nil {
		return nil
	}
	var err error
	if s.unlock != "" {
		_, err = s.conn.ExecContext(ctx, s.unlock)
	}
	s.conn.Close()
	if closed := s.db.Close(); err == nil {
		err = closed
	}
	s.conn, s.unlock = nil, ""
	if err == nil {
		return nil
	}
	return s.end(ctx)
}

// rest waits, unless ctx ends.
func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fault.Wrap(fault.ApplicationBusy, context.Cause(ctx), "waiting for the lock")
	}
}

// AtLeast compares the numbers that a version begins with.
func AtLeast(version string, major, minor, patch int) bool {
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
