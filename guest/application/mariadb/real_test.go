package mariadb_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/quiesce/quiesce/guest/application/applicationtest"
	"github.com/quiesce/quiesce/guest/application/mariadb"
	"github.com/quiesce/quiesce/local/database"
	server "github.com/quiesce/quiesce/local/database/mariadb"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// shop is a real server with two tables and a writer's connection.
type shop struct {
	socket string
	db     *sql.DB
	n      int
	mu     sync.Mutex
}

func open(t *testing.T) *shop {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIP needs root")
	}
	if missing := server.Missing(); missing != "" {
		t.Skip("SKIP needs " + missing)
	}
	dir, err := os.MkdirTemp("", "quiesce-mariadb-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := server.New(database.Brief)
	place := database.Place{Folders: []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}, Room: dir}
	for _, f := range place.Folders {
		if err := os.Mkdir(f, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(t.Context(), place); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	shop := &shop{socket: s.Socket()}
	shop.db = shop.connect(t)
	for _, q := range []string{
		"CREATE DATABASE shop", "CREATE TABLE shop.inno (n INT PRIMARY KEY) ENGINE=InnoDB", "CREATE TABLE shop.isam (n INT PRIMARY KEY) ENGINE=MyISAM",
	} {
		shop.do(t, q)
	}
	return shop
}

func (s *shop) connect(t *testing.T) *sql.DB {
	t.Helper()
	cfg := driver.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Logger = "unix", s.socket, "root", &driver.NopLogger{}
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

func (s *shop) do(t *testing.T, q string) {
	t.Helper()
	if _, err := s.db.Exec(q); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
}

// write changes both engines.
func (s *shop) write(ctx context.Context) error {
	s.mu.Lock()
	s.n++
	n := s.n
	s.mu.Unlock()
	for _, table := range []string{"inno", "isam"} {
		if _, err := s.db.ExecContext(ctx, fmt.Sprintf("INSERT INTO shop.%s VALUES (%d)", table, n)); err != nil {
			return err
		}
	}
	return nil
}

// occupy runs a statement that any lock on all tables has to wait for.
func (s *shop) occupy(t *testing.T) (going func() bool, end func()) {
	t.Helper()
	db := s.connect(t)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var id int64
	if err := conn.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		t.Fatal(err)
	}
	s.do(t, "CREATE OR REPLACE TABLE shop.busy (n INT) ENGINE=MyISAM")
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = conn.ExecContext(context.Background(), "INSERT INTO shop.busy VALUES (SLEEP(60))") // it is killed in the end
	}()
	running := func() (n int) {
		if err := s.db.QueryRow("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = ? AND INFO LIKE 'INSERT%'", id).Scan(&n); err != nil {
			t.Error(err)
		}
		return n
	}
	for running() == 0 {
		time.Sleep(time.Millisecond)
	}
	return func() bool { return running() == 1 }, func() {
		s.do(t, fmt.Sprintf("KILL QUERY %d", id))
		<-over
		conn.Close()
	}
}

func (s *shop) settings(t *testing.T) (all string) {
	t.Helper()
	rows, err := s.db.Query("SELECT VARIABLE_NAME, VARIABLE_VALUE FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME NOT IN ('TIMESTAMP') ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			t.Fatal(err)
		}
		all += name + "=" + value + "\n"
	}
	return all
}

func (s *shop) options(mode string) protocol.Application {
	return protocol.Application{Kind: "mariadb", Socket: s.socket, Mode: mode, TimeoutSeconds: 3}
}

