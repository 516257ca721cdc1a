package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/quiesce/quiesce/guest/application/applicationtest"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// shop is a server with somebody who works on it.
type shop struct {
	*fake
	db *sql.DB
}

func open(t *testing.T, version string) *shop {
	t.Helper()
	s := serve(t, version)
	for _, dir := range []string{"mysql", "shop"} {
		must(t, os.MkdirAll(filepath.Join(s.datadir, dir), 0o700))
	}
	for _, file := range []string{"shop/inno.ibd", "mysql/general_log.CSV", "ibdata1"} {
		must(t, os.WriteFile(filepath.Join(s.datadir, file), nil, 0o600))
	}
	return &shop{s, connect(t, s.socket)}
}

func connect(t *testing.T, socket string) *sql.DB {
	t.Helper()
	cfg := driver.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Logger = "unix", socket, "root", &driver.NopLogger{}
	connector, err := driver.NewConnector(cfg)
	must(t, err)
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *shop) do(t *testing.T, statement string) {
	t.Helper()
	if _, err := s.db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func (s *shop) write(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, "INSERT INTO inno VALUES (1)")
	return err
}

// settings are all that could be left changed: the sessions that hold something.
func (s *shop) settings(*testing.T) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%d held, %d awaited, %d instance", len(s.readers), len(s.awaited), len(s.instance))
}

func (s *shop) flushed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flushes
}

// occupy runs a statement that lasts.
func (s *shop) occupy(t *testing.T, statement string) (going func() bool, end func()) {
	t.Helper()
	conn, err := connect(t, s.socket).Conn(t.Context())
	must(t, err)
	var id int64
	must(t, conn.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id))
	over := make(chan error, 1)
	go func() {
		_, err := conn.ExecContext(context.Background(), statement)
		over <- err
	}()
	going = func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		c := s.conns[id]
		return c != nil && c.statement == statement && !c.killed
	}
	for !going() {
		time.Sleep(time.Millisecond)
	}
	return going, func() {
		s.do(t, fmt.Sprintf("KILL QUERY %d", id))
		<-over
		conn.Close()
	}
}

// kill ends a session, and waits until it has let go.
func (s *shop) kill(t *testing.T, session string) {
	s.do(t, "KILL CONNECTION "+session)
	id, err := strconv.ParseInt(session, 10, 64)
	must(t, err)
	there := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.conns[id] != nil
	}
	for there() {
		time.Sleep(time.Millisecond)
	}
}

func (s *shop) options(mode string) protocol.Application {
	return protocol.Application{Kind: Kind, Socket: s.socket, Mode: mode, TimeoutSeconds: 3}
}

func TestConformance(t *testing.T) {
	for _, tt := range []struct {
		mode, version, busy string
		holds               bool
	}{
		{FTWRL, "8.4.3", "INSERT INTO busy VALUES (SLEEP(60))", true},
		{FTWRL, "5.7.44-log", "SELECT SLEEP(60) FROM busy", true},
		{LockInstance, "8.0.36-28", "ALTER TABLE inno FORCE", false},
	} {
		t.Run(tt.mode+" of "+tt.version, func(t *testing.T) {
			t.Parallel()
			s := open(t, tt.version)
			poor := filepath.Join(t.TempDir(), "poor.cnf")
			must(t, os.WriteFile(poor, []byte("[client]\nuser = root\npassword = \"wrong\"\n"), 0o600))
			with := func(change func(*protocol.Application)) protocol.Application {
				o := s.options(tt.mode)
				change(&o)
				return o
			}
			applicationtest.Run(t, applicationtest.Rig{
				New: New, Options: s.options(tt.mode), Write: s.write, Holds: tt.holds, Settings: s.settings,
				Occupy: func(t *testing.T) (func() bool, func()) { return s.occupy(t, tt.busy) },
				Kill:   s.kill,
				Bad: map[string]protocol.Application{
					"application.mode":               with(func(o *protocol.Application) { o.Mode = "backup-stage" }),
					"application.ftwrlWaitQueryType": with(func(o *protocol.Application) { o.FTWRLWaitQueryType = "select" }),
					"application.killLongQueryType":  with(func(o *protocol.Application) { o.KillLongQueryType = "update" }),
				},
				Wrong: map[fault.Code]protocol.Application{
					fault.ApplicationNotFound: with(func(o *protocol.Application) { o.Socket = "/nonexistent" }),
					fault.ApplicationRefused:  with(func(o *protocol.Application) { o.OptionFile = poor }),
				},
			})
		})
	}
}

