package ec2

import (
	"context"
	"encoding/xml"
	"slices"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// What keeps a snapshot from being deleted, and whom it is shared with.

// held refuses to delete what is locked or what an image is made of. The code
// of the former is not published; this is the one for what is not permitted.
func (e *EC2) held(s *snapshot, now time.Time) error {
	if s.lock != nil && now.Before(s.lock.expires) {
		return wire.Bad("OperationNotPermitted", "The snapshot '%s' is locked and can't be deleted.", s.id)
	}
	if image := e.imaged(s.id); image != "" {
		return wire.Bad("InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", s.id, image)
	}
	return nil
}

const createVolumePermission = "createVolumePermission"

func (e *EC2) modifySnapshotAttribute(_ context.Context, _ *wire.Call, q query) (any, error) {
	if q.text("Attribute") != createVolumePermission {
		return nil, wire.Bad("InvalidParameterValue", "Value (%s) for parameter attribute is invalid.", q.text("Attribute"))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.snapshot(q.text("SnapshotId"))
	if err != nil {
		return nil, err
	}
	to, now := slices.Concat(q.list("UserId"), q.list("UserGroup")), time.Now()
	s.settle(now)
	switch q.text("OperationType") {
	case "add":
		switch {
		case s.key == e.cfg.ManagedKey && s.key != "":
			return nil, wire.Bad("OperationNotPermitted", "Encrypted snapshots with EBS default key cannot be shared")
		case s.key != "" && slices.Contains(to, "all"):
			return nil, wire.Bad("OperationNotPermitted", "Encrypted snapshots cannot be shared with everybody")
		case s.archived(now):
			return nil, wire.Bad("IncorrectState", "The snapshot %s is archived.", s.id)
		}
		s.shared = slices.Compact(slices.Sorted(slices.Values(slices.Concat(s.shared, to))))
	case "remove":
		s.shared = slices.DeleteFunc(s.shared, func(who string) bool { return slices.Contains(to, who) })
	default:
		return nil, wire.Bad("InvalidParameterValue", "Value (%s) for parameter operationType is invalid.", q.text("OperationType"))
	}
	return done{Return: true}, nil
}

func (e *EC2) describeSnapshotAttribute(_ context.Context, _ *wire.Call, q query) (any, error) {
	type permission struct {
		User  string `xml:"userId,omitempty"`
		Group string `xml:"group,omitempty"`
	}
	out := struct {
		XMLName xml.Name     `xml:"createVolumePermission"`
		Items   []permission `xml:"item"`
	}{}
	if q.text("Attribute") != createVolumePermission {
		return nil, wire.Bad("InvalidParameterValue", "Value (%s) for parameter attribute is invalid.", q.text("Attribute"))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.snapshot(q.text("SnapshotId"))
	if err != nil {
		return nil, err
	}
	s.settle(time.Now())
	for _, who := range s.shared {
		if who == "all" {
			out.Items = append(out.Items, permission{Group: who})
		} else {
			out.Items = append(out.Items, permission{User: who})
		}
	}
	return out, nil
}
