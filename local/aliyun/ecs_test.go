package aliyun_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/aliyun/ecs"
)

const gib = 1 << 30

// disks are n data disks of so many GiB each.
func disks(n int, each int64, change func(*ecs.Disk)) (all []ecs.Disk) {
	for i := range n {
		d := ecs.Disk{ID: fmt.Sprintf("d-bp1more%d", i), Bytes: each * gib, Hollow: true}
		if change != nil {
			change(&d)
		}
		all = append(all, d)
	}
	return all
}

func TestSnapshotGroupsLimits(t *testing.T) {
	const other = "i-bp1other"
	group := func(with ...string) []string { return append([]string{"InstanceId", other}, with...) }
	tags := func(n int) (with []string) {
		for i := range n {
			with = append(with, fmt.Sprintf("Tag.%d.Key", i+1), fmt.Sprintf("k%d", i), fmt.Sprintf("Tag.%d.Value", i+1), "v")
		}
		return with
	}
	for _, c := range []struct {
		name  string
		disks []ecs.Disk
		state string
		with  []string
		want  string
	}{
		{"sixteen disks", disks(16, 1, nil), "", group(), ""},
		{"seventeen", disks(17, 1, nil), "", group(), "QuotaExceed.SnapshotGroup"},
		{"sixteen of seventeen", disks(17, 1, nil), "", group("ExcludeDiskId.1", "d-bp1more0"), ""},
		{"32 TiB", disks(16, 2048, nil), "", group(), ""},
		{"more than 32 TiB", disks(16, 2049, nil), "", group(), "QuotaExceed.SnapshotGroup"},
		{"a stopped instance", disks(2, 1, nil), "Stopped", group(), ""},
		{"a starting one", disks(2, 1, nil), "Starting", group(), "IncorrectInstanceStatus"},
		{"both lists", disks(2, 1, nil), "", group("DiskId.1", "d-bp1more0", "ExcludeDiskId.1", "d-bp1more1"), "InvalidParameter.Conflict"},
		{"everything left out", disks(1, 1, nil), "", group("ExcludeDiskId.1", "d-bp1more0"), "InvalidParameter.ExcludeDiskId"},
		{"another instance's disk", disks(2, 1, nil), "", group("DiskId.1", first), "IncorrectDiskStatus"},
		{"a disk that does not exist", disks(2, 1, nil), "", group("DiskId.1", "d-bp1nobody"), "InvalidDiskId.NotFound"},
		{"an older kind of disk", disks(2, 1, func(d *ecs.Disk) { d.Category = "cloud_efficiency" }), "", group(), "DiskCategory.OperationNotSupported"},
		{"a shared disk", disks(2, 1, func(d *ecs.Disk) { d.MultiAttach = true }), "", group(), "DiskCategory.OperationNotSupported"},
		{"zone-redundant disks", disks(2, 1, func(d *ecs.Disk) { d.Category = "cloud_regional_disk_auto" }), "", group(), ""},
		{"these and others", append(disks(1, 1, func(d *ecs.Disk) { d.Category = "cloud_regional_disk_auto" }), ecs.Disk{ID: "d-bp1zonal", Hollow: true}), "", group(), "DiskCategory.OperationNotSupported"},
		{"twenty tags", disks(1, 1, nil), "", group(tags(20)...), ""},
		{"twenty-one", disks(1, 1, nil), "", group(tags(21)...), "NumberExceed.Tags"},
		{"a tag twice", disks(1, 1, nil), "", group("Tag.1.Key", "k", "Tag.2.Key", "k"), "Duplicate.TagKey"},
		{"a tag of the provider's", disks(1, 1, nil), "", group("Tag.1.Key", "acs:k"), "InvalidTagKey.Malformed"},
		{"a tag with an address", disks(1, 1, nil), "", group("Tag.1.Key", "k", "Tag.1.Value", "https://example.com"), "InvalidTagValue.Malformed"},
		{"a name of one letter", disks(1, 1, nil), "", group("Name", "q"), "InvalidName.Malformed"},
		{"a name that begins with a digit", disks(1, 1, nil), "", group("Name", "1q"), "InvalidName.Malformed"},
		{"a name of 128", disks(1, 1, nil), "", group("Name", strings.Repeat("q", 128)), ""},
		{"a longer name", disks(1, 1, nil), "", group("Name", strings.Repeat("q", 129)), "InvalidName.Malformed"},
		{"an instance that does not exist", disks(1, 1, nil), "", []string{"InstanceId", "i-bp1nobody"}, "InvalidInstanceId.NotFound"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, aliyun.Config{}, func(w *world) {
				w.rent(ecs.Instance{ID: other, State: c.state}, c.disks...)
				a := w.call("CreateSnapshotGroup", c.with...)
				w.refuses(c.name, a, c.want)
				if made := len(w.ECS.All()) > 0; made != (c.want == "") {
					t.Errorf("%d snapshots were made", len(w.ECS.All()))
				}
			})
		})
	}
}

