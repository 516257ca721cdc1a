package mongodb

import (
	"encoding/hex"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// locks are the server's, as its manual and its source have them. All is guarded
// by the mutex.
type locks struct {
	busy         bool // a command is at the lock: only one at a time is
	count        int64
	held         bool                 // the lock is had, and not only waited for
	transactions map[string]time.Time // that have written, by session, since when
	inserted     int64
	logged       uint32 // entries in the log of operations
}

// change wakes all who wait.
func (s *fake) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait waits under the mutex; false if the limit passed before.
func (s *fake) wait(limit time.Duration, so func() bool) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for !so() && !s.over {
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
			s.mu.Lock()
		case <-timer.C:
			s.mu.Lock()
			return so()
		}
	}
	return true
}

const ever = time.Hour

func session(command bson.Raw) string {
	_, id, _ := command.Lookup("lsid", "id").BinaryOK()
	return hex.EncodeToString(id)
}

// insert waits for the lock, and for one who waits for it. A transaction holds
// its own until it ends.
func (p *peer) insert(command bson.Raw) (bson.D, error) {
	own := session(command)
	if _, open := p.transactions[own]; !open {
		p.wait(ever, func() bool { return p.count == 0 })
	}
	if autocommit, is := command.Lookup("autocommit").BooleanOK(); is && !autocommit {
		if p.set == "" {
			return nil, &failure{20, "IllegalOperation", "Transaction numbers are only allowed on a replica set member or mongos"}
		}
		if _, open := p.transactions[own]; !open {
			p.transactions[own] = time.Now()
		}
	} else {
		p.logged++
	}
	p.inserted++
	p.change()
	return bson.D{{Key: "n", Value: 1}}, nil
}

// fsync is for those who lock.
func (p *peer) fsync(command bson.Raw) (bson.D, error) {
	limit, is := command.Lookup("fsyncLockAcquisitionTimeoutMillis").Int32OK()
	if !is {
		return nil, &failure{14, "TypeMismatch", "fsyncLockAcquisitionTimeoutMillis is the wrong type, expected type 'int'"}
	}
	if lock, is := command.Lookup("lock").BooleanOK(); !is || !lock {
		return nil, &failure{9, "FailedToParse", "this server only locks"}
	}
	p.wait(ever, func() bool { return !p.busy })
	p.busy = true
	defer func() { p.busy = false; p.change() }()
	p.count++
	if p.count == 1 {
		if !p.wait(time.Duration(limit)*time.Millisecond, func() bool { return len(p.transactions) == 0 }) {
			p.count--
			return nil, &failure{24, "LockTimeout", "Fsync lock timed out"}
		}
		p.held = true
	}
	if p.mute {
		p.conn.Close()
	}
	return bson.D{{Key: "info", Value: "now locked against writes, use db.fsyncUnlock() to unlock"}, {Key: "lockCount", Value: p.count},
		{Key: "seeAlso", Value: "http://dochub.mongodb.org/core/fsynccommand"}}, nil
}

func (p *peer) fsyncUnlock() (bson.D, error) {
	p.wait(ever, func() bool { return !p.busy })
	if p.count == 0 {
		return nil, &failure{20, "IllegalOperation", "fsyncUnlock called when not locked"}
	}
	p.count--
	p.held = p.count > 0
	p.change()
	return bson.D{{Key: "info", Value: "fsyncUnlock completed"}, {Key: "lockCount", Value: p.count}}, nil
}

// currentOp tells of transactions, also of those in which nothing runs now, and
// of a lock from when it is asked for.
func (p *peer) currentOp() bson.D {
	ops := bson.A{bson.D{{Key: "type", Value: "op"}, {Key: "desc", Value: "ReplBatcher"}, {Key: "op", Value: "none"}, {Key: "ns", Value: ""},
		{Key: "secs_running", Value: int64(9000)}, {Key: "microsecs_running", Value: int64(9e9)}, {Key: "locks", Value: bson.D{}}}}
	for id, since := range p.transactions {
		ops = append(ops, bson.D{{Key: "type", Value: "idleSession"}, {Key: "connectionId", Value: int64(77)}, {Key: "lsid", Value: id}, {Key: "active", Value: false},
			{Key: "transaction", Value: bson.D{{Key: "parameters", Value: bson.D{{Key: "txnNumber", Value: int64(1)}, {Key: "autocommit", Value: false}}},
				{Key: "timeOpenMicros", Value: (time.Since(since) + p.aged).Microseconds()}}},
			{Key: "locks", Value: bson.D{{Key: "Global", Value: "w"}}}})
	}
	d := bson.D{{Key: "inprog", Value: ops}}
	if p.count > 0 {
		d = append(d, bson.E{Key: "fsyncLock", Value: true}, bson.E{Key: "info", Value: "use db.fsyncUnlock() to terminate the fsync write/snapshot lock"})
	}
	return d
}
