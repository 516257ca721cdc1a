package disks_test

import (
	"fmt"
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/shared/cloud/alicloud/disks"
	"github.com/quiesce/quiesce/shared/fault"
)

func wanted(disk string) alicloud.Wanted { return alicloud.Wanted{DiskID: disk} }

func TestMake(t *testing.T) {
	in(t, "Running", func(w *world) {
		boot, more := w.snapshot(system), w.snapshot(data)
		for _, ids := range [][]string{{boot}, {boot, more}} {
			id, warnings, err := disks.Make(w.Context(), w.cloud, disks.Image{Name: fmt.Sprint("image-", len(ids)), Snapshots: ids})
			w.must(err)
			if id == "" || len(warnings) != len(ids) {
				t.Errorf("got %q, %q", id, warnings)
			}
		}
		w.must(w.cloud.TagSnapshots(w.Context(), []string{boot}, map[string]string{cloud.TagRun: "r1", cloud.TagConsistency: "application"}))
		w.must(w.cloud.TagSnapshots(w.Context(), []string{more}, map[string]string{cloud.TagRun: "r2", cloud.TagConsistency: "crash"}))
		_, warnings, err := disks.Make(w.Context(), w.cloud, disks.Image{Name: "mixed", Snapshots: []string{boot, more}})
		w.must(err)
		want := []string{more + " is labelled crash: its filesystems recover when they are mounted", "the snapshots are not of one set: they show the disks at different times"}
		if fmt.Sprint(warnings) != fmt.Sprint(want) {
			t.Errorf("got %q, want %q", warnings, want)
		}
	})
}

func TestMakeRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(w *world) disks.Image
		code    fault.Code
		says    string
		service string
	}{
		{"a data disk alone", func(w *world) disks.Image { return disks.Image{Snapshots: []string{w.snapshot(data)}} },
			fault.InvalidInput, "wants the snapshot of a system disk", "OperationDenied"},
		{"no snapshot", func(*world) disks.Image { return disks.Image{} }, fault.InvalidInput, "wants the snapshot of a system disk", ""},
		{"two of one disk", func(w *world) disks.Image {
			return disks.Image{Snapshots: []string{w.snapshot(system), w.snapshot(system)}}
		}, fault.InvalidInput, "is a second one of " + system, "OperationDenied"},
		{"one in progress", func(w *world) disks.Image { return disks.Image{Snapshots: []string{w.begun(system)}} },
			fault.SnapshotRefused, "is progressing", "InvalidSnapshotId.NotReady"},
		{"one that does not exist", func(*world) disks.Image { return disks.Image{Snapshots: []string{"s-bp1aaaaaaaaaaaaaaa09"}} },
			fault.InvalidInput, "does not exist", "InvalidSnapshotId.NotFound"},
		{"a reserved name", func(w *world) disks.Image {
			return disks.Image{Name: "aliyun-mine", Snapshots: []string{w.snapshot(system)}}
		}, fault.InvalidInput, "name: must not begin with aliyun", "InvalidImageName.Malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, "Running", func(w *world) {
				i := c.prepare(w)
				if i.Name == "" {
					i.Name = "image"
				}
				_, _, err := disks.Make(w.Context(), w.cloud, i)
				w.refused(err, c.code, c.says, "CreateImage")
				if c.service == "" {
					return
				}
				var raw []alicloud.Snapshot
				for _, id := range i.Snapshots {
					raw = append(raw, alicloud.Snapshot{ID: id})
				}
				_, err = w.cloud.NewImage(w.Context(), i.Name, "", raw)
				w.would(err, c.service)
			})
		})
	}
}
