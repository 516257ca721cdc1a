package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
)

// state is what a server tells of itself at one moment.
type state struct {
	client  string // the id of this connection: never given twice in one life of the server
	run     string // the server's id of this life of it
	version string
	replica bool
	busy    string // what occupies its files, in words; empty for nothing

	aof      bool
	written  string // how much the append-only file has taken and when it was begun anew
	changes  int    // since the snapshot file
	saved    string // when that was
	saveOK   bool
	saveTook time.Duration
	saves    bool // there are points at which it is written
	paused   string
}

// state asks for everything at once.
func (c *client) state(ctx context.Context) (state, error) {
	cmd, err := c.do(ctx, "CLIENT", "ID")
	if err != nil {
		return state{}, err
	}
	s := state{client: fmt.Sprint(cmd.Val())}
	if cmd, err = c.do(ctx, "INFO"); err != nil {
		return state{}, err
	}
	text, err := cmd.Text()
	if err != nil {
		return state{}, fault.Wrap(fault.ApplicationRefused, err, "INFO")
	}
	points, err := c.setting(ctx, "save")
	if err != nil {
		return state{}, err
	}
	s.read(text)
	s.saves = points != ""
	return s, nil
}

// read takes what it needs of INFO. A field that is not there is as zero.
func (s *state) read(info string) {
	at := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			at[name] = value
		}
	}
	number := func(name string) int { n, _ := strconv.Atoi(at[name]); return n }
	on := func(name string) bool { return number(name) != 0 }
	s.run, s.version = at["run_id"], at["redis_version"]
	s.replica = at["role"] == "slave"
	s.aof = on("aof_enabled")
	s.written = strings.Join([]string{at["aof_current_size"], at["aof_base_size"], at["aof_rewrites"], at["aof_last_rewrite_time_sec"]}, "/")
	s.changes, s.saved, s.saveOK = number("rdb_changes_since_last_save"), at["rdb_last_save_time"], at["rdb_last_bgsave_status"] == "ok"
	s.saveTook = time.Duration(max(0, number("rdb_last_bgsave_time_sec"))) * time.Second
	if s.paused = at["paused_reason"]; s.paused == "none" {
		s.paused = ""
	}
	switch failover := at["master_failover_state"]; {
	case on("loading"):
		s.busy = "the server is loading its data"
	case failover != "" && failover != "no-failover":
		s.busy = "a failover is in progress"
	case on("aof_rewrite_in_progress"), on("aof_rewrite_scheduled"):
		s.busy = "the append-only file is being rewritten"
	case s.aof && on("aof_buffer_length"):
		s.busy = "the append-only file has not taken all writes yet"
	case !s.aof && on("rdb_bgsave_in_progress"):
		s.busy = "a snapshot file is being written"
	}
	if s.aof && at["aof_last_write_status"] != "ok" {
		s.busy = "the append-only file cannot be written"
	}
}

// allow refuses what cannot be held, by what is known without touching it.
func (s state) allow() error {
	var major, minor int
	if n, err := fmt.Sscanf(s.version, "%d.%d", &major, &minor); n < 2 {
		return fault.Wrap(fault.ApplicationRefused, err, "the server's version %q is not understood", s.version)
	}
	switch {
	case major < 6 || major == 6 && minor < 2:
		return fault.New(fault.ApplicationRefused, "version %s cannot pause writes alone: 6.2 can", s.version)
	case !s.aof && !s.saves:
		return fault.New(fault.ApplicationRefused, "the server keeps neither an append-only file nor snapshot files: a set would hold nothing of it")
	}
	return nil
}

// differs tells what is not as it was; empty if all is. Any write is a change
// and goes to the append-only file, so that a pause which broke for as long as
// one write shows. The times of files that somebody had written meanwhile do too.
func (s state) differs(now state) string {
	switch {
	case now.run != s.run:
		return fmt.Sprintf("the server was restarted: its run was %s and is %s", s.run, now.run)
	case now.client != s.client:
		return fmt.Sprintf("session %s answers as %s", s.client, now.client)
	case now.busy != "":
		return now.busy
	case now.aof != s.aof:
		return "the append-only file was turned on or off"
	case s.aof && now.written != s.written:
		return fmt.Sprintf("the append-only file was written to: %s, then %s", s.written, now.written)
	case !s.aof && (now.changes != s.changes || now.saved != s.saved):
		return fmt.Sprintf("data was changed: %d changes since %s, then %d since %s", s.changes, s.saved, now.changes, now.saved)
	case now.paused != s.paused:
		return fmt.Sprintf("the pause is not what it was: %q, then %q", s.paused, now.paused)
	}
	return ""
}

// session names the connection in this life of the server.
func (c *client) session(s state) string { return s.client + "/" + s.run }
