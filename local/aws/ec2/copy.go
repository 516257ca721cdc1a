package ec2

import (
	"context"
	"maps"
	"sync/atomic"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// content is what a snapshot holds in the storage below. A copy holds the same
// as its source, whichever of them is deleted first.
type content struct {
	id   string
	held atomic.Int32
}

// arbitrary is the volume that every copy names: none, as documented.
const arbitrary = "vol-ffffffff"

// mostCopies may be in progress into one Region.
const mostCopies = 20

// copySnapshot is asked of the destination.
func (e *EC2) copySnapshot(_ context.Context, c *wire.Call, q query) (any, error) {
	tags, err := q.specified("snapshot")
	if err != nil {
		return nil, err
	}
	from, id, key := q.text("SourceRegion"), q.text("SourceSnapshotId"), q.text("KmsKeyId")
	encrypt := q.flag("Encrypted")
	switch {
	case from == "" || id == "":
		return nil, wire.Bad("MissingParameter", "The request must contain the parameters SourceRegion and SourceSnapshotId")
	case q.text("Encrypted") == "false":
		return nil, wire.Bad("InvalidParameterValue", "Value (false) for parameter encrypted is invalid.")
	case key != "" && !encrypt:
		return nil, wire.Bad("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	}
	source, err := e.source(from, id)
	if err != nil {
		return nil, err
	}
	s := source // the copy, of what it was then
	signed := e.cfg.Presigned(from, q.text("PresignedUrl"), id, e.cfg.Region)
	if s.key != "" && q.text("PresignedUrl") == "" {
		return nil, wire.Bad("MissingParameter", "The request must contain the parameter PresignedUrl")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now, busy := time.Now(), 0
	for _, other := range e.snapshots {
		if other.copy && other.state(now) == pending {
			busy++
		}
	}
	if busy >= mostCopies {
		return nil, wire.Bad("ResourceLimitExceeded", "Too many snapshot copies in progress. The limit is %d for this destination region.", mostCopies)
	}
	fails := c.Planned.ErrorSet || q.text("PresignedUrl") != "" && !signed
	switch {
	case key != "":
		// The key is looked at later: a wrong one shows in the copy's state.
		fails = fails || !e.cfg.Key(key) || !e.cfg.Usable(key, c.Role)
	case s.key != "" || encrypt:
		key = e.cfg.ManagedKey
	}
	made := &snapshot{
		id: e.id("snap-"), volume: arbitrary, bytes: s.bytes, gib: s.gib, hollow: s.hollow, data: s.data, description: q.text("Description"),
		tags: maps.Clone(tags), started: now, done: now.Add(e.cfg.Copying), fails: fails, key: key, copy: true, of: "arn:aws:ec2::" + from + ":snapshot/" + id,
	}
	if made.data != nil {
		made.data.held.Add(1)
	}
	e.snapshots[made.id] = made
	e.order = append(e.order, made.id)
	if !e.closed {
		made.timer = time.AfterFunc(e.cfg.Copying, func() { e.copied(made) })
	}
	return flat(xmlCopy{made.id, xmlTags(made.tags)}), nil
}

type xmlCopy struct {
	ID   string   `xml:"snapshotId"`
	Tags []xmlTag `xml:"tagSet>item"`
}

// source is a snapshot of another Region, or of this, as it is now.
func (e *EC2) source(region, id string) (snapshot, error) {
	of := e
	if region != e.cfg.Region {
		if of = e.cfg.Elsewhere(region); of == nil {
			return snapshot{}, wire.Bad("InvalidParameterValue", "Value (%s) for parameter sourceRegion is invalid.", region)
		}
	}
	of.mu.Lock()
	defer of.mu.Unlock()
	s, err := of.snapshot(id)
	now := time.Now()
	switch {
	case err != nil:
		return snapshot{}, err
	case s.state(now) != completed:
		return snapshot{}, wire.Bad("IncorrectState", "Snapshot %s is in invalid state - %s", id, s.state(now))
	case s.archived(now):
		return snapshot{}, wire.Bad("IncorrectState", "The snapshot %s is archived.", id)
	}
	return *s, nil
}

// copied ends a copy and tells the bus.
func (e *EC2) copied(s *snapshot) {
	e.mu.Lock()
	if e.closed || e.snapshots[s.id] != s {
		e.mu.Unlock()
		return
	}
	s.ended = true
	result, cause := "succeeded", ""
	if s.fails {
		result, cause = "failed", "Given key ID is not accessible"
	}
	e.mu.Unlock()
	const stamp = "2006-01-02T15:04:05Z"
	e.cfg.Publish("EBS Snapshot Notification", []string{e.arn("snapshot", s.id)}, map[string]any{
		"event": "copySnapshot", "result": result, "cause": cause, "request-id": "", "snapshot_id": e.arn("snapshot", s.id), "source": s.of,
		"startTime": s.started.UTC().Format(stamp), "endTime": s.done.UTC().Format(stamp), "incremental": "false", "transferType": "standard",
	})
}

// FailCopies lets the copies in progress go to error when their time is up.
func (e *EC2) FailCopies() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.snapshots {
		if s.copy && !s.ended {
			s.fails = true
		}
	}
}