// held quiesces, and tells the mode and what the server then held.
func (s *shop) held(t *testing.T, o protocol.Application) (mode, settings string, err error) {
	t.Helper()
	a, err := New(o, nil)
	must(t, err)
	held, err := a.Quiesce(t.Context())
	settings = s.settings(t)
	if _, release := a.Release(t.Context()); release != nil {
		t.Error(release)
	}
	return held.Mode, settings, err
}

// TestMode chooses what nothing stands against, and refuses what was asked for
// and cannot be; Look says the same beforehand.
func TestMode(t *testing.T) {
	const instance, tables = "0 held, 0 awaited, 1 instance", "1 held, 0 awaited, 0 instance"
	isam := func(s *shop) { os.WriteFile(filepath.Join(s.datadir, "shop/isam.MYD"), nil, 0o600) }
	away := func(s *shop) { s.datadir = filepath.Join(s.datadir, "elsewhere") }
	poor := func(s *shop) { s.accounts["root"] = account{"", []string{"RELOAD", "PROCESS"}} }
	for _, tt := range []struct {
		name, version, mode string
		change              func(*shop)
		want, holds         string
		says                string // in a refusal
		looks               string // in what Look says; empty: as Quiesce
	}{
		{"the best", "8.4.3", "", nil, LockInstance, instance, "", "[]"},
		{"an old server", "5.7.44", "", nil, FTWRL, tables, "", "[]"},
		{"MyISAM", "8.4.3", "", isam, FTWRL, tables, "", "[]"},
		{"files in a container", "8.4.3", "", away, FTWRL, tables, "", "[]"},
		{"no right", "8.4.3", "", poor, FTWRL, tables, "", "BACKUP_ADMIN"},
		{"the best with an old server", "5.7.44", LockInstance, nil, "", "", "version 5.7.44 has no LOCK INSTANCE", ""},
		{"the best with MyISAM", "8.4.3", LockInstance, isam, "", "", "shop.isam (MyISAM)", ""},
		{"the best with files in a container", "8.4.3", LockInstance, away, "", "", "not to be seen from here", ""},
		{"the best without the right", "8.4.3", LockInstance, poor, "", "", "BACKUP_ADMIN", "BACKUP_ADMIN"},
		{"too old", "5.6.51", FTWRL, nil, "", "", "older than 5.7.8", ""},
		{"a MariaDB", "10.11.6-MariaDB-0+deb12u1", "", nil, "", "", "wants kind mariadb", ""},
		{"a replica", "8.4.3", "", func(s *shop) { s.replica = true }, LockInstance, instance, "", "definitions that its source changes"},
		{"an old replica", "5.7.44", "", func(s *shop) { s.replica = true }, FTWRL, tables, "", "falls behind"},
		{"commits that are not flushed", "8.4.3", "", func(s *shop) { s.trxCommit = 0 }, LockInstance, instance, "", "last second"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, tt.version)
			if tt.change != nil {
				s.mu.Lock()
				tt.change(s)
				s.mu.Unlock()
			}
			mode, settings, err := s.held(t, s.options(tt.mode))
			if tt.says != "" {
				if fault.CodeOf(err) != fault.ApplicationRefused || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %v (%s), want a refusal that says %q", err, fault.CodeOf(err), tt.says)
				}
			} else if err != nil || mode != tt.want || settings != tt.holds {
				t.Errorf("got %s, %s, %v; want %s, %s", mode, settings, err, tt.want, tt.holds)
			}
			if got, want := s.settings(t), "0 held, 0 awaited, 0 instance"; got != want {
				t.Errorf("it left %s", got)
			}
			a, err := New(s.options(tt.mode), nil)
			must(t, err)
			seen, err := a.Look(t.Context())
			if tt.looks == "" {
				if fault.CodeOf(err) != fault.ApplicationRefused || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("look: got %v, want a refusal that says %q", err, tt.says)
				}
			} else if warned := fmt.Sprint(seen.Warnings); err != nil || !strings.Contains(warned, tt.looks) || seen.Replica != s.replica {
				t.Errorf("look: got %+v, %v", seen, err)
			}
		})
	}
}

