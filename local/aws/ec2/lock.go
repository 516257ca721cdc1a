package ec2

import (
	"context"
	"encoding/xml"
	"slices"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// lock is what LockSnapshot puts on a snapshot.
type lock struct {
	mode    string // governance, compliance
	made    time.Time
	days    int
	expires time.Time
	coolOff int // hours
	cools   time.Time
}

func (l *lock) state(now time.Time) string {
	switch {
	case !now.Before(l.expires):
		return "expired"
	case now.Before(l.cools):
		return "compliance-cooloff"
	}
	return l.mode
}

// fixed reports a lock that can be made longer and nothing else.
func (l *lock) fixed(now time.Time) bool { return l != nil && l.state(now) == "compliance" }

func (e *EC2) lockSnapshot(_ context.Context, _ *wire.Call, q query) (any, error) {
	days, err := q.number("LockDuration")
	if err != nil {
		return nil, err
	}
	coolOff, err := q.number("CoolOffPeriod")
	if err != nil {
		return nil, err
	}
	mode, until, now := q.text("LockMode"), q.text("ExpirationDate"), time.Now()
	switch {
	case mode != "governance" && mode != "compliance":
		return nil, wire.Bad("InvalidParameterValue", "Value (%s) for parameter lockMode is invalid.", mode)
	case (days == 0) == (until == ""):
		return nil, wire.Bad("InvalidParameterCombination", "Specify either lockDuration or expirationDate.")
	case until == "" && (days < 1 || days > 36500):
		return nil, wire.Bad("InvalidParameterValue", "Value (%d) for parameter lockDuration is invalid.", days)
	case q.text("CoolOffPeriod") != "" && (coolOff < 1 || coolOff > 72):
		return nil, wire.Bad("InvalidParameterValue", "Value (%d) for parameter coolOffPeriod is invalid.", coolOff)
	case coolOff > 0 && mode == "governance":
		return nil, wire.Bad("InvalidParameterCombination", "A cooling-off period cannot be specified for governance mode.")
	}
	l := &lock{mode: mode, made: now, days: days, expires: now.Add(time.Duration(days) * 24 * time.Hour), coolOff: coolOff, cools: now.Add(time.Duration(coolOff) * time.Hour)}
	if until != "" {
		if l.expires, err = time.Parse(time.RFC3339, until); err != nil || !l.expires.After(now) {
			return nil, wire.Bad("InvalidParameterValue", "Value (%s) for parameter expirationDate is invalid.", until)
		}
		l.days = int(l.expires.Sub(now).Hours() / 24)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.snapshot(q.text("SnapshotId"))
	if err != nil {
		return nil, err
	}
	switch {
	case s.state(now) == failed:
		return nil, wire.Bad("IncorrectState", "Snapshot %s is in invalid state - error", s.id)
	case s.lock.fixed(now) && (mode != s.lock.mode || coolOff > 0 || l.expires.Before(s.lock.expires)):
		return nil, wire.Bad("OperationNotPermitted", "The snapshot '%s' is locked in compliance mode: its lock can only be extended.", s.id)
	}
	s.lock = l
	return flat(s.renderLock(e.cfg.Account, now)), nil
}

func (e *EC2) unlockSnapshot(_ context.Context, _ *wire.Call, q query) (any, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.snapshot(q.text("SnapshotId"))
	switch {
	case err != nil:
		return nil, err
	case s.lock == nil:
		return nil, wire.Bad("IncorrectState", "The snapshot '%s' is not locked.", s.id)
	case s.lock.fixed(time.Now()):
		return nil, wire.Bad("OperationNotPermitted", "The snapshot '%s' is locked in compliance mode.", s.id)
	}
	s.lock = nil
	return flat(xmlUnlocked{s.id}), nil
}

type xmlUnlocked struct {
	ID string `xml:"snapshotId"`
}

type xmlLock struct {
	ID      string `xml:"snapshotId"`
	Owner   string `xml:"ownerId"`
	State   string `xml:"lockState"`
	Days    int    `xml:"lockDuration"`
	CoolOff int    `xml:"coolOffPeriod,omitempty"`
	Cools   string `xml:"coolOffPeriodExpiresOn,omitempty"`
	Made    string `xml:"lockCreatedOn"`
	Begins  string `xml:"lockDurationStartTime"`
	Expires string `xml:"lockExpiresOn"`
}

func (s *snapshot) renderLock(owner string, now time.Time) xmlLock {
	l := s.lock
	x := xmlLock{ID: s.id, Owner: owner, State: l.state(now), Days: l.days, CoolOff: l.coolOff, Made: wire.Time(l.made), Begins: wire.Time(l.made), Expires: wire.Time(l.expires)}
	if l.coolOff > 0 {
		x.Cools = wire.Time(l.cools)
	}
	return x
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
