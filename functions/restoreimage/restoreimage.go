// Package restoreimage registers the image of a set and, if one is wanted,
// launches an instance of it. Nothing of what the set was taken of is touched.
package restoreimage

import (
	"context"
	"fmt"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
)

// Input is the plan and what the last look saw, null at first.
type Input struct {
	Plan   restore.Plan      `json:"plan"`
	Before *restore.Progress `json:"before"`
}

// Check refuses an input that plans no image.
func (in Input) Check() error {
	if in.Plan.Image == nil {
		return fault.Input("plan.image", "is missing")
	}
	return in.Plan.Check()
}

// limit is how long both may take: an image is there in seconds, an instance in
// minutes.
const limit = 30 * time.Minute

// Do makes what is missing. Whatever was made before is found, by its tag, by
// the image's name or by the token of its request. Codes: RestoreRefused,
// RestoreTimedOut, SetNotRestorable.
func Do(ctx context.Context, c cloud.Restorer, in Input) (*restore.Progress, error) {
	m := making{c: c, plan: in.Plan}
	return restore.Look(ctx, in.Before, limit, func() (*restore.Progress, error) {
		m.p = &restore.Progress{State: restore.Done}
		return m.p, m.look(ctx)
	})
}

type making struct {
	c    cloud.Restorer
	plan restore.Plan
	p    *restore.Progress
}

// wait says what is waited for.
func (m *making) wait(format string, args ...any) {
	m.p.State, m.p.Detail = restore.Pending, fmt.Sprintf(format, args...)
}

func (m *making) look(ctx context.Context) error {
	image, err := m.image(ctx)
	if err != nil || m.p.State == restore.Pending {
		return err
	}
	m.p.Detail = image + " is there"
	if m.plan.Launch == nil {
		return nil
	}
	return m.instance(ctx, image)
}

// image registers it unless it is there.
func (m *making) image(ctx context.Context) (id string, err error) {
	found, err := m.c.Images(ctx, cloud.TagRestore, m.plan.RestoreID)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		if err := m.whole(ctx); err != nil {
			return "", err
		}
		if id, err = m.c.Register(ctx, m.plan.Registration()); err != nil {
			return "", err
		}
		found = []cloud.Image{{ID: id, State: cloud.ImageMaking}}
	}
	i := found[0]
	m.p.Disks = append(m.p.Disks, restore.Made{Kind: restore.KindImage, ID: i.ID, State: string(i.State)})
	switch want := m.plan.Image.Model.Platform; {
	case i.State == cloud.ImageBroken:
		return "", fault.New(fault.RestoreRefused, "the image %s is broken: %s", i.ID, i.Reason)
	case i.State == cloud.ImageMaking:
		m.wait("%s is being registered", i.ID)
	case want != "" && i.Platform != want:
		return "", fault.New(fault.RestoreRefused, "the image %s is of %q and the instance of %q: the snapshot does not say what is billed for its system, and an instance of the image would not be what it was; restore the disks, or make the image of the instance itself", i.ID, i.Platform, want)
	}
	return i.ID, nil
}

// whole refuses a set of which something has gone since it was planned: an
// image may be registered of a part of its snapshots.
func (m *making) whole(ctx context.Context) error {
	set, err := m.c.Sources(ctx, m.plan.SetID)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, s := range set {
		_, going := s.Tags[cloud.TagDeleting]
		there[s.ID] = !going
	}
	for _, d := range m.plan.Disks {
		if !there[d.Snapshot] {
			return fault.New(fault.SetNotRestorable, "the set of %s: %s is gone, or its deletion has begun", m.plan.SetID, d.Snapshot)
		}
	}
	return nil
}

// instance launches it unless it is there. One that ends before it runs, as for
// a key that may not be used, ends by itself.
func (m *making) instance(ctx context.Context, image string) error {
	found, err := m.c.Launched(ctx, cloud.TagRestore, m.plan.RestoreID)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		id, err := m.c.Launch(ctx, m.plan.Launching(image))
		if err != nil {
			return err
		}
		h, err := m.c.Host(ctx, id)
		switch {
		case fault.CodeOf(err) == fault.InstanceNotFound:
			h = cloud.Host{ID: id, State: cloud.HostStarting} // not listed yet
		case err != nil:
			return err
		}
		found = []cloud.Host{h}
	}
	h := found[0]
	m.p.Disks = append(m.p.Disks, restore.Made{Kind: restore.KindInstance, ID: h.ID, State: string(h.State)})
	switch h.State {
	case cloud.HostRunning:
		m.p.Detail = fmt.Sprintf("%s runs from %s", h.ID, image)
	case "":
		return fault.New(fault.RestoreRefused, "the instance %s ended before it ran: a key of the set may not be this account's to use, or the zone has no room for it", h.ID)
	default:
		m.wait("%s is %s", h.ID, h.State)
	}
	return nil
}
