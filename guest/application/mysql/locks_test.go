package mysql

import (
	"time"

	wire "github.com/go-mysql-org/go-mysql/mysql"
)

// locks are the server's, as its manual has them. All is guarded by the mutex.
type locks struct {
	readers  map[*client]bool // hold FLUSH TABLES WITH READ LOCK
	awaited  map[*client]bool // wait for it, and hold writers up already
	instance map[*client]bool // hold LOCK INSTANCE FOR BACKUP
	defining map[*client]bool // change a definition
	uses     []use
	flushes  int // so often all tables were to be closed
	rows     int
}

// use is a table that a statement has open, since which flush.
type use struct {
	by     *client
	table  string
	writes bool
	flush  int
}

func newLocks() locks {
	set := func() map[*client]bool { return map[*client]bool{} }
	return locks{readers: set(), awaited: set(), instance: set(), defining: set()}
}

// others counts those besides one.
func others(set map[*client]bool, c *client) int {
	n := len(set)
	if set[c] {
		n--
	}
	return n
}

// forget lets go what a session held.
func (s *fake) forget(c *client) {
	for _, set := range []map[*client]bool{s.readers, s.awaited, s.instance, s.defining} {
		delete(set, c)
	}
	s.change()
}

// used reports whether a table is open for somebody whom that is true of.
func (s *fake) used(of func(use) bool) bool {
	for _, u := range s.uses {
		if of(u) {
			return true
		}
	}
	return false
}

// run is a statement that has a table open for as long as it runs.
func (c *client) run(table string, writes bool, lasts time.Duration) error {
	if writes {
		if c.readers[c] {
			return wire.NewError(wire.ER_CANT_UPDATE_WITH_READLOCK, "Can't execute the query because you have a conflicting read lock")
		}
		free := func() bool { return len(c.readers) == 0 && others(c.awaited, c) == 0 }
		if err := c.wait("Waiting for global read lock", c.lockWait, free); err != nil {
			return err
		}
	}
	// A table that was flushed opens again only when all have closed it.
	closed := func() bool {
		return !c.used(func(u use) bool { return u.table == table && u.flush < c.flushes })
	}
	if err := c.wait("Waiting for table flush", c.lockWait, closed); err != nil {
		return err
	}
	c.uses = append(c.uses, use{c, table, writes, c.flushes})
	defer func() {
		for i, u := range c.uses {
			if u.by == c {
				c.uses = append(c.uses[:i:i], c.uses[i+1:]...)
				break
			}
		}
		c.change()
	}()
	if lasts > 0 {
		over := time.Now().Add(lasts)
		if err := c.wait("User sleep", lasts, func() bool { return !time.Now().Before(over) }); c.killed {
			return err
		}
	}
	if writes {
		c.rows++
	}
	return nil
}

// flush closes all tables, and waits for those who have them open.
func (c *client) flush() error {
	c.flushes++
	mine := c.flushes
	return c.wait("Waiting for table flush", c.lockWait, func() bool {
		return !c.used(func(u use) bool { return u.flush < mine })
	})
}

func (c *client) readLock() error {
	if c.may("RELOAD") == 0 {
		return wire.NewDefaultError(wire.ER_SPECIFIC_ACCESS_DENIED_ERROR, "RELOAD")
	}
	c.awaited[c] = true
	defer func() { delete(c.awaited, c); c.change() }()
	err := c.wait("Waiting for global read lock", c.lockWait, func() bool {
		return !c.used(func(u use) bool { return u.writes }) && len(c.defining) == 0
	})
	if err == nil {
		err = c.flush()
	}
	if err == nil {
		c.readers[c] = true
	}
	return err
}

func (c *client) lockInstance() error {
	if c.version[0] == '5' {
		return wire.NewError(wire.ER_PARSE_ERROR, "You have an error in your SQL syntax near 'INSTANCE FOR BACKUP'")
	}
	if c.may("BACKUP_ADMIN") == 0 {
		return wire.NewDefaultError(wire.ER_SPECIFIC_ACCESS_DENIED_ERROR, "BACKUP_ADMIN")
	}
	err := c.wait("Waiting for backup lock", c.lockWait, func() bool { return len(c.defining) == 0 })
	if err == nil {
		c.instance[c] = true
	}
	return err
}

// define changes a definition, which goes on for a while.
func (c *client) define(lasts time.Duration) error {
	free := func() bool { return others(c.instance, c) == 0 && len(c.readers) == 0 && others(c.awaited, c) == 0 }
	if err := c.wait("Waiting for backup lock", c.lockWait, free); err != nil {
		return err
	}
	c.defining[c] = true
	defer func() { delete(c.defining, c); c.change() }()
	over := time.Now().Add(lasts)
	if err := c.wait("altering table", lasts, func() bool { return !time.Now().Before(over) }); c.killed {
		return err
	}
	return nil
}

func did(err error) (*wire.Result, error) {
	if err != nil {
		return nil, err
	}
	return &wire.Result{}, nil
}

var lockStatements = []statement{
	on(`INSERT INTO (\w+) VALUES \(\d+\)`, func(c *client, m []string) (*wire.Result, error) {
		return did(c.run(m[1], true, 0))
	}),
	on(`INSERT INTO (\w+) VALUES \(SLEEP\(60\)\)`, func(c *client, m []string) (*wire.Result, error) {
		return did(c.run(m[1], true, time.Minute))
	}),
	on(`SELECT n FROM (\w+)`, func(c *client, m []string) (*wire.Result, error) {
		if err := c.run(m[1], false, 0); err != nil {
			return nil, err
		}
		return table([]string{"n"}, []any{c.rows})
	}),
	on(`SELECT SLEEP\(60\) FROM (\w+)`, func(c *client, m []string) (*wire.Result, error) {
		if err := c.run(m[1], false, time.Minute); err != nil {
			return nil, err
		}
		return table([]string{"SLEEP(60)"}, []any{0})
	}),
	on(`ALTER TABLE (\w+) FORCE`, func(c *client, _ []string) (*wire.Result, error) {
		return did(c.define(time.Minute))
	}),
	on(`CREATE TABLE (\w+) \(n INT\)`, func(c *client, _ []string) (*wire.Result, error) {
		return did(c.define(0))
	}),
	on(`FLUSH LOCAL TABLES`, func(c *client, _ []string) (*wire.Result, error) {
		if c.may("RELOAD") == 0 {
			return nil, wire.NewDefaultError(wire.ER_SPECIFIC_ACCESS_DENIED_ERROR, "RELOAD or FLUSH_TABLES")
		}
		return did(c.flush())
	}),
	on(`FLUSH TABLES WITH READ LOCK`, func(c *client, _ []string) (*wire.Result, error) {
		return did(c.readLock())
	}),
	on(`UNLOCK TABLES`, func(c *client, _ []string) (*wire.Result, error) {
		delete(c.readers, c)
		c.change()
		return &wire.Result{}, nil
	}),
	on(`LOCK INSTANCE FOR BACKUP`, func(c *client, _ []string) (*wire.Result, error) {
		return did(c.lockInstance())
	}),
	on(`UNLOCK INSTANCE`, func(c *client, _ []string) (*wire.Result, error) {
		delete(c.instance, c)
		c.change()
		return &wire.Result{}, nil
	}),
}
