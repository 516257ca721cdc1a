package disks

import (
	"context"
	"strings"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Image asks for a custom image of snapshots: of one system disk, and of its
// data disks if instances made of it are to have them.
type Image struct {
	Name        string
	Description string
	Snapshots   []string
}

// maxData is how many data disks an image may have.
const maxData = 16

// Make makes the image and returns what a person should know of it. Codes:
// InvalidInput, SnapshotRefused, and those of the calls.
func Make(ctx context.Context, c Cloud, i Image) (id string, warnings []string, err error) {
	if err := name("name", i.Name, "acs:", "aliyun"); err != nil {
		return "", nil, err
	}
	if err := wellFormed("snapshot", snapshotID, "s-bp1234567890abcdefgh", i.Snapshots...); err != nil {
		return "", nil, err
	}
	var all []alicloud.Snapshot
	seen := map[string]bool{}
	for _, id := range i.Snapshots {
		s, err := one(ctx, c, "snapshot", id)
		switch {
		case err != nil:
			return "", nil, err
		case seen[s.DiskID]:
			return "", nil, fault.Input("snapshot", "%s is a second one of %s", id, s.DiskID)
		case s.Status != accomplished:
			return "", nil, fault.New(fault.SnapshotRefused, "%s is %s (%s), and an image wants it accomplished", id, s.Status, s.Progress)
		}
		seen[s.DiskID] = true
		all = append(all, s)
	}
	if err := bootable(all); err != nil {
		return "", nil, err
	}
	id, err = c.NewImage(ctx, i.Name, i.Description, all)
	return id, doubts(all), err
}

func bootable(all []alicloud.Snapshot) error {
	var systems []string
	for _, s := range all {
		if s.System {
			systems = append(systems, s.ID)
		}
	}
	switch {
	case len(systems) == 0:
		return fault.Input("snapshot", "an image boots, hence wants the snapshot of a system disk; of a data disk's make a disk and attach it")
	case len(systems) > 1:
		return fault.Input("snapshot", "an image has one system disk, got %s", strings.Join(systems, ", "))
	case len(all)-1 > maxData:
		return fault.Input("snapshot", "an image has at most %d data disks, got %d", maxData, len(all)-1)
	}
	return nil
}

// doubts are what the snapshots' labels say against an image of them.
func doubts(all []alicloud.Snapshot) (list []string) {
	runs := map[string]bool{}
	for _, s := range all {
		runs[s.Tags[cloud.TagRun]] = true
		switch level := s.Tags[cloud.TagConsistency]; level {
		case "application", "filesystem":
		case "":
			list = append(list, s.ID+" carries no label: nothing is known of its consistency")
		default:
			list = append(list, s.ID+" is labelled "+level+": its filesystems recover when they are mounted")
		}
	}
	if len(runs) > 1 {
		list = append(list, "the snapshots are not of one set: they show the disks at different times")
	}
	return list
}
