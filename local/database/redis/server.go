// Package redis is a real Redis server of a local run.
package redis

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/quiesce/quiesce/guest/process"
)

// accounts are the server's own, where its package has made it, or anybody's.
var accounts = []string{"redis", "nobody"}

// Names of the one program, which is a server by the first of them. Debian has
// it under the second among the tools, without a service that starts.
const (
	name  = "redis-server"
	alias = "redis-check-rdb"
)

// Server is one server, running or not. All its files are in one folder.
type Server struct {
	Path     string   // of the program; empty: this system's
	Root     string   // of another system that the program is from; empty: this one's
	Data     string   // where its files are
	Dir      string   // short and private, for the socket and the log
	Settings []string // name value
	Env      []string
	Own      func(int) error

	as      process.Account
	process *process.Process
	client  *redis.Client
}

// Find is this system's server; empty for none.
func Find() string {
	for _, n := range []string{name, alias} {
		if path, err := exec.LookPath(n); err == nil {
			return path
		}
	}
	return ""
}

// Missing tells why no server can run here; empty if one can.
func Missing() string {
	switch {
	case os.Geteuid() != 0:
		return "root, to run the server as its own account"
	case Find() == "":
		return name + " (Debian: redis-tools)"
	}
	return ""
}

// Start returns when the server has loaded its files and answers.
func (s *Server) Start(ctx context.Context) (err error) {
	if err := s.furnish(); err != nil {
		return err
	}
	args := []string{"--port", "0", "--unixsocket", s.Socket(), "--dir", s.Data, "--daemonize", "no"}
	for _, setting := range s.Settings {
		key, value, _ := strings.Cut(setting, " ")
		args = append(args, "--"+key, value)
	}
	spec := s.program(name, args...)
	spec.Path, spec.Name, spec.Dir, spec.Log, spec.Own = s.Path, name, s.Dir, filepath.Join(s.Dir, "log"), s.Own
	s.client = redis.NewClient(&redis.Options{Network: "unix", Addr: s.Socket(), Protocol: 2, DisableIdentity: true, MaxRetries: -1, ContextTimeoutEnabled: true})
	if s.process, err = spec.Start(); err != nil {
		return err
	}
	return s.process.Ready(ctx, func(ctx context.Context) error {
		err := s.client.Ping(ctx).Err()
		if redis.HasErrorPrefix(err, "NOAUTH") {
			return nil // it answers, to those who know its password
		}
		return err
	})
}

// furnish gives the account its folders.
func (s *Server) furnish() (err error) {
	for _, account := range accounts {
		if s.as, err = process.Lookup(account); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	if s.Path == "" {
		s.Path = Find()
	}
	return errors.Join(s.as.Give(s.Data), s.as.Give(s.Dir))
}

// program is one beside the server's own.
func (s *Server) program(name string, args ...string) process.Spec {
	return process.Spec{Account: s.as, Root: s.Root, Path: filepath.Join(filepath.Dir(s.Path), name), Args: args, Env: s.Env}
}

// Stop ends the server as its operator does; what it had acknowledged is in its
// files, or lost with the pause that it is in.
func (s *Server) Stop(ctx context.Context) error {
	if s.process == nil {
		return nil
	}
	_ = s.client.Close()
	return s.process.Stop(ctx, syscall.SIGTERM)
}

// Socket is where it listens.
func (s *Server) Socket() string { return filepath.Join(s.Dir, "s") }

// Client is for the load and the checks.
func (s *Server) Client() *redis.Client { return s.client }

// PID is the server's first process.
func (s *Server) PID() int { return s.process.PID }