func TestConformance(t *testing.T) {
	for _, mode := range []string{mariadb.Stages, mariadb.FTWRL} {
		t.Run(mode, func(t *testing.T) {
			s := open(t)
			s.do(t, "CREATE USER poor@localhost IDENTIFIED BY 'secret'")
			poor := filepath.Join(filepath.Dir(s.socket), "poor.cnf")
			if err := os.WriteFile(poor, []byte("[client]\nuser = poor\npassword = \"wrong\"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			good := s.options(mode)
			with := func(change func(*protocol.Application)) protocol.Application {
				o := good
				change(&o)
				return o
			}
			applicationtest.Run(t, applicationtest.Rig{
				New: mariadb.New, Options: good, Write: s.write, Holds: true, Occupy: s.occupy, Settings: s.settings,
				Kill: func(t *testing.T, session string) { s.do(t, "KILL CONNECTION "+session) },
				Bad: map[string]protocol.Application{
					"application.mode":               with(func(o *protocol.Application) { o.Mode = "gently" }),
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

func quiesce(t *testing.T, o protocol.Application) (string, error) {
	t.Helper()
	a, err := mariadb.New(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	held, err := a.Quiesce(t.Context())
	if _, release := a.Release(t.Context()); release != nil {
		t.Error(release)
	}
	return fmt.Sprint(held), err
}

// TestWaitsForQuiet takes no lock at all while a long statement runs.
func TestWaitsForQuiet(t *testing.T) {
	s := open(t)
	going, end := s.occupy(t)
	defer end()
	o := s.options("")
	o.FTWRLWaitThreshold, o.FTWRLWaitTimeout = 1, 1
	time.Sleep(1200 * time.Millisecond) // so that it counts as long
	began := time.Now()
	_, err := quiesce(t, o)
	if fault.CodeOf(err) != fault.ApplicationBusy || time.Since(began) > 3*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
	t.Logf("after %v: %v", time.Since(began).Round(time.Millisecond), err)
	if !going() {
		t.Error("the statement was stopped")
	}
}

// TestKillsOnlyWhatThePolicyLets gives a lock that is held off by an update to
// the policy that lets all be killed, and not to the one that lets reads.
func TestKillsOnlyWhatThePolicyLets(t *testing.T) {
	s := open(t)
	going, end := s.occupy(t)
	o := s.options("")
	o.KillLongQueriesTimeout = 1
	if _, err := quiesce(t, o); fault.CodeOf(err) != fault.ApplicationBusy || !going() {
		t.Errorf("reads may be killed: got %v", err)
	}
	o.KillLongQueryType = "all"
	if _, err := quiesce(t, o); err != nil || going() {
		t.Errorf("all may be killed: got %v", err)
	}
	end()
}

func TestOptionFile(t *testing.T) {
	s := open(t)
	s.do(t, "CREATE USER helper@localhost IDENTIFIED BY 'se cret'")
	s.do(t, "GRANT RELOAD, PROCESS ON *.* TO helper@localhost")
	path := filepath.Join(filepath.Dir(s.socket), "quiesce.cnf")
	text := "# ours\n[mysqld]\nuser=nobody\n[client]\nuser = helper\npassword = 'se cret'\nsocket = " + s.socket + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := protocol.Application{Kind: "mariadb", OptionFile: path}
	if _, err := quiesce(t, o); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(path, 0o620); err != nil {
		t.Fatal(err)
	}
	_, err := quiesce(t, o)
	if f, ok := err.(*fault.Error); !ok || f.Code != fault.ApplicationRefused || f.Field != "application.optionFile" {
		t.Errorf("a file that others can write: got %v", err)
	}
}

// TestOneShotLockIsGone is the published way: a client takes the lock and ends,
// the lock ends with it, and whoever relies on it copies files that change.
func TestOneShotLockIsGone(t *testing.T) {
	s := open(t)
	client, err := exec.LookPath("mariadb")
	if err != nil {
		t.Skip("SKIP needs the mariadb client")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, client, "--no-defaults", "--socket="+s.socket, "-e", "FLUSH TABLES WITH READ LOCK").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Log("the client took the lock and said that all went well")
	wrote := 0
	for end := time.Now().Add(time.Second); time.Now().Before(end); wrote++ {
		if err := s.write(ctx); err != nil {
			t.Fatalf("after %d writes: %v", wrote, err)
		}
	}
	t.Logf("%d writes to InnoDB and MyISAM went through in the second after it", wrote)

	// The very same statement in a connection that stays does hold.
	conn, err := s.connect(t).Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "FLUSH TABLES WITH READ LOCK"); err != nil {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(ctx, 500*time.Millisecond)
	defer stop()
	if err := s.write(short); err == nil {
		t.Error("a held lock let a write through")
	}
}

// TestHelperKilled sees the lock go with the process that held it.
func TestHelperKilled(t *testing.T) {
	if socket := os.Getenv("QUIESCE_TEST_HOLD"); socket != "" {
		a, err := mariadb.New(protocol.Application{Kind: "mariadb", Socket: socket}, nil)
		if err == nil {
			_, err = a.Quiesce(t.Context())
		}
		fmt.Println(err)
		select {}
	}
	s := open(t)
	helper := exec.Command("/proc/self/exe", "-test.run=^TestHelperKilled$")
	helper.Env = append(os.Environ(), "QUIESCE_TEST_HOLD="+s.socket)
	out, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	var said string
	if _, err := fmt.Fscanln(out, &said); err != nil || said != "<nil>" {
		t.Fatalf("it said %q (%v)", said, err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- s.write(context.Background()) }()
	select {
	case <-wrote:
		t.Error("a write got through")
	case <-time.After(300 * time.Millisecond):
	}
	if err := helper.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	select {
	case err := <-wrote:
		t.Logf("writers went on %v after the kill (%v)", time.Since(began).Round(100*time.Microsecond), err)
	case <-time.After(10 * time.Second):
		t.Error("writers wait for a dead helper")
	}
	_ = helper.Wait() // it was killed
}
