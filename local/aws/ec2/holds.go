package ec2

import (
	"context"
	"encoding/xml"
	"slices"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// What keeps a snapshot from being deleted, and whom it is shared with.

// lock is what LockSnapshot puts on a snapshot.
type lock struct {
	mode    string // governance, compliance
	made    time.Time
	expires time.Time
}

func (l *lock) state(now time.Time) string {
	if now.Before(l.expires) {
		return l.mode
	}
	return "expired"
}

// held refuses to delete what is locked or what an image is made of. The code
// of the former is not published; this is the one for what is not permitted.
func (e *EC2) held(s *snapshot, now time.Time) error {
	if s.lock != nil && now.Before(s.lock.expires) {
		return wire.Bad("OperationNotPermitted", "The snapshot '%s' is locked and can't be deleted.", s.id)
	}
	for _, image := range e.images {
		if slices.ContainsFunc(image.devices, func(d imageDevice) bool { return d.snapshot == s.id }) {
			return wire.Bad("InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", s.id, image.id)
		}
	}
	return nil
}

func (e *EC2) lockSnapshot(_ context.Context, _ *wire.Call, q query) (any, error) {
	days, err := q.number("LockDuration")
	if err != nil {
		return nil, err
	}
	mode := q.text("LockMode")
	if mode != "governance" && mode != "compliance" {
		return nil, wire.Bad("InvalidParameterValue", "Value (%s) for parameter lockMode is invalid.", mode)
	}
	if days < 1 || days > 36500 {
		return nil, wire.Bad("InvalidParameterValue", "Value (%d) for parameter lockDuration is invalid.", days)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.snapshot(q.text("SnapshotId"))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	s.lock = &lock{mode: mode, made: now, expires: now.Add(time.Duration(days) * 24 * time.Hour)}
	return flat(s.renderLock(e.cfg.Account, now)), nil
}

type xmlLock struct {
	ID      string `xml:"snapshotId"`
	Owner   string `xml:"ownerId"`
	State   string `xml:"lockState"`
	Days    int    `xml:"lockDuration"`
	Made    string `xml:"lockCreatedOn"`
	Expires string `xml:"lockExpiresOn"`
}

func (s *snapshot) renderLock(owner string, now time.Time) xmlLock {
	l := s.lock
	return xmlLock{s.id, owner, l.state(now), int(l.expires.Sub(l.made).Hours() / 24), wire.Time(l.made), wire.Time(l.expires)}
}

func (e *EC2) describeLockedSnapshots(_ context.Context, _ *wire.Call, q query) (any, error) {
	out := struct {
		XMLName xml.Name  `xml:"snapshotSet"`
		Items   []xmlLock `xml:"item"`
	}{}
	asked, now := q.list("SnapshotId"), time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range asked {
		if _, err := e.snapshot(id); err != nil {
			return nil, err
		}
	}
	for _, id := range e.order {
		s := e.snapshots[id]
		if s.lock == nil || len(asked) > 0 && !slices.Contains(asked, id) {
			continue
		}
		ok, err := matches(q.filters(), map[string][]string{"lock-state": {s.lock.state(now)}}, nil)
		if err != nil {
			return nil, err
		}
		if ok {
			out.Items = append(out.Items, s.renderLock(e.cfg.Account, now))
		}
	}
	return out, nil
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
	to := slices.Concat(q.list("UserId"), q.list("UserGroup"))
	switch q.text("OperationType") {
	case "add":
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
	for _, who := range s.shared {
		if who == "all" {
			out.Items = append(out.Items, permission{Group: who})
		} else {
			out.Items = append(out.Items, permission{User: who})
		}
	}
	return out, nil
}
