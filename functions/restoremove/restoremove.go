// Package restoremove puts disks where they are to be: those of the restore, or
// those that it took off. It looks at what is, does what is missing and looks
// again, so that it may be interrupted and repeated anywhere.
package restoremove

import (
	"context"
	"fmt"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
)

// Input is the plan, which disks are wanted, and what the last look saw.
type Input struct {
	Plan   restore.Plan      `json:"plan"`
	To     string            `json:"to"` // new, old
	Before *restore.Progress `json:"before"`
}

// Which disks are wanted.
const (
	New = "new"
	Old = "old"
)

// Check refuses an input without a plan.
func (in Input) Check() error {
	if in.To != New && in.To != Old {
		return fault.Input("to", "wants %s or %s, got %q", New, Old, in.To)
	}
	return in.Plan.Check()
}

// limit is how long a disk may take to come or to go.
const limit = 15 * time.Minute

// Do moves the disks, or sets them back. In place nothing is changed while the
// instance is not stopped. Codes: RestoreRefused, RestoreTimedOut.
func Do(ctx context.Context, r cloud.Restorer, in Input) (*restore.Progress, error) {
	if in.Plan.Resets {
		return reset(ctx, r, in)
	}
	return restore.Look(ctx, in.Before, in.Plan.Limit(limit, in.Before), func() (*restore.Progress, error) {
		m := move{r: r, plan: in.Plan, p: &restore.Progress{State: restore.Done, Detail: "every disk is where it is to be"}}
		return m.p, m.look(ctx, in.To)
	})
}

type move struct {
	r    cloud.Restorer
	plan restore.Plan
	p    *restore.Progress
	host cloud.Host
}

// place is where a disk is to be.
type place struct {
	id, origin, device string
	ends               bool
}

func (m *move) look(ctx context.Context, to string) error {
	made, err := m.r.Marked(ctx, cloud.TagRestore, m.plan.RestoreID)
	if err != nil {
		return err
	}
	wanted, away, err := m.places(made, to)
	if err != nil {
		return err
	}
	if m.host, err = m.r.Host(ctx, m.plan.Target.InstanceID); err != nil {
		return err
	}
	if m.plan.Mode == restore.InPlace && m.host.State != cloud.HostStopped && !m.there(wanted, away) {
		return fault.New(fault.RestoreRefused, "%s is not stopped: no disk is taken from a running system", m.host.ID)
	}
	if err := m.clear(ctx, away); err != nil {
		return err
	}
	if m.p.State == restore.Pending {
		return nil // a device's name is free once its disk has gone
	}
	return m.fill(ctx, wanted)
}

// places tells which disks are wanted where, and which are not.
func (m *move) places(made []cloud.Disk, to string) (wanted []place, away []string, err error) {
	var fresh, old []place
	by := map[string]string{}
	for _, d := range made {
		by[d.Tags[cloud.TagOrigin]] = d.ID
	}
	for _, d := range m.plan.Disks {
		if id := by[d.Origin]; id != "" {
			fresh = append(fresh, place{id, d.Origin, d.Device, d.Ends})
		} else if to == New {
			return nil, nil, fault.New(fault.VolumeBusy, "the disk made of %s is not seen yet", d.Snapshot)
		}
	}
	for _, o := range m.plan.Old {
		old = append(old, place{o.ID, o.ID, o.Device, o.Ends})
	}
	if to == Old {
		fresh, old = old, fresh
	}
	for _, o := range old {
		away = append(away, o.id)
	}
	return fresh, away, nil
}

// attached is the host's disk of an id, nil if it has none.
func (m *move) attached(id string) *cloud.Disk {
	for i := range m.host.Disks {
		if m.host.Disks[i].ID == id {
			return &m.host.Disks[i]
		}
	}
	return nil
}

// there reports whether nothing is left to be moved.
func (m *move) there(wanted []place, away []string) bool {
	for _, id := range away {
		if m.attached(id) != nil {
			return false
		}
	}
	for _, w := range wanted {
		if d := m.attached(w.id); d == nil || d.Device != w.device {
			return false
		}
	}
	return true
}

// clear takes off what is not wanted.
func (m *move) clear(ctx context.Context, away []string) error {
	for _, id := range away {
		d := m.attached(id)
		if d == nil {
			continue
		}
		m.p.State, m.p.Detail = restore.Pending, fmt.Sprintf("%s is leaving %s", id, d.Device)
		if d.State == cloud.DiskAttached || d.State == cloud.DiskAttaching {
			if err := m.r.Detach(ctx, m.host.ID, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// fill puts what is wanted in its place, and lets it end with the instance or
// not, as what it replaces.
func (m *move) fill(ctx context.Context, wanted []place) error {
	ends := map[string]bool{}
	for _, w := range wanted {
		d := m.attached(w.id)
		made := restore.Made{ID: w.id, Origin: w.origin, Device: w.device, State: string(cloud.DiskAttaching)}
		switch {
		case d == nil:
			m.p.State, m.p.Detail = restore.Pending, fmt.Sprintf("%s is coming as %s", w.id, w.device)
			if err := m.r.Attach(ctx, m.host.ID, w.id, w.device); err != nil {
				return err
			}
		case d.Device != w.device:
			return fault.New(fault.RestoreRefused, "%s is attached as %s, not as %s", w.id, d.Device, w.device)
		case d.State != cloud.DiskAttached:
			m.p.State, m.p.Detail = restore.Pending, fmt.Sprintf("%s is coming as %s", w.id, w.device)
		default:
			made.State = string(cloud.DiskAttached)
			if d.Ends != w.ends {
				ends[w.device] = w.ends
			}
		}
		m.p.Disks = append(m.p.Disks, made)
	}
	if len(ends) == 0 {
		return nil
	}
	m.p.State, m.p.Detail = restore.Pending, "the attachments are being changed"
	return m.r.Bind(ctx, m.host.ID, ends)
}
