package ec2

import (
	"context"
	"encoding/xml"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// Fast snapshot restore, as far as its states go.

const (
	mostFast    = 5        // snapshots of a Region, by the usual quota
	largestFast = 16 << 10 // GiB
	turning     = time.Minute
	perTiB      = time.Hour
)

// fast is what was last asked of a snapshot in one zone.
type fast struct {
	on bool
	at time.Time
}

func (f fast) state(s *snapshot, now time.Time) string {
	since := now.Sub(f.at)
	switch {
	case !f.on && since < turning:
		return "disabling"
	case !f.on:
		return "disabled"
	case since < turning:
		return "enabling"
	case since < turning+time.Duration(s.gib)*perTiB/1024:
		return "optimizing"
	}
	return "enabled"
}

type xmlFast struct {
	ID     string `xml:"snapshotId"`
	Zone   string `xml:"availabilityZone"`
	State  string `xml:"state"`
	Reason string `xml:"stateTransitionReason"`
	Owner  string `xml:"ownerId"`
}

func (e *EC2) turnFast(on bool) func(context.Context, *wire.Call, query) (any, error) {
	type refusal struct {
		Zone    string `xml:"availabilityZone"`
		Code    string `xml:"error>code"`
		Message string `xml:"error>message"`
	}
	type unsuccessful struct {
		ID     string    `xml:"snapshotId"`
		Errors []refusal `xml:"fastSnapshotRestoreStateErrorSet>item"`
	}
	return func(_ context.Context, _ *wire.Call, q query) (any, error) {
		good := struct {
			XMLName xml.Name  `xml:"successful"`
			Items   []xmlFast `xml:"item"`
		}{}
		bad := struct {
			XMLName xml.Name       `xml:"unsuccessful"`
			Items   []unsuccessful `xml:"item"`
		}{}
		ids, zones := q.list("SourceSnapshotId"), q.list("AvailabilityZone")
		if len(ids) == 0 || len(zones) == 0 {
			return nil, wire.Bad("MissingParameter", "The request must contain the parameters SourceSnapshotId and AvailabilityZone")
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		now := time.Now()
		for _, id := range ids {
			var refused []refusal
			s, err := e.snapshot(id)
			for _, zone := range zones {
				if err == nil {
					err = e.mayTurn(s, zone, on, now)
				}
				if err != nil {
					refused = append(refused, refusal{zone, wire.AsError(err).Code, wire.AsError(err).Message})
					continue
				}
				if s.fast == nil {
					s.fast = map[string]fast{}
				}
				s.fast[zone] = fast{on, now}
				good.Items = append(good.Items, s.renderFast(e.cfg.Account, zone, now))
			}
			if len(refused) > 0 {
				bad.Items = append(bad.Items, unsuccessful{id, refused})
			}
		}
		return []any{good, bad}, nil
	}
}

// mayTurn refuses what cannot be turned. The codes of these refusals are not
// published; they come a snapshot and zone, in an answer that is well.
func (e *EC2) mayTurn(s *snapshot, zone string, on bool, now time.Time) error {
	s.settle(now)
	if !strings.HasPrefix(zone, e.cfg.Region) || len(zone) != len(e.cfg.Region)+1 {
		return wire.Bad("InvalidParameterValue", "Invalid availability zone: [%s]", zone)
	}
	if !on {
		if !s.fast[zone].on {
			return wire.Bad("IncorrectState", "Fast snapshot restores are not enabled for %s in %s", s.id, zone)
		}
		return nil
	}
	others := 0
	for _, other := range e.snapshots {
		if other != s && slices.ContainsFunc(slices.Collect(maps.Values(other.fast)), func(f fast) bool { return f.state(other, now) != "disabled" }) {
			others++
		}
	}
	switch {
	case s.state(now) != completed, s.archived(now):
		return wire.Bad("IncorrectState", "The snapshot %s is not in the completed state", s.id)
	case s.gib > largestFast:
		return wire.Bad("InvalidParameterValue", "The volume size of %s is too large for fast snapshot restores", s.id)
	case s.fast[zone].on:
		return wire.Bad("IncorrectState", "Fast snapshot restores are enabled for %s in %s", s.id, zone)
	case others >= mostFast:
		return wire.Bad("LimitExceeded", "You have reached the limit of %d snapshots with fast snapshot restores in this Region", mostFast)
	}
	return nil
}

func (s *snapshot) renderFast(owner, zone string, now time.Time) xmlFast {
	f := s.fast[zone]
	reason := "Client.UserInitiated"
	if state := f.state(s, now); state != "enabling" && state != "disabling" {
		reason += " - Lifecycle state transition"
	}
	return xmlFast{s.id, zone, f.state(s, now), reason, owner}
}

func (e *EC2) describeFastSnapshotRestores(_ context.Context, _ *wire.Call, q query) (any, error) {
	out := struct {
		XMLName xml.Name  `xml:"fastSnapshotRestoreSet"`
		Items   []xmlFast `xml:"item"`
	}{}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	for _, id := range e.order {
		s := e.snapshots[id]
		s.settle(now)
		for _, zone := range slices.Sorted(maps.Keys(s.fast)) {
			i := s.renderFast(e.cfg.Account, zone, now)
			ok, err := matches(q.filters(), map[string][]string{"snapshot-id": {id}, "availability-zone": {zone}, "state": {i.State}, "owner-id": {e.cfg.Account}}, nil)
			if err != nil {
				return nil, err
			}
			if ok {
				out.Items = append(out.Items, i)
			}
		}
	}
	return out, nil
}
