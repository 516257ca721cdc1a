package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Database is a server whose client the ledger is: a lock on it holds the
// ledger between two records. The lock ends with the session that has it; a
// setting that a session has changed outlives it, until the server is started
// again.
type Database struct {
	m      *Machine
	ledger *Ledger
	dirs   []string

	mu       sync.Mutex
	serial   int
	sessions map[string]*connection
	locked   string // the session that has the lock; empty: none
	settings map[string]string
}

// Purge is the setting that a quiesce changes, and Usual its value.
const (
	Purge = "purge"
	Usual = "on"
)

// StartDatabase puts a server in front of a ledger.
func (m *Machine) StartDatabase(l *Ledger, dirs []string) *Database {
	d := &Database{m: m, ledger: l, dirs: dirs, sessions: map[string]*connection{}, settings: map[string]string{Purge: Usual}}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.databases = append(m.databases, d)
	return d
}

// State tells which session has the lock, how many there are, and the settings
// that are not as they usually are.
func (d *Database) State() (locked string, sessions int, changed []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, value := range d.settings {
		if value != Usual {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	return d.locked, len(d.sessions), changed
}

// Idle reports that nobody holds the server and that its settings are the usual
// ones.
func (d *Database) Idle() bool {
	locked, sessions, changed := d.State()
	return locked == "" && sessions == 0 && len(changed) == 0
}

// KillSession ends the session that has the lock, as an operator does. It
// reports whether there was one.
func (d *Database) KillSession() bool {
	d.mu.Lock()
	c := d.sessions[d.locked]
	d.mu.Unlock()
	if c == nil {
		return false
	}
	d.m.tell(Event{Kind: Died, By: "the session " + c.id})
	c.end()
	return true
}

func (d *Database) crash() {
	d.mu.Lock()
	var all []*connection
	for _, c := range d.sessions {
		all = append(all, c)
	}
	d.settings[Purge] = Usual
	d.mu.Unlock()
	for _, c := range all {
		c.end()
	}
}

func (d *Database) set(name, value string) {
	d.mu.Lock()
	changed := d.settings[name] != value
	d.settings[name] = value
	d.mu.Unlock()
	if changed {
		d.m.tell(Event{Kind: Changed, Text: name + "=" + value})
	}
}

// connection is one session on the server.
type connection struct {
	d    *Database
	id   string
	dead chan struct{}
	once sync.Once
}

func (d *Database) connect() *connection {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.serial++
	c := &connection{d: d, id: fmt.Sprintf("session-%d", d.serial), dead: make(chan struct{})}
	d.sessions[c.id] = c
	return c
}

// lock holds the ledger for this session until unlock or the session's end.
func (c *connection) lock(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-c.dead:
			cancel()
		case <-ctx.Done():
		}
	}()
	if _, err := c.d.ledger.writer.Pause(ctx, c.id); err != nil {
		return fault.Wrap(fault.ApplicationBusy, err, "the lock was not had")
	}
	c.d.mu.Lock()
	there := c.d.sessions[c.id] == c
	if there {
		c.d.locked = c.id
		c.d.m.tell(Event{Kind: Rested, By: c.id})
	}
	c.d.mu.Unlock()
	if !there {
		c.d.ledger.writer.Resume(c.id)
		return fault.New(fault.ApplicationRefused, "the session ended")
	}
	return nil
}

func (c *connection) unlock() {
	c.d.mu.Lock()
	if c.d.locked == c.id {
		c.d.locked = ""
		c.d.m.tell(Event{Kind: Resumed, By: c.id})
	}
	c.d.mu.Unlock()
	c.d.ledger.writer.Resume(c.id)
}

// end closes the session from whatever side.
func (c *connection) end() {
	c.once.Do(func() {
		close(c.dead)
		c.d.mu.Lock()
		delete(c.d.sessions, c.id)
		c.d.mu.Unlock()
		c.unlock()
	})
}

// adapter holds the server for one session of the helper.
type adapter struct {
	d       *Database
	options protocol.Application
	journal application.Journal

	mu      sync.Mutex
	c       *connection
	was     string // the setting; empty: not touched
	dropped bool
}

type entry struct {
	Boot string
	Was  string
}

// New makes the adapter of this server.
func (d *Database) New(options protocol.Application, journal application.Journal) (application.Adapter, error) {
	return &adapter{d: d, options: options, journal: journal}, nil
}

func (a *adapter) Look(context.Context) (protocol.Server, error) {
	return protocol.Server{Kind: a.options.Kind, Version: "simulated", Dirs: a.d.dirs}, nil
}

func (a *adapter) Quiesce(ctx context.Context) (application.Held, error) {
	a.mu.Lock()
	if a.dropped {
		a.mu.Unlock()
		return application.Held{}, fault.New(fault.ApplicationRefused, "the process is dead")
	}
	c := a.d.connect()
	a.c = c
	a.mu.Unlock()
	a.d.mu.Lock()
	was := a.d.settings[Purge]
	a.d.mu.Unlock()
	line, err := json.Marshal(entry{a.d.m.boot, was})
	if err == nil {
		err = a.journal(line)
	}
	if err != nil {
		return application.Held{}, err
	}
	a.was = was
	a.d.set(Purge, "off")
	if err := c.lock(ctx); err != nil {
		return application.Held{}, err
	}
	return application.Held{SessionID: c.id, Version: "simulated"}, nil
}

func (a *adapter) StillHeld(context.Context) error {
	a.d.mu.Lock()
	defer a.d.mu.Unlock()
	if a.c == nil || a.d.sessions[a.c.id] != a.c || a.d.locked != a.c.id {
		return fault.New(fault.HoldLost, "the session does not answer")
	}
	return nil
}

func (a *adapter) Release(context.Context) (map[string]string, error) {
	a.mu.Lock()
	c := a.c
	a.mu.Unlock()
	if c == nil {
		return nil, nil
	}
	if a.was != "" {
		a.d.set(Purge, a.was)
	}
	c.end()
	return nil, nil
}

func (a *adapter) Undo(_ context.Context, journal []byte) error {
	if len(journal) == 0 {
		return nil
	}
	var e entry
	if err := json.Unmarshal(journal, &e); err != nil {
		return err
	}
	if e.Boot == a.d.m.boot {
		a.d.set(Purge, e.Was)
	}
	return nil
}

// Drop ends the connection with its process.
func (a *adapter) Drop() {
	a.mu.Lock()
	c := a.c
	a.dropped = true
	a.mu.Unlock()
	if c != nil {
		c.end()
	}
}