// TestInstanceHoldsDefinitions and lets writers go on.
func TestInstanceHoldsDefinitions(t *testing.T) {
	s := open(t, "8.4.3")
	a, err := New(s.options(LockInstance), nil)
	must(t, err)
	_, err = a.Quiesce(t.Context())
	must(t, err)
	must(t, s.write(t.Context()))
	made := make(chan error, 1)
	go func() {
		_, err := s.db.Exec("CREATE TABLE later (n INT)")
		made <- err
	}()
	select {
	case err := <-made:
		t.Errorf("a table was made (%v)", err)
	case <-time.After(100 * time.Millisecond):
	}
	must(t, a.StillHeld(t.Context()))
	_, err = a.Release(t.Context())
	must(t, err)
	must(t, <-made)
}

// TestLongQueries are waited for, left alone or killed as the policy says, and
// are no matter where they go on under the lock. None is flushed under.
func TestLongQueries(t *testing.T) {
	const read, update = "SELECT SLEEP(60) FROM busy", "INSERT INTO busy VALUES (SLEEP(60))"
	for _, tt := range []struct {
		name, busy, mode string
		aged             time.Duration
		change           func(*protocol.Application)
		says             string // empty: it quiesces
		goes             bool   // the query goes on
	}{
		{"longer than the threshold", read, FTWRL, 2 * time.Minute, nil, "not quiet: the SELECT of connection", true},
		{"not so long, but outlasting the attempt", read, FTWRL, 30 * time.Second, nil, "the lock was not had in", true},
		{"no matter", read, LockInstance, 2 * time.Minute, nil, "", true},
		{"no matter, nor killed", read, LockInstance, 2 * time.Minute, func(o *protocol.Application) { o.KillLongQueriesTimeout = 1 }, "", true},
		{"reads may be killed", read, FTWRL, 30 * time.Second, func(o *protocol.Application) { o.KillLongQueriesTimeout = 1 }, "", false},
		{"an update is no read", update, FTWRL, 30 * time.Second, func(o *protocol.Application) { o.KillLongQueriesTimeout = 1 }, "the INSERT", true},
		{"all may be killed", update, FTWRL, 30 * time.Second, func(o *protocol.Application) {
			o.KillLongQueriesTimeout, o.KillLongQueryType = 1, "all"
		}, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, "8.4.3")
			going, end := s.occupy(t, tt.busy)
			s.mu.Lock()
			s.aged = tt.aged
			s.mu.Unlock()
			o := s.options(tt.mode)
			o.TimeoutSeconds = 1
			if tt.change != nil {
				tt.change(&o)
			}
			_, _, err := s.held(t, o)
			if tt.says == "" && err != nil || tt.says != "" && (fault.CodeOf(err) != fault.ApplicationBusy || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("got %v, want one that says %q", err, tt.says)
			}
			if going() != tt.goes {
				t.Errorf("the query goes on: %v", going())
			}
			if n := s.flushed(); tt.goes && n > 0 {
				t.Errorf("%d flushes were begun under it", n)
			}
			if tt.goes {
				end()
			}
		})
	}
}

// TestWedged gives up at once where others wait for the flush that it began:
// they wait for the query and not for the lock, and another attempt would make
// more of them.
func TestWedged(t *testing.T) {
	t.Parallel()
	s := open(t, "8.4.3")
	_, end := s.occupy(t, "SELECT SLEEP(60) FROM busy")
	o := s.options(FTWRL)
	o.TimeoutSeconds = 120
	a, err := New(o, nil)
	must(t, err)
	quiesced := make(chan error, 1)
	go func() {
		_, err := a.Quiesce(t.Context())
		quiesced <- err
	}()
	for s.flushed() == 0 {
		time.Sleep(time.Millisecond)
	}
	read := make(chan error, 1)
	go func() {
		_, err := s.db.Exec("SELECT n FROM busy")
		read <- err
	}()
	err = <-quiesced
	if fault.CodeOf(err) != fault.ApplicationBusy || !strings.Contains(err.Error(), "1 statements wait for a table flush: the SELECT of connection") {
		t.Errorf("got %v", err)
	}
	if n := s.flushed(); n != 1 {
		t.Errorf("it flushed %d times", n)
	}
	_, err = a.Release(t.Context())
	must(t, err)
	end()
	must(t, <-read)
}
