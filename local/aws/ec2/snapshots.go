package ec2

import (
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

const (
	pending   = "pending"
	completed = "completed"
	failed    = "error"
)

type snapshot struct {
	id, volume  string
	bytes, gib  int64
	hollow      bool
	platform    string // of the instance whose root it was
	description string
	tags        map[string]string
	started     time.Time
	done        time.Time // when it is complete or failed
	fails       bool
	ended       bool // the end was reached and announced
	timer       *time.Timer
	lock        *lock
	shared      []string // accounts, or "all"
	key         string   // that it is encrypted with; empty: it is not
	data        *content // in the storage below; nil for a hollow one
	archive     *archive
	fast        map[string]fast // by zone
	copy        bool
	of          string // its source's ARN
}

func (s *snapshot) state(now time.Time) string {
	switch {
	case now.Before(s.done) || !s.ended:
		return pending
	case s.fails:
		return failed
	}
	return completed
}

// A set completes together: all its snapshots share one start and one end, so
// they show the same progress.
func (s *snapshot) progress(now time.Time) string {
	if s.state(now) == completed {
		return "100%"
	}
	whole := s.done.Sub(s.started)
	if whole <= 0 {
		return "99%"
	}
	return fmt.Sprintf("%d%%", max(0, min(99, int(100*now.Sub(s.started)/whole))))
}

func (e *EC2) snapshot(id string) (*snapshot, error) {
	s := e.snapshots[id]
	if s == nil {
		return nil, wire.Bad("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id)
	}
	return s, nil
}

func (e *EC2) createSnapshots(ctx context.Context, c *wire.Call, q query) (any, error) {
	tags, err := q.specified("snapshot")
	if err != nil {
		return nil, err
	}
	const spec = "InstanceSpecification."
	exclude := q.list(spec + "ExcludeDataVolumeId")
	e.mu.Lock()
	m, err := e.find(q.text(spec + "InstanceId"))
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	volumes, err := e.chosen(m, q.flag(spec+"ExcludeBootVolume"), exclude)
	if err == nil && q.text("CopyTagsFromSource") != "" && q.text("CopyTagsFromSource") != "volume" {
		err = wire.Bad("InvalidParameterValue", "Invalid value '%s' for CopyTagsFromSource", q.text("CopyTagsFromSource"))
	}
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	set, err := e.reserve(volumes, q.text("Description"), tags, q.text("CopyTagsFromSource") == "volume", c.Planned.ErrorSet)
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := e.take(ctx, set, true); err != nil {
		return nil, err
	}
	out := struct {
		XMLName xml.Name      `xml:"snapshotSet"`
		Items   []xmlSnapshot `xml:"item"`
	}{}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range set {
		out.Items = append(out.Items, e.renderSnapshot(s, true))
	}
	return out, nil
}

// chosen returns the volumes of a multi-volume set.
func (e *EC2) chosen(m *machine, excludeBoot bool, exclude []string) ([]*volume, error) {
	if m.State != "running" && m.State != "stopped" && m.State != "stopping" {
		return nil, wire.Bad("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be snapshotted: %s", m.ID, m.State)
	}
	if len(exclude) > 40 {
		return nil, wire.Bad("InvalidParameterValue", "You can specify at most 40 volume IDs to exclude.")
	}
	attached, root := e.attached(m.ID), e.root(m.ID)
	for _, id := range exclude {
		if root != nil && id == root.ID {
			return nil, wire.Bad("InvalidParameterValue", "The root volume '%s' cannot be specified in ExcludeDataVolumeIds. Use ExcludeBootVolume.", id)
		}
		if !slices.ContainsFunc(attached, func(v *volume) bool { return v.ID == id }) {
			return nil, wire.Bad("InvalidParameterValue", "The volume '%s' is not attached to the instance '%s'.", id, m.ID)
		}
	}
	var volumes []*volume
	for _, v := range attached {
		if !slices.Contains(exclude, v.ID) && (!excludeBoot || v != root) {
			volumes = append(volumes, v)
		}
	}
	switch {
	case len(volumes) == 0:
		return nil, wire.Bad("InvalidParameterValue", "There are no volumes to snapshot on instance '%s'.", m.ID)
	case len(volumes) > 128:
		return nil, wire.Bad("InvalidParameterValue", "A set can hold at most 128 volumes.")
	}
	return volumes, nil
}

func (e *EC2) createSnapshot(ctx context.Context, c *wire.Call, q query) (any, error) {
	tags, err := q.specified("snapshot")
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	v, err := e.volume(q.text("VolumeId"))
	var set []*snapshot
	if err == nil {
		set, err = e.reserve([]*volume{v}, q.text("Description"), tags, false, c.Planned.ErrorSet)
	}
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := e.take(ctx, set, false); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return flat(e.renderSnapshot(set[0], false)), nil
}

// reserve checks the limits of every volume and enters the set, so that no
// other call passes them meanwhile; it holds the lock.
func (e *EC2) reserve(volumes []*volume, description string, tags map[string]string, copyTags, fails bool) ([]*snapshot, error) {
	now := time.Now()
	for _, v := range volumes {
		n := 0
		for _, s := range e.snapshots {
			if s.volume == v.ID && s.state(now) == pending {
				n++
			}
		}
		if n >= concurrent(v.Kind) {
			return nil, wire.Bad("ConcurrentSnapshotLimitExceeded", "Maximum allowed in-progress snapshots for a single volume exceeded: %s", v.ID)
		}
		if !v.last.IsZero() && now.Sub(v.last) < e.cfg.Spacing {
			return nil, wire.Bad("SnapshotCreationPerVolumeRateExceeded", "The maximum per volume CreateSnapshot request rate has been exceeded. Use an increasing or variable sleep interval between requests.")
		}
	}
	var set []*snapshot
	for _, v := range volumes {
		s := &snapshot{
			id: e.id("snap-"), volume: v.ID, bytes: v.Bytes, gib: v.gib(), hollow: v.Hollow, key: v.Key, description: description,
			tags: make(map[string]string), started: now, done: now.Add(e.cfg.Completion), fails: fails,
		}
		if !s.hollow {
			s.data = &content{id: s.id}
			s.data.held.Store(1)
		}
		if copyTags {
			maps.Copy(s.tags, v.Tags)
		}
		maps.Copy(s.tags, tags)
		if e.root(v.Instance) == v {
			s.platform = e.instances[v.Instance].Platform
		}
		v.last = now
		e.snapshots[s.id] = s
		e.order = append(e.order, s.id)
		set = append(set, s)
	}
	return set, nil
}

func concurrent(kind string) int {
	if kind == "st1" || kind == "sc1" {
		return 1
	}
	return 5
}

// take copies the storage at one point in time and lets the set complete later.
// The copy is made even if the client is gone by now: the request has arrived.
func (e *EC2) take(ctx context.Context, set []*snapshot, multi bool) error {
	copies := make(map[string]string)
	for _, s := range set {
		if !s.hollow {
			copies[s.volume] = s.id
		}
	}
	if len(copies) > 0 {
		if err := e.cfg.Disks.Snapshot(context.WithoutCancel(ctx), copies); err != nil {
			e.mu.Lock()
			defer e.mu.Unlock()
			for _, s := range set {
				e.forget(s.id)
			}
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		set[0].timer = time.AfterFunc(time.Until(set[0].done), func() { e.complete(set, multi) })
	}
	return nil
}

func (e *EC2) forget(id string) {
	delete(e.snapshots, id)
	e.order = slices.DeleteFunc(e.order, func(o string) bool { return o == id })
}

// complete ends a set, all of it in the same state, and tells the bus.
func (e *EC2) complete(set []*snapshot, multi bool) {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return
	}
	for _, s := range set {
		s.ended = true
	}
	e.mu.Unlock()
	detailType, resources, detail := e.completion(set, multi)
	e.cfg.Publish(detailType, resources, detail)
}

// FailSnapshots lets the pending snapshots of a volume, with their sets, go to
// error when their time is up.
func (e *EC2) FailSnapshots(volume string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.snapshots {
		if s.volume != volume || s.ended {
			continue
		}
		for _, other := range e.snapshots {
			if other.started.Equal(s.started) {
				other.fails = true
			}
		}
	}
}

func (e *EC2) deleteSnapshot(ctx context.Context, _ *wire.Call, q query) (any, error) {
	e.mu.Lock()
	s, err := e.snapshot(q.text("SnapshotId"))
	if err == nil {
		err = e.held(s, time.Now())
	}
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	e.forget(s.id)
	e.mu.Unlock()
	if s.data != nil && s.data.held.Add(-1) == 0 {
		if err := e.cfg.Disks.DeleteSnapshot(context.WithoutCancel(ctx), s.data.id); err != nil {
			return nil, err
		}
	}
	return done{Return: true}, nil
}
