package restore

import (
	"context"

	"github.com/quiesce/quiesce/shared/cloud"
)

// Marks are the disks that carry a restore's mark: those that it has made, and
// those that it takes off.
type Marks struct {
	Made, Old []cloud.Disk
}

// Recall makes the plan of a restore that was begun before out of what stands
// on its disks: the execution's history may be gone.
func Recall(ctx context.Context, r cloud.Restorer, id string) (*Plan, Marks, error) {
	plan := &Plan{RestoreID: id, Mode: Volumes, Disks: []Disk{}, Old: []Old{}}
	var m Marks
	var err error
	if m.Made, err = r.Marked(ctx, cloud.TagRestore, id); err != nil {
		return nil, m, err
	}
	if m.Old, err = r.Marked(ctx, cloud.TagReplaced, id); err != nil {
		return nil, m, err
	}
	for _, d := range m.Made {
		plan.Disks = append(plan.Disks, Disk{
			ID: d.ID, Snapshot: d.Source, Origin: d.Tags[cloud.TagOrigin], Device: d.Tags[cloud.TagDevice],
			SizeGiB: d.SizeGiB, Kind: d.Kind, Key: d.Key, Ends: d.Tags[cloud.TagEnds] == "true",
		})
		plan.Target.InstanceID, plan.Policy.Name = d.Tags[cloud.TagInstance], d.Tags[cloud.TagPolicy]
	}
	for _, d := range m.Old {
		plan.Mode, plan.Stops = InPlace, true
		plan.Old = append(plan.Old, Old{ID: d.ID, Device: d.Tags[cloud.TagDevice], Ends: d.Tags[cloud.TagEnds] == "true"})
		plan.Target.InstanceID = d.Tags[cloud.TagInstance]
		plan.Starts = d.Tags[cloud.TagRan] == "true"
	}
	return plan, m, nil
}
