package redis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quiesce/quiesce/local/database"
	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// Database is the server of one run. All its files are in one folder, hence on
// the first volume; the others are frozen with it and hold nothing of it.
type Database struct {
	Sizes []string // name value; further settings of the server

	server  *Server
	admin   *redis.Conn // made by Load, for when no connection may be opened
	writers *redis.Client
	load    *database.Writing
	child   int // process that Occupy made
}

var _ database.Database = (*Database)(nil)

// New makes a server that acknowledges nothing before it is on disk.
func New() *Database {
	return &Database{Sizes: []string{"appendonly yes", "appendfsync always", "auto-aof-rewrite-min-size 1mb", "save 60 1000"}}
}

func (d *Database) over(p database.Place) *Server {
	return &Server{
		Data: filepath.Join(p.Folders[0], "redis"), Dir: filepath.Join(p.Room, "redis"),
		Settings: d.Sizes, Env: p.Env, Own: p.Own,
	}
}

// Start makes an empty server and starts it.
func (d *Database) Start(ctx context.Context, p database.Place) error {
	d.server = d.over(p)
	return d.server.Start(ctx)
}

// Application names the socket.
func (d *Database) Application() policy.Application {
	app := policy.Application{Kind: policy.Redis}
	if d.server != nil {
		app.Socket = d.server.Socket()
	}
	return app
}

// Settings renders all of the server's.
func (d *Database) Settings(ctx context.Context) (string, error) {
	pairs, err := d.server.Client().ConfigGet(ctx, "*").Result()
	return fmt.Sprint(pairs), err
}

// Kill ends the sessions of others; the pause that one may have made stays.
func (d *Database) Kill(ctx context.Context) bool {
	list, err := d.admin.Do(ctx, "CLIENT", "LIST").Text()
	killed := false
	for line := range strings.Lines(list) {
		id, rest, _ := strings.Cut(strings.TrimPrefix(line, "id="), " ")
		if strings.Contains(rest, " name=quiesce ") {
			killed = d.admin.Do(ctx, "CLIENT", "KILL", "ID", id).Err() == nil || killed
		}
	}
	return err == nil && killed
}

// Occupy has the server write its append-only file anew, so slowly that it does
// not end before Acks.
func (d *Database) Occupy(ctx context.Context) error {
	for _, command := range [][]any{
		{"CONFIG", "SET", slowly, "600000000"}, {"BGREWRITEAOF"}, {"CONFIG", "SET", slowly, "0"},
	} {
		if err := d.server.Client().Do(ctx, command...).Err(); err != nil {
			return err
		}
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", d.server.PID()))
	if err != nil {
		return err
	}
	d.child, err = strconv.Atoi(strings.TrimSpace(string(data)))
	return err
}

// slowly is a setting that is made for tests: microseconds for each key.
const slowly = "rdb-key-save-delay"

// resume ends what Occupy began, by the signal with which the server would.
func (d *Database) resume() error {
	if d.child == 0 {
		return nil
	}
	child := d.child
	d.child = 0
	return syscall.Kill(child, syscall.SIGUSR1)
}

// Stop ends the server.
func (d *Database) Stop(ctx context.Context) error {
	if d.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	if d.admin != nil {
		_ = d.admin.Close()
	}
	return errors.Join(d.resume(), d.server.Stop(ctx))
}

const (
	stopLimit  = 20 * time.Second
	startLimit = 60 * time.Second
)

// Check has the append-only file checked as it is, and starts a second server.
func (d *Database) Check(ctx context.Context, p database.Place, _ run.Consistency) (checked database.Checked, err error) {
	second := d.over(p)
	manifests, err := filepath.Glob(filepath.Join(second.Data, "appendonlydir", "*.manifest"))
	if err != nil || len(manifests) != 1 {
		return checked, fmt.Errorf("%d manifests of an append-only file: %w", len(manifests), err)
	}
	if err := second.furnish(); err != nil {
		return checked, err
	}
	if _, err := second.program("redis-check-aof", manifests[0]).Run(ctx); err != nil {
		checked.Findings = append(checked.Findings, err.Error())
	}
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	began := time.Now()
	err = second.Start(limited)
	checked.RecoveryMs = float64(time.Since(began).Microseconds()) / 1000
	defer func() {
		ended, cancel := context.WithTimeout(ctx, stopLimit)
		defer cancel()
		err = errors.Join(err, second.Stop(ended))
	}()
	if err != nil {
		if ctx.Err() == nil {
			checked.Findings, err = append(checked.Findings, err.Error()), nil
		}
		return checked, err
	}
	for i, t := range tables {
		contents, err := second.records(ctx, t)
		if err != nil {
			return checked, err
		}
		checked.Tables = append(checked.Tables, ledger.Volume{Name: t, Contents: contents, Paired: i == 1})
	}
	return checked, nil
}

// records reads a list of them in order.
func (s *Server) records(ctx context.Context, table string) (c ledger.Contents, err error) {
	texts, err := s.client.LRange(ctx, table, 0, -1).Result()
	for _, text := range texts {
		var r ledger.Record
		if _, err := fmt.Sscan(text, &r.N, &r.Issued); err != nil {
			return c, fmt.Errorf("%s: %q: %w", table, text, err)
		}
		c.Records = append(c.Records, r)
	}
	return c, err
}
