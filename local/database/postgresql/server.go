// Package postgresql is a real PostgreSQL server of a local run.
package postgresql

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quiesce/quiesce/guest/process"
)

const (
	account = "postgres"
	client  = "local" // the role of the load and the checks; the server's own role is left to peer authentication
	port    = "5432"
)

// Server is one cluster, running or not.
type Server struct {
	Bin      string   // folder of the programs; Find has the newest
	Root     string   // of another system that the programs are from; empty: this one's
	Data     string   // the cluster
	Log      string   // folder of the WAL; empty: with the data
	Dir      string   // short and private, for the socket and the error log
	Settings []string // name=value
	Env      []string
	Own      func(int) error

	as      process.Account
	process *process.Process
}

// Find is the folder of the newest server's programs here; empty for none.
func Find() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	slices.SortFunc(found, func(a, b string) int { return major(a) - major(b) })
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[len(found)-1])
}

func major(program string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(program))))
	return n
}

// Missing tells why no server can run here; empty if one can.
func Missing() string {
	switch {
	case os.Geteuid() != 0:
		return "root, to run the server as its own account"
	case Find() == "":
		return "postgres (Debian: postgresql)"
	}
	return ""
}

// Init makes the cluster's files.
func (s *Server) Init(ctx context.Context) error {
	if err := s.furnish(); err != nil {
		return err
	}
	args := []string{"-D", s.Data, "-U", account, "--data-checksums", "--auth-local=peer", "--auth-host=reject", "-E", "UTF8", "--locale=C"}
	if s.Log != "" {
		args = append(args, "--waldir="+s.Log)
	}
	if _, err := s.program("initdb", args...).Run(ctx); err != nil {
		return err
	}
	// The socket's folder is private, hence whoever reaches it may be the client.
	rules := "local all " + client + " trust\nlocal all all peer\nlocal replication " + client + " trust\n"
	return os.WriteFile(filepath.Join(s.Data, "pg_hba.conf"), []byte(rules), 0o600)
}

// furnish gives the account its folders.
func (s *Server) furnish() (err error) {
	if s.as, err = process.Lookup(account); err != nil {
		return err
	}
	for _, dir := range []string{s.Data, s.Log, s.Dir} {
		if dir != "" {
			if err := s.as.Give(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Server) program(name string, args ...string) process.Spec {
	return process.Spec{Account: s.as, Root: s.Root, Path: filepath.Join(s.Bin, name), Args: args, Env: s.Env}
}

// Start returns when the server answers its client.
func (s *Server) Start(ctx context.Context) (err error) {
	if err := s.furnish(); err != nil {
		return err
	}
	args := []string{"-D", s.Data, "-k", s.Dir, "-c", "listen_addresses="}
	for _, setting := range s.Settings {
		args = append(args, "-c", setting)
	}
	spec := s.program("postgres", args...)
	spec.Dir, spec.Log, spec.Own = s.Data, filepath.Join(s.Dir, "log"), s.Own
	if s.process, err = spec.Start(); err != nil {
		return err
	}
	return s.process.Ready(ctx, func(ctx context.Context) error {
		conn, err := s.connect(ctx, client)
		if refused := new(pgconn.PgError); errors.As(err, &refused) && refused.Code == "28000" {
			return nil // it answers, and does not know the client yet
		}
		if err == nil {
			_ = conn.Close(ctx)
		}
		return err
	})
}

// Stop ends the server as its operator does, without waiting for clients.
func (s *Server) Stop(ctx context.Context) error {
	if s.process == nil {
		return nil
	}
	return s.process.Stop(ctx, syscall.SIGINT)
}

// PID is the server's first process.
func (s *Server) PID() int { return s.process.PID }

// Socket is where it listens.
func (s *Server) Socket() string { return filepath.Join(s.Dir, ".s.PGSQL."+port) }

// Connect opens a connection of the client's, which may do everything.
func (s *Server) Connect(ctx context.Context) (*pgconn.PgConn, error) { return s.connect(ctx, client) }

func (s *Server) connect(ctx context.Context, role string) (*pgconn.PgConn, error) {
	config, err := pgconn.ParseConfig(fmt.Sprintf("host=%s port=%s user=%s dbname=postgres sslmode=disable application_name=local", s.Dir, port, role))
	if err != nil {
		return nil, err
	}
	return pgconn.ConnectConfig(ctx, config)
}

// Admit makes the client's role, as the server's own account does.
func (s *Server) Admit(ctx context.Context) error {
	spec := s.program("psql", "-X", "-q", "-h", s.Dir, "-d", "postgres", "-c", "CREATE ROLE "+client+" LOGIN SUPERUSER REPLICATION")
	_, err := spec.Run(ctx)
	return err
}

// Exec runs commands on a connection of their own.
func (s *Server) Exec(ctx context.Context, sql string) error {
	_, err := s.Query(ctx, sql)
	return err
}

// Query returns the rows of the last command, as texts.
func (s *Server) Query(ctx context.Context, sql string) ([][]string, error) {
	conn, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(sql))
	}
	var rows [][]string
	for _, fields := range results[len(results)-1].Rows {
		row := make([]string, len(fields))
		for i, f := range fields {
			row[i] = string(f)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// GiveFolder makes a folder that the server may use, such as a tablespace's.
func (s *Server) GiveFolder(dir string) error { return s.as.Give(dir) }

// Follow makes the files of a standby of a server that runs.
func (s *Server) Follow(ctx context.Context, primary *Server) error {
	if err := s.furnish(); err != nil {
		return err
	}
	_, err := s.program("pg_basebackup", "-h", primary.Dir, "-p", port, "-U", client, "-D", s.Data, "--waldir="+s.Log, "-R", "-c", "fast").Run(ctx)
	return err
}
