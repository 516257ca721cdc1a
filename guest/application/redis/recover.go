package redis

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/guest/process"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Recoverer starts a second server on the files that have their usual names.
type Recoverer struct{}

var _ application.Recoverer = Recoverer{}

// The files of a server: a dump, an append-only file in parts with a list of
// them, or one as older servers had it.
const (
	dump     = "dump.rdb"
	appends  = "appendonlydir"
	appended = "appendonly.aof"
)

// Find knows a data folder by any of the server's files.
func (Recoverer) Find(folder string) bool {
	return there(folder, dump) || there(folder, appended) || manifest(folder) != ""
}

func there(folder, name string) bool {
	fi, err := os.Lstat(filepath.Join(folder, name))
	return err == nil && fi.Mode().IsRegular()
}

func manifest(folder string) string {
	found, _ := filepath.Glob(filepath.Join(folder, appends, "*.manifest"))
	if len(found) == 0 {
		return ""
	}
	return found[0]
}

// names of the one program, which checks by the second and third.
const (
	serverName = "redis-server"
	rdbName    = "redis-check-rdb"
	aofName    = "redis-check-aof"
)

func program() string {
	for _, name := range []string{serverName, rdbName} {
		for _, folder := range []string{"/usr/bin/", "/usr/local/bin/"} {
			if path, err := exec.LookPath(folder + name); err == nil {
				return path
			}
		}
	}
	return ""
}

// Recover checks the files, lets a server load them, and counts what it has.
func (Recoverer) Recover(ctx context.Context, c application.Copy) (seen protocol.SecondServer, err error) {
	seen = protocol.SecondServer{Kind: Kind, Data: c.Data}
	finding := func(format string, args ...any) { seen.Findings = append(seen.Findings, fmt.Sprintf(format, args...)) }
	path := program()
	if path == "" {
		return seen, fault.New(fault.ApplicationNotFound, "redis-server is not installed here")
	}
	s, err := c.Settle()
	if err != nil {
		return seen, err
	}
	as := func(name string, args ...string) process.Spec {
		if own, err := exec.LookPath(filepath.Join(filepath.Dir(path), name)); err == nil {
			return s.Spec(own, args...)
		}
		spec := s.Spec(path, args...)
		spec.Name = name
		return spec
	}
	if there(c.Data, dump) {
		said, err := as(rdbName, filepath.Join(c.Data, dump)).Run(ctx)
		if err != nil {
			finding("%s: %s", rdbName, application.Blame(said, "--- RDB ERROR"))
		} else {
			seen.Checked = rdbName + ", "
		}
	}
	// A tail that was cut off is what a power cut leaves, and the server takes
	// it away; whether it is more than that, its start tells.
	log, only := manifest(c.Data), "no"
	if log == "" && there(c.Data, appended) {
		log = filepath.Join(c.Data, appended)
	}
	if log != "" {
		only = "yes"
		if said, err := as(aofName, log).Run(ctx); err != nil {
			c.Note("%s: %s", aofName, application.Blame(said, "is not valid", "not valid"))
		} else {
			seen.Checked += aofName + ", "
		}
	}
	if ctx.Err() != nil {
		return seen, context.Cause(ctx)
	}
	if len(seen.Findings) > 0 {
		return seen, nil
	}
	socket := filepath.Join(s.Dir, "sock")
	spec := as(serverName, "--port", "0", "--unixsocket", socket, "--dir", c.Data, "--daemonize", "no", "--save", "", "--appendonly", only,
		"--replicaof", "no", "one", "--pidfile", filepath.Join(s.Dir, "pid"), "--protected-mode", "yes")
	spec.Log = s.Log()
	silence.Do(func() { redis.SetLogger(mute{}) })
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true})
	defer client.Close()
	began := time.Now()
	server, err := spec.Start()
	if err != nil {
		return seen, fault.Wrap(fault.Internal, err, "starting %s", path)
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), application.StopLimit)
		defer cancel()
		if stopped := server.Stop(ending, syscall.SIGTERM); stopped != nil && err == nil {
			finding("%v", stopped)
		}
	}()
	if err := server.Ready(ctx, func(ctx context.Context) error { return client.Ping(ctx).Err() }); err != nil {
		if ctx.Err() != nil {
			return seen, context.Cause(ctx)
		}
		finding("it does not start: %s", application.Blame(err.Error(), "Bad file format", "Wrong signature", "Fatal", "Error", "error"))
		return seen, nil
	}
	seen.Started, seen.RecoveryMs = true, float64(time.Since(began).Microseconds())/1000
	about, err := client.Info(ctx).Result()
	if err != nil {
		if ctx.Err() != nil {
			return seen, context.Cause(ctx)
		}
		finding("it does not answer: %v", err)
		return seen, nil
	}
	keys := 0
	for line := range strings.Lines(about) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		var n int
		switch {
		case name == "redis_version":
			seen.Version = value
		case strings.HasPrefix(name, "db"):
			if _, err := fmt.Sscanf(value, "keys=%d,", &n); err == nil {
				keys += n
			}
		}
	}
	seen.Checked += fmt.Sprintf("%d keys loaded", keys)
	return seen, c.Visit(ctx, socket)
}
