// Package mariadb is a real MariaDB server for a local run: its data on one
// volume, its logs on another, under a load of numbered records.
package mariadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/quiesce/quiesce/guest/process"
	"github.com/quiesce/quiesce/local/database"
	"github.com/quiesce/quiesce/shared/policy"
)

// Debian's paths; elsewhere PATH is searched.
var programs = map[string]string{"mariadbd": "/usr/sbin/mariadbd", "mariadb-install-db": "/usr/bin/mariadb-install-db"}

// Missing tells what this host lacks to run the server; empty for nothing.
func Missing() string {
	for name := range programs {
		if program(name) == "" {
			return name + " (Debian: mariadb-server)"
		}
	}
	return ""
}

func program(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if _, err := os.Stat(programs[name]); err == nil {
		return programs[name]
	}
	return ""
}

// Server is the database of one run.
type Server struct {
	Args []string // further ones of the server, such as its sizes

	place   database.Place
	process *process.Process
	admin   *sql.DB
	load    *load

	mu  sync.Mutex
	own map[int64]bool // connections that are ours
}

var _ database.Database = (*Server)(nil)

// sizes of the server, by the name of its logs: of a run of seconds, as small as
// they can be, and what the server takes if nobody says anything.
var sizes = map[database.Logs][]string{
	database.Brief:    {"--innodb-buffer-pool-size=64M", "--innodb-log-file-size=48M"},
	database.Small:    {"--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M"},
	database.Ordinary: {"--innodb-buffer-pool-size=128M", "--innodb-log-file-size=96M"},
}

// New makes a server with logs of a size.
func New(logs database.Logs) *Server {
	return &Server{Args: sizes[logs], own: map[int64]bool{}}
}

// Socket is where the server listens, for root alone.
func (s *Server) Socket() string { return filepath.Join(s.place.Room, "mariadb.sock") }

// Application names the socket.
func (s *Server) Application() policy.Application {
	return policy.Application{Kind: policy.MariaDB, Socket: s.Socket()}
}

// folders are where data and logs lie, and where nothing of the set does.
type folders struct{ data, log string }

func foldersOf(p database.Place) folders {
	return folders{filepath.Join(p.Folders[0], "mariadb"), filepath.Join(p.Folders[len(p.Folders)-1], "mariadb-log")}
}

func (f folders) args() []string {
	return []string{"--datadir=" + f.data, "--innodb-log-group-home-dir=" + f.log, "--aria-log-dir-path=" + f.log}
}

// Start makes an empty server and starts it.
func (s *Server) Start(ctx context.Context, p database.Place) error {
	s.place = p
	f := foldersOf(p)
	// A server that starts removes what others have in its folder for temporary
	// tables, hence each has its own.
	tmp := filepath.Join(p.Room, "install-tmp")
	for _, dir := range []string{f.data, f.log, tmp} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	args := append([]string{"--no-defaults", "--user=root", "--auth-root-authentication-method=socket", "--auth-root-socket-user=root",
		"--skip-test-db", "--skip-name-resolve", "--tmpdir=" + tmp}, f.args()...)
	install := process.Spec{Path: program("mariadb-install-db"), Args: args, Env: append([]string{"TMPDIR=" + tmp}, p.Env...)}
	if _, err := install.Run(ctx); err != nil {
		return err
	}
	return s.launch(ctx, p, "mariadb")
}

// launch starts the server on folders that have its data.
func (s *Server) launch(ctx context.Context, p database.Place, name string) error {
	s.place = p
	tmp := filepath.Join(p.Room, name+"-tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return err
	}
	args := append([]string{"--no-defaults", "--user=root", "--socket=" + s.Socket(), "--pid-file=" + filepath.Join(p.Room, name+".pid"),
		"--tmpdir=" + tmp, "--skip-networking", "--skip-slave-start", "--innodb-flush-log-at-trx-commit=1"}, foldersOf(p).args()...)
	db, err := s.connect("")
	if err != nil {
		return err
	}
	server := process.Spec{Path: program("mariadbd"), Args: append(args, s.Args...), Env: p.Env, Own: p.Own, Log: filepath.Join(p.Room, name+".log")}
	if s.process, err = server.Start(); err != nil {
		return errors.Join(err, db.Close())
	}
	if err := s.process.Ready(ctx, db.PingContext); err != nil {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		return errors.Join(err, db.Close(), s.process.Stop(limited, syscall.SIGKILL))
	}
	s.admin = db
	return nil
}

// connect makes a pool of one connection, which is one of ours.
func (s *Server) connect(schema string) (*sql.DB, error) {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.DBName = "unix", s.Socket(), "root", schema
	cfg.InterpolateParams, cfg.Logger = true, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	return db, nil
}

// mine makes the pool's one connection, and notes that it is ours.
func (s *Server) mine(ctx context.Context, db *sql.DB) error {
	var id int64
	if err := db.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own[id] = true
	return nil
}

// settings are those that some tool or other changes to bring a server to rest.
const settings = `SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'innodb_flush_log_at_trx_commit', 'sync_binlog',
	'innodb_max_dirty_pages_pct', 'lock_wait_timeout', 'wait_timeout', 'max_statement_time', 'event_scheduler', 'flush')`

// Settings renders the server's settings.
func (s *Server) Settings(ctx context.Context) (string, error) {
	rows, err := s.admin.QueryContext(ctx, settings)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return "", err
		}
		all = append(all, name+"="+value)
	}
	return strings.Join(all, " "), rows.Err()
}

// Kill ends the sessions of others.
func (s *Server) Kill(ctx context.Context) bool {
	ids, err := s.others(ctx)
	killed := false
	for _, id := range ids {
		_, kill := s.admin.ExecContext(ctx, fmt.Sprintf("KILL CONNECTION %d", id))
		killed = killed || kill == nil
	}
	return err == nil && killed
}

func (s *Server) others(ctx context.Context) (ids []int64, err error) {
	rows, err := s.admin.QueryContext(ctx, "SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND USER = 'root'")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		if !s.own[id] {
			ids = append(ids, id)
		}
	}
	return ids, rows.Err()
}

// Stop ends the server.
func (s *Server) Stop(ctx context.Context) error {
	if s.process == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	return errors.Join(s.admin.Close(), s.process.Stop(ctx, syscall.SIGTERM))
}

// stopLimit is how long a shutdown may take.
const stopLimit = 20 * time.Second
