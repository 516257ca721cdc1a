package restoreplan

import (
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/run"
)

// asTaken makes of copies the set that they are of: a copy has a volume and a
// moment of its own, which mean nothing. From is the Region of the set, empty for
// one that was taken here.
func asTaken(set []cloud.Source) (members []cloud.Source, from string, err error) {
	if len(set) == 0 {
		return set, "", nil
	}
	from = retention.CopiedFrom(set[0].Tags)
	for _, s := range set {
		if other := retention.CopiedFrom(s.Tags); other != from {
			return nil, "", fault.New(fault.SetNotRestorable, "the set of %s: it is mixed: %s comes from %q, %s from %q", set[0].Tags[cloud.TagRun], set[0].ID, from, s.ID, other)
		}
	}
	if from == "" {
		return set, "", nil
	}
	members, _ = retention.Elect(set, func(s cloud.Source) cloud.TaggedSnapshot {
		return cloud.TaggedSnapshot{Snapshot: run.Snapshot{ID: s.ID, State: s.State}, Tags: s.Tags, StartedAt: s.StartedAt}
	})
	for i, s := range members {
		at, err := time.Parse(time.RFC3339, s.Tags[cloud.TagTakenAt])
		if err != nil || s.Tags[cloud.TagOrigin] == "" {
			return nil, "", fault.New(fault.SetNotRestorable, "the set of %s: %s does not say of which volume it is, or when that was: its tags %s and %s", s.Tags[cloud.TagRun], s.ID, cloud.TagOrigin, cloud.TagTakenAt)
		}
		members[i].VolumeID, members[i].StartedAt = s.Tags[cloud.TagOrigin], at
	}
	return members, from, nil
}

// elsewhere refuses to look for the instance of a copied set where it is not.
func (p *planner) elsewhere(from, instance string) error {
	switch {
	case from == "", p.in.Mode == restore.AsImage: // an image is of no instance that must be there
		return nil
	case p.in.Mode == restore.InPlace:
		return fault.Input("request.mode", "the set is a copy, and its instance %s is in %s: restore it in place there, or as volumes of an instance of this Region", instance, from)
	case p.in.InstanceID == "":
		return fault.Input("request.instanceId", "is missing: the set is a copy, and its own instance %s is in %s", instance, from)
	}
	return nil
}
