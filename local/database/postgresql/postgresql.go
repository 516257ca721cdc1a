package postgresql

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

	"github.com/quiesce/quiesce/local/database"
	"github.com/quiesce/quiesce/shared/policy"
)

// Database is the server of one run: its data on the first volume, its WAL on
// the last, and a tablespace on one in between.
type Database struct {
	Sizes []string // name=value; further ones of the server, such as its sizes

	server  *Server
	spaces  []string // folders of tablespaces
	load    *database.Writing
	stopped []int // processes that Occupy stopped
}

var _ database.Database = (*Database)(nil)

// sizes of the server, by the name of its logs: of a run of seconds, as small as
// they can be, and what the server takes if nobody says anything.
var sizes = map[database.Logs][]string{
	database.Brief:    {"shared_buffers=64MB", "max_connections=20", "max_wal_size=256MB"},
	database.Small:    {"shared_buffers=16MB", "max_connections=20", "max_wal_size=32MB", "min_wal_size=32MB"},
	database.Ordinary: {"shared_buffers=128MB", "max_connections=20", "max_wal_size=1GB"},
}

// New makes a server with logs of a size.
func New(logs database.Logs) *Database { return &Database{Sizes: sizes[logs]} }

// over is the server on a place's folders, with those of its tablespaces.
func (d *Database) over(p database.Place) (*Server, []string) {
	last := len(p.Folders) - 1
	var spaces []string
	for _, folder := range p.Folders[1:max(1, last)] {
		spaces = append(spaces, filepath.Join(folder, "postgresql-space"))
	}
	return &Server{
		Bin: Find(), Data: filepath.Join(p.Folders[0], "postgresql"), Log: filepath.Join(p.Folders[last], "postgresql-wal"),
		Dir: filepath.Join(p.Room, "postgresql"), Settings: d.Sizes, Env: p.Env, Own: p.Own,
	}, spaces
}

// Start makes an empty server and starts it.
func (d *Database) Start(ctx context.Context, p database.Place) error {
	d.server, d.spaces = d.over(p)
	if err := d.server.Init(ctx); err != nil {
		return err
	}
	if err := d.server.Start(ctx); err != nil {
		return err
	}
	return d.server.Admit(ctx)
}

// Application names the socket.
func (d *Database) Application() policy.Application {
	app := policy.Application{Kind: policy.PostgreSQL}
	if d.server != nil {
		app.Socket = d.server.Socket()
	}
	return app
}

// Settings renders all of the server's, and whose sessions there are. One that
// was ended just now may take a moment to go.
func (d *Database) Settings(ctx context.Context) (string, error) {
	const ask = `SELECT string_agg(name || '=' || setting, ' ' ORDER BY name),
		(SELECT count(*) FROM pg_stat_activity WHERE application_name = 'quiesce') FROM pg_settings`
	for wait := 0; ; wait++ {
		rows, err := d.server.Query(ctx, ask)
		if err != nil {
			return "", err
		}
		if rows[0][1] == "0" || wait > 100 {
			return strings.Join(rows[0], " sessions="), nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Kill ends the sessions of others by the signal with which the server does,
// because the server itself may hang while its files are frozen.
func (d *Database) Kill(context.Context) bool {
	killed := false
	for _, pid := range d.processes(account + " ") {
		killed = syscall.Kill(pid, syscall.SIGTERM) == nil || killed
	}
	return killed
}

// processes are those of the server whose title goes on with a word.
func (d *Database) processes(title string) (pids []int) {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", d.server.PID(), d.server.PID()))
	for _, word := range strings.Fields(string(data)) {
		line, _ := os.ReadFile("/proc/" + word + "/cmdline")
		if pid, err := strconv.Atoi(word); err == nil && strings.HasPrefix(string(line), "postgres: "+title) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Occupy stops the process that makes checkpoints, as a disk that does not
// answer would: no statement holds a checkpoint off.
func (d *Database) Occupy(context.Context) error {
	pids := d.processes("checkpointer")
	if len(pids) != 1 {
		return fmt.Errorf("the server has %d checkpointers", len(pids))
	}
	d.stopped = pids
	return syscall.Kill(pids[0], syscall.SIGSTOP)
}

func (d *Database) resume() (err error) {
	for _, pid := range d.stopped {
		err = errors.Join(err, syscall.Kill(pid, syscall.SIGCONT))
	}
	d.stopped = nil
	return err
}

// Stop ends the server.
func (d *Database) Stop(ctx context.Context) error {
	if d.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	return errors.Join(d.resume(), d.server.Stop(ctx))
}

// stopLimit is how long a shutdown may take, which makes a checkpoint.
const stopLimit = 20 * time.Second