// A token makes a repeated call the same group, and only the same call.
func TestAGroupsToken(t *testing.T) {
	in(t, aliyun.Config{}, func(w *world) {
		make := func(with ...string) answer {
			return w.call("CreateSnapshotGroup", append([]string{"InstanceId", target, "ClientToken", "one"}, with...)...)
		}
		once, again := make("ExcludeDiskId.1", system), make("ExcludeDiskId.1", system)
		if id := once.text("SnapshotGroupId"); id == "" || again.text("SnapshotGroupId") != id || len(w.ECS.All()) != 2 {
			t.Errorf("got %v and %v", once.doc, again.doc)
		}
		w.refuses("another call", make("DiskId.1", first), "IdempotentParameterMismatch")
	})
}

// What is in progress stands in the way of the next, for as long as it cannot be
// used; and a disk has its quota.
func TestSnapshotsInProgress(t *testing.T) {
	in(t, aliyun.Config{ECS: ecs.Config{Completion: time.Hour, Usable: 5 * time.Second}}, func(w *world) {
		snapshot := func() answer { return w.call("CreateSnapshot", "DiskId", first) }
		w.refuses("the first", snapshot(), "")
		w.refuses("the next at once", snapshot(), "IncorrectDiskStatus.CreatingSnapshot")
		w.refuses("a group with that disk", w.call("CreateSnapshotGroup", "InstanceId", target, "DiskId.1", first), "IncorrectDiskStatus.CreatingSnapshot")
		w.refuses("one without", w.call("CreateSnapshotGroup", "InstanceId", target, "DiskId.1", second), "")
		for i := range 9 {
			time.Sleep(6 * time.Second)
			w.refuses(fmt.Sprintf("number %d", i+2), snapshot(), "")
		}
		time.Sleep(6 * time.Second)
		w.refuses("more than ten in progress", snapshot(), "IncorrectDiskStatus.CreatingSnapshot")
	})
	in(t, aliyun.Config{ECS: ecs.Config{Completion: time.Millisecond}}, func(w *world) {
		for range 256 {
			w.refuses("one of 256", w.call("CreateSnapshot", "DiskId", first), "")
			time.Sleep(time.Second)
		}
		w.refuses("one more", w.call("CreateSnapshot", "DiskId", first), "QuotaExceed.Snapshot")
	})
}

func TestWhatASnapshotMayBe(t *testing.T) {
	in(t, aliyun.Config{}, func(w *world) {
		for _, c := range []struct {
			name string
			with []string
			want string
		}{
			{"a name of the policies'", []string{"SnapshotName", "auto-daily"}, "InvalidSnapshotName.Malformed"},
			{"a retention of no day", []string{"RetentionDays", "0"}, "InvalidParameter.RetentionDays"},
			{"a retention of too many", []string{"RetentionDays", "65537"}, "InvalidParameter.RetentionDays"},
			{"a retention of as many as there may be", []string{"RetentionDays", "65536"}, ""},
		} {
			w.refuses(c.name, w.call("CreateSnapshot", append([]string{"DiskId", second}, c.with...)...), c.want)
		}
		w.refuses("a disk that does not exist", w.call("CreateSnapshot", "DiskId", "d-bp1nobody"), "InvalidDiskId.NotFound")
	})
}

// A disk is set back only by a snapshot of its own that is complete, on an
// instance that is stopped; and only one that is free is attached.
func TestDisksRefuse(t *testing.T) {
	in(t, aliyun.Config{ECS: ecs.Config{Completion: 10 * time.Second}}, func(w *world) {
		made := w.call("CreateSnapshot", "DiskId", first).text("SnapshotId")
		reset := func(disk, snapshot string) answer { return w.call("ResetDisk", "DiskId", disk, "SnapshotId", snapshot) }
		stop := func(mode string) {
			w.ECS.Change(target, func(i *ecs.Instance) { i.State, i.Mode = "Stopped", mode })
		}
		stop("KeepCharging")
		w.refuses("while it is in progress", reset(first, made), "InvalidSnapshotId.NotReady")
		time.Sleep(11 * time.Second)
		w.ECS.Change(target, func(i *ecs.Instance) { i.State = "Running" })
		w.refuses("while the instance runs", reset(first, made), "IncorrectInstanceStatus")
		stop("KeepCharging")
		w.refuses("another disk's", reset(second, made), "InvalidParameter.Mismatch")
		w.refuses("one that does not exist", reset(first, "s-bp1nobody"), "InvalidSnapshotId.NotFound")
		w.refuses("as it should be", reset(first, made), "")

		w.refuses("attach one that is attached", w.call("AttachDisk", "InstanceId", target, "DiskId", first), "IncorrectDiskStatus")
		w.refuses("delete one that is attached", w.call("DeleteDisk", "DiskId", first), "IncorrectDiskStatus")
		w.refuses("delete a snapshot", w.call("DeleteSnapshot", "SnapshotId", made), "")
		w.refuses("delete it again, which is ignored", w.call("DeleteSnapshot", "SnapshotId", made), "")
	})
}
