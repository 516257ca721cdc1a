package mongodb

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/quiesce/quiesce/shared/fault"
)

// entry is what the journal keeps of a lock that was asked for.
type entry struct {
	Process string `json:"process,omitempty"` // that was asked; empty: nothing is to be taken back
	Held    bool   `json:"held,omitempty"`    // it was had; else nobody knows
	Written string `json:"written,omitempty"` // what the server had written last when it was had
}

func readEntry(journal []byte) (e entry, err error) {
	if len(journal) > 0 {
		err = fault.Wrap(fault.Internal, json.Unmarshal(journal, &e), "reading the journal")
	}
	return e, err
}

// note keeps an entry, here and in the journal.
func (a *Adapter) note(e entry) error {
	line, err := json.Marshal(e)
	if err == nil && a.journal != nil {
		err = a.journal(line)
	}
	if err == nil {
		a.undo = e
	}
	return fault.Wrap(fault.Internal, err, "keeping the journal")
}

// forget says that nothing is to be taken back: a later undo must not take
// somebody else's lock for this one.
func (a *Adapter) forget() error { return a.note(entry{}) }

// lock makes one attempt, unless it is likely to fail. The server gives it up by
// itself, so that what was asked for and given up here is never had later.
func (a *Adapter) lock(ctx context.Context, s state) error {
	c := a.client
	running, err := c.running(ctx)
	switch {
	case err != nil:
		return err
	case running.locked:
		return fault.New(fault.ApplicationBusy, "somebody else holds the server by an fsync lock, or waits for one")
	case running.long != "":
		return fault.New(fault.ApplicationBusy, "%s", running.long)
	}
	if err := a.note(entry{Process: s.process}); err != nil {
		return err
	}
	var got struct {
		LockCount int64 `bson:"lockCount"`
	}
	err = c.run(ctx, attempt+proofLimit, &got, bson.D{{Key: "fsync", Value: 1}, {Key: "lock", Value: true},
		{Key: "fsyncLockAcquisitionTimeoutMillis", Value: int32(attempt.Milliseconds())}, {Key: "comment", Value: "quiesce"}})
	if err != nil {
		if said(err) != 0 {
			if end := a.forget(); end != nil {
				return end
			}
		}
		return c.blame(ctx, err)
	}
	if got.LockCount != 1 {
		if err := c.unlock(ctx, a.undo); err != nil {
			return err
		}
		if err := a.forget(); err != nil {
			return err
		}
		return fault.New(fault.ApplicationBusy, "somebody else holds the server too: its locks were %d with this one", got.LockCount)
	}
	if a.held, err = c.settled(ctx); err != nil {
		return err
	}
	return a.note(entry{Process: a.held.process, Held: true, Written: a.held.written})
}

// settled is the state under the lock. What was written just before it is
// counted a moment later, and must not look like a change.
func (c *client) settled(ctx context.Context) (state, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, proofLimit, fault.New(fault.ApplicationBusy, "the counts of a locked server do not settle"))
	defer cancel()
	for before := (state{}); ; {
		s, err := c.state(ctx)
		if err != nil || s == before {
			return s, err
		}
		before = s
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return s, fault.Wrap(fault.ApplicationBusy, context.Cause(ctx), "the lock")
		}
	}
}

// unlock takes back one lock, if it can be the one of the entry: the process is
// the same, is locked, and has not written since, as it would have if somebody
// else had taken back this one before taking theirs. An attempt that goes on is
// waited for by the server itself.
func (c *client) unlock(ctx context.Context, e entry) error {
	s, err := c.state(ctx)
	if err != nil || s.process != e.Process || e.Held && s.written != e.Written {
		return err
	}
	running, err := c.running(ctx)
	if err != nil || !running.locked {
		return err
	}
	var got struct {
		LockCount int64 `bson:"lockCount"`
	}
	err = c.run(ctx, attempt+proofLimit, &got, bson.D{{Key: "fsyncUnlock", Value: 1}, {Key: "comment", Value: "quiesce"}})
	if said(err) == illegalOperation {
		return nil // the attempt came to nothing, or somebody was quicker
	}
	return err
}

// blame says what stands in the way, beside why the lock was not had.
func (c *client) blame(ctx context.Context, err error) error {
	if fault.CodeOf(err) != fault.ApplicationBusy {
		return err
	}
	if running, asked := c.running(ctx); asked == nil && running.most != "" {
		return fault.Wrap(fault.ApplicationBusy, err, "%s", running.most)
	}
	return err
}

// operation is one that runs, as currentOp tells of it.
type operation struct {
	Connection int64  `bson:"connectionId"`
	Op         string `bson:"op"`
	Namespace  string `bson:"ns"`
	Micros     int64  `bson:"microsecs_running"`
	Locks      struct {
		Global string
	} `bson:"locks"`
	Transaction struct {
		Parameters struct {
			Autocommit *bool `bson:"autocommit"`
		} `bson:"parameters"`
		OpenMicros int64 `bson:"timeOpenMicros"`
	} `bson:"transaction"`
}

// running is what goes on in the server.
type running struct {
	locked bool   // or about to be
	long   string // what will outlast an attempt; empty for nothing
	most   string // what has gone on for longest of that which the lock has to wait for
}

// running asks. A transaction that is open holds what it has written to until it
// ends; so does every operation that writes.
func (c *client) running(ctx context.Context) (r running, err error) {
	var got struct {
		Locked bool        `bson:"fsyncLock"`
		Ops    []operation `bson:"inprog"`
	}
	if err := c.run(ctx, proofLimit, &got, bson.D{{Key: "currentOp", Value: 1}}); err != nil {
		return r, err
	}
	r.locked = got.Locked
	var most time.Duration
	for _, o := range got.Ops {
		var lasts time.Duration
		var name string
		switch held := o.Locks.Global; {
		case o.Transaction.Parameters.Autocommit != nil && !*o.Transaction.Parameters.Autocommit:
			lasts, name = time.Duration(o.Transaction.OpenMicros)*time.Microsecond, fmt.Sprintf("a transaction of connection %d", o.Connection)
		case held == "w" || held == "W":
			lasts, name = time.Duration(o.Micros)*time.Microsecond, fmt.Sprintf("the %s on %s of connection %d", o.Op, o.Namespace, o.Connection)
		default:
			continue
		}
		if r.most == "" || lasts > most {
			most, r.most = lasts, fmt.Sprintf("%s has gone on for %.1f s", name, lasts.Seconds())
		}
	}
	if most >= attempt {
		r.long = r.most
	}
	return r, nil
}
