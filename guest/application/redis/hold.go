package redis

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
)

// hold is what must still be so at its end.
type hold struct {
	until time.Time // when the pause runs out by itself, as counted here from before it
	state state
}

// entry is what the journal keeps: with it another process can take back what
// was done to a server, and tells that server from a later one.
type entry struct {
	Run      string             `json:"run"` // the server's own id of this life of it
	Settings map[string]setting `json:"settings,omitempty"`
}

// setting is restored only while it is still what it was set to.
type setting struct{ Was, Set string }

func readEntry(journal []byte) (e entry, err error) {
	if len(journal) > 0 {
		err = fault.Wrap(fault.Internal, json.Unmarshal(journal, &e), "reading the journal")
	}
	return e, err
}

// pause keeps the server from rewriting its file and from closing the session,
// and then pauses writes. The journal knows before the server does.
func (a *Adapter) pause(ctx context.Context, s state) error {
	e := entry{Run: s.run, Settings: map[string]setting{}}
	for name, value := range map[string]string{"auto-aof-rewrite-percentage": "0", "timeout": "0"} {
		was, err := a.client.setting(ctx, name)
		if err != nil {
			return err
		}
		if was != value {
			e.Settings[name] = setting{was, value}
		}
	}
	line, err := json.Marshal(e)
	if err == nil && a.journal != nil {
		err = a.journal(line)
	}
	if err != nil {
		return fault.Wrap(fault.Internal, err, "keeping the journal")
	}
	a.undo = e
	for name, v := range e.Settings {
		if _, err := a.client.do(ctx, "CONFIG", "SET", name, v.Set); err != nil {
			return err
		}
	}
	a.held.until = time.Now().Add(a.longest)
	_, err = a.client.do(ctx, "CLIENT", "PAUSE", strconv.FormatInt(a.longest.Milliseconds(), 10), "WRITE")
	return err
}

// restore ends the pause and gives the settings back their values. A pause that
// is over, and a value that somebody else has set since, are left alone.
func (c *client) restore(ctx context.Context, e entry) error {
	ctx, cancel := context.WithTimeout(ctx, proofLimit)
	defer cancel()
	s, err := c.state(ctx)
	if err != nil || s.run != e.Run {
		return err
	}
	if _, err := c.do(ctx, "CLIENT", "UNPAUSE"); err != nil {
		return err
	}
	for name, v := range e.Settings {
		is, err := c.setting(ctx, name)
		if err != nil {
			return err
		}
		if is != v.Set {
			continue
		}
		if _, err := c.do(ctx, "CONFIG", "SET", name, v.Was); err != nil {
			return err
		}
	}
	return nil
}

// quiet waits until the server is not occupied with its files. Where the limit
// ends it in the middle of a command, its socket may tell before ctx does: what
// was waited for is said all the same.
func (c *client) quiet(ctx context.Context) (state, error) {
	for why := ""; ; {
		s, err := c.state(ctx)
		if why != "" && fault.CodeOf(err) == fault.ApplicationBusy {
			return s, fault.Wrap(fault.ApplicationBusy, cmp.Or(context.Cause(ctx), err), "%s", why)
		}
		if err == nil {
			err = s.allow()
		}
		if err != nil || s.busy == "" {
			return s, err
		}
		why = s.busy
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return s, fault.Wrap(fault.ApplicationBusy, context.Cause(ctx), "%s", why)
		}
	}
}

// store is where the server keeps what it knows.
type store struct {
	dir  string
	file string // or folder of them
}

// store asks for the files, and refuses those that this process does not see:
// they are on another machine or in a container, and not on these volumes.
func (c *client) store(ctx context.Context, s state) (store, error) {
	dir, err := c.setting(ctx, "dir")
	if err != nil {
		return store{}, err
	}
	if _, err := os.Stat(dir); err != nil {
		return store{}, fault.Wrap(fault.ApplicationRefused, err, "the server's folder is not to be seen from here")
	}
	name := "dbfilename"
	if s.aof {
		if name, err = c.aofSetting(ctx); err != nil {
			return store{}, err
		}
	}
	file, err := c.setting(ctx, name)
	return store{dir, filepath.Join(dir, file)}, err
}

// aofSetting is that of the folder of append-only files, which was one file
// before version 7.
func (c *client) aofSetting(ctx context.Context) (string, error) {
	folder, err := c.setting(ctx, "appenddirname")
	if err == nil && folder == "" {
		return "appendfilename", nil
	}
	return "appenddirname", err
}

// persist sees on disk, under the pause, all that was written before it. The
// append-only file is complete once the server's buffer is empty, and is then
// synchronised from here: the server does so when it likes, or never, and its
// WAITAOF speaks for the writes of its own client alone.
func (c *client) persist(ctx context.Context, s state, st store) error {
	if !s.aof && s.changes > 0 {
		if err := c.save(ctx, s); err != nil {
			return err
		}
	}
	// The folder comes last, for what is new in it.
	err := synchronise(st.file)
	if err == nil {
		err = syncFile(st.dir)
	}
	return fault.Wrap(fault.ApplicationRefused, err, "synchronising the server's files")
}

// save has a snapshot file written and sees that it holds everything.
func (c *client) save(ctx context.Context, before state) error {
	if _, err := c.do(ctx, "BGSAVE"); err != nil {
		return err
	}
	s, err := c.quiet(ctx)
	if err != nil {
		return err
	}
	if !s.saveOK || s.changes > 0 {
		return fault.New(fault.ApplicationRefused, "the snapshot file was not written, or lacks %d changes of %d", s.changes, before.changes)
	}
	return nil
}

// synchronise makes a file durable, or a folder with all files in it.
func synchronise(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil && !errors.Is(err, syscall.ENOTDIR) {
		return err
	}
	for _, e := range entries {
		if err := syncFile(filepath.Join(path, e.Name())); err != nil {
			return err
		}
	}
	return syncFile(path)
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
