package ec2

import (
	"context"
	"encoding/xml"
	"slices"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// archive is the move of a snapshot to the archive tier.
type archive struct{ began, ends time.Time }

// archived reports that the snapshot is in the archive tier, where nothing can
// be made of it.
func (s *snapshot) archived(now time.Time) bool {
	return s.archive != nil && !now.Before(s.archive.ends)
}

// settle does what the end of an archiving does besides: it is shared with
// nobody any more, and not restored fast.
func (s *snapshot) settle(now time.Time) {
	if s.archived(now) {
		s.shared, s.fast = nil, nil
	}
}

func (s *snapshot) tier(now time.Time) string {
	if s.archived(now) {
		return "archive"
	}
	return "standard"
}

func (e *EC2) modifySnapshotTier(_ context.Context, _ *wire.Call, q query) (any, error) {
	if t := q.text("StorageTier"); t != "archive" {
		return nil, wire.Bad("InvalidParameterValue", "Value (%s) for parameter storageTier is invalid.", t)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.snapshot(q.text("SnapshotId"))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	switch {
	case s.state(now) != completed:
		return nil, wire.Bad("IncorrectState", "Snapshot %s is in invalid state - %s", s.id, s.state(now))
	case s.archive != nil:
		return nil, wire.Bad("IncorrectState", "The snapshot %s is archived, or being archived.", s.id)
	case e.imaged(s.id) != "":
		return nil, wire.Bad("InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", s.id, e.imaged(s.id))
	}
	s.archive = &archive{began: now, ends: now.Add(e.cfg.Archiving)}
	return flat(xmlTiering{s.id, wire.Time(now)}), nil
}

type xmlTiering struct {
	ID    string `xml:"snapshotId"`
	Began string `xml:"tieringStartTime"`
}

func (e *EC2) describeSnapshotTierStatus(_ context.Context, _ *wire.Call, q query) (any, error) {
	type item struct {
		ID        string `xml:"snapshotId"`
		VolumeID  string `xml:"volumeId"`
		Status    string `xml:"status"`
		Owner     string `xml:"ownerId"`
		Tier      string `xml:"storageTier"`
		Began     string `xml:"lastTieringStartTime,omitempty"`
		Progress  int    `xml:"lastTieringProgress"`
		Operation string `xml:"lastTieringOperationStatus,omitempty"`
		Ended     string `xml:"archivalCompleteTime,omitempty"`
	}
	out := struct {
		XMLName xml.Name `xml:"snapshotTierStatusSet"`
		Items   []item   `xml:"item"`
	}{}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	for _, id := range e.order {
		s := e.snapshots[id]
		i := item{ID: id, VolumeID: s.volume, Status: s.state(now), Owner: e.cfg.Account, Tier: s.tier(now)}
		if s.archive != nil {
			i.Began, i.Operation, i.Progress = wire.Time(s.archive.began), "archival-in-progress", 50
		}
		if s.archived(now) {
			i.Operation, i.Progress, i.Ended = "archival-completed", 100, wire.Time(s.archive.ends)
		}
		ok, err := matches(q.filters(), map[string][]string{"snapshot-id": {id}, "volume-id": {s.volume}, "last-tiering-operation": {i.Operation}}, nil)
		if err != nil {
			return nil, err
		}
		if ok {
			out.Items = append(out.Items, i)
		}
	}
	return out, nil
}

// imaged is the image that is made of a snapshot, empty for none.
func (e *EC2) imaged(id string) string {
	for _, image := range e.images {
		if slices.ContainsFunc(image.devices, func(d imageDevice) bool { return d.snapshot == id }) {
			return image.id
		}
	}
	return ""
}
