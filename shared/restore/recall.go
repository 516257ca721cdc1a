package restore

import (
	"context"

	"github.com/quiesce/quiesce/shared/cloud"
)

// Marks are what carries a restore's mark: disks that it has made, disks that it
// takes off, and of the mode image the image and the instance.
type Marks struct {
	Made, Old []cloud.Disk
	Images    []cloud.Image
	Instances []cloud.Host
}

// All is what the restore has made, of whatever kind.
func (m Marks) All() []Made {
	list := []Made{}
	for _, i := range m.Images {
		list = append(list, Made{Kind: KindImage, ID: i.ID, State: string(i.State)})
	}
	for _, h := range m.Instances {
		list = append(list, Made{Kind: KindInstance, ID: h.ID, State: string(h.State)})
	}
	for _, d := range m.Made {
		list = append(list, Made{ID: d.ID, Origin: d.Tags[cloud.TagOrigin], Device: d.Device, State: string(d.State)})
	}
	return list
}

// Marked finds what carries a restore's mark now.
func Marked(ctx context.Context, r cloud.Restorer, id string) (m Marks, err error) {
	if m.Images, err = r.Images(ctx, cloud.TagRestore, id); err != nil {
		return m, err
	}
	if m.Instances, err = r.Launched(ctx, cloud.TagRestore, id); err != nil {
		return m, err
	}
	// The disks last: those of an instance that has ended by now are free.
	if m.Made, err = r.Marked(ctx, cloud.TagRestore, id); err != nil {
		return m, err
	}
	m.Old, err = r.Marked(ctx, cloud.TagReplaced, id)
	return m, err
}

// Recall makes the plan of a restore that was begun before out of what stands
// on its disks: the execution's history may be gone.
func Recall(ctx context.Context, r cloud.Restorer, id string) (*Plan, Marks, error) {
	plan := &Plan{RestoreID: id, Mode: Volumes, Disks: []Disk{}, Old: []Old{}}
	m, err := Marked(ctx, r, id)
	if err != nil {
		return nil, m, err
	}
	for _, d := range m.Made {
		plan.Disks = append(plan.Disks, Disk{
			ID: d.ID, Snapshot: d.Source, Origin: d.Tags[cloud.TagOrigin], Device: d.Tags[cloud.TagDevice],
			SizeGiB: d.SizeGiB, Kind: d.Kind, Key: d.Key, Ends: d.Tags[cloud.TagEnds] == "true",
		})
		plan.Target.InstanceID, plan.Policy.Name = d.Tags[cloud.TagInstance], d.Tags[cloud.TagPolicy]
		if d.Tags[cloud.TagRecover] != "" {
			plan.Revival = &Revival{Places: []Mount{}}
		}
	}
	for _, d := range m.Old {
		plan.Mode, plan.Stops = InPlace, true
		plan.Old = append(plan.Old, Old{ID: d.ID, Device: d.Tags[cloud.TagDevice], Ends: d.Tags[cloud.TagEnds] == "true"})
		plan.Target.InstanceID = d.Tags[cloud.TagInstance]
		plan.Starts = d.Tags[cloud.TagRan] == "true"
	}
	for _, i := range m.Images {
		plan.Mode, plan.Target.InstanceID, plan.Policy.Name = AsImage, i.Tags[cloud.TagInstance], i.Tags[cloud.TagPolicy]
	}
	for _, h := range m.Instances {
		plan.Mode, plan.Target.InstanceID, plan.Policy.Name = AsImage, h.Tags[cloud.TagInstance], h.Tags[cloud.TagPolicy]
	}
	return plan, m, nil
}
