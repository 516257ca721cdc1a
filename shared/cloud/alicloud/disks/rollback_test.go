package disks_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/local/aliyun/ecs"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/alicloud/disks"
	"github.com/quiesce/quiesce/shared/fault"
)

// A disk goes back to a snapshot of its own, after one of what was on it.
func TestBack(t *testing.T) {
	in(t, "Stopped", func(w *world) {
		id := w.snapshot(data)
		var told []string
		done, err := disks.Back(w.Context(), w.cloud, disks.Rollback{Disk: data, Snapshot: id, Confirm: data}, func(f string, a ...any) { told = append(told, fmt.Sprintf(f, a...)) })
		w.must(err)
		if got, want := fmt.Sprint(w.below.made), "["+data+" of "+id+"]"; got != want {
			t.Errorf("made %s, want %s", got, want)
		}
		all, err := disks.List(w.Context(), w.cloud, wanted(data))
		w.must(err)
		if len(all) != 2 || all[0].ID != done.Safety || all[0].Status != "accomplished" || !strings.HasPrefix(all[0].Name, "before-rollback-") {
			t.Errorf("got %+v, and the safety snapshot %s", all, done.Safety)
		}
		if len(told) < 2 || done.Instance.ID != vm {
			t.Errorf("told %q of %+v", told, done)
		}
	})
}

// A dry run asks the service and changes nothing; neither does a rollback that
// was not confirmed.
func TestBackChangesNothingUnasked(t *testing.T) {
	in(t, "Stopped", func(w *world) {
		id := w.snapshot(data)
		done, err := disks.Back(w.Context(), w.cloud, disks.Rollback{Disk: data, Snapshot: id, DryRun: true}, nil)
		w.must(err)
		if done.Safety != "" || len(w.below.made) > 0 || w.account.Count("CreateSnapshot") != 1 {
			t.Errorf("a dry run left %+v and %v", done, w.below.made)
		}
		for _, confirm := range []string{"", "yes", other} {
			_, err = disks.Back(w.Context(), w.cloud, disks.Rollback{Disk: data, Snapshot: id, Confirm: confirm}, nil)
			w.refused(err, fault.InvalidInput, "confirm: wants the disk's id")
		}
		if len(w.below.made) > 0 || w.account.Count("CreateSnapshot") != 1 {
			t.Errorf("without confirmation it did %v", w.below.made)
		}
	})
}

// What the service would refuse is refused before anything is done, and the
// service itself does refuse it.
func TestBackRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(w *world) disks.Rollback
		code    fault.Code
		says    string
		service string // its own code; empty where it would do it all the same
	}{
		{"a running instance", func(w *world) disks.Rollback {
			id := w.snapshot(data)
			w.account.ECS.Change(vm, func(i *ecs.Instance) { i.State = "Running" })
			return disks.Rollback{Snapshot: id}
		}, fault.SnapshotRefused, "is Running: stop it first", "IncorrectInstanceStatus"},
		{"an instance that is not charged", func(w *world) disks.Rollback {
			id := w.snapshot(data)
			w.account.ECS.Change(vm, func(i *ecs.Instance) { i.Mode = "StopCharging" })
			return disks.Rollback{Snapshot: id}
		}, fault.SnapshotRefused, "may not start again", ""},
		{"a locked instance", func(w *world) disks.Rollback {
			id := w.snapshot(data)
			w.account.ECS.Change(vm, func(i *ecs.Instance) { i.Locked = "security" })
			return disks.Rollback{Snapshot: id}
		}, fault.AccessDenied, "is locked: security", "InstanceLockedForSecurity"},
		{"a snapshot of another disk", func(w *world) disks.Rollback {
			return disks.Rollback{Snapshot: w.snapshot(other)}
		}, fault.InvalidInput, "is of " + other, "InvalidParameter.Mismatch"},
		{"a snapshot that is not accomplished", func(w *world) disks.Rollback {
			return disks.Rollback{Snapshot: w.begun(data)}
		}, fault.SnapshotRefused, "is progressing", "InvalidSnapshotId.NotReady"},
		{"another snapshot in progress", func(w *world) disks.Rollback {
			id := w.snapshot(data)
			w.begun(data)
			return disks.Rollback{Snapshot: id}
		}, fault.SnapshotTooSoon, "still being created", "Operation.Conflict"},
		{"no such snapshot", func(*world) disks.Rollback {
			return disks.Rollback{Snapshot: "s-bp1aaaaaaaaaaaaaaa09"}
		}, fault.InvalidInput, "does not exist", "InvalidSnapshotId.NotFound"},
		{"no such disk", func(w *world) disks.Rollback {
			return disks.Rollback{Disk: absent, Snapshot: w.snapshot(data)}
		}, fault.InvalidInput, absent + " does not exist", "InvalidDiskId.NotFound"},
		{"no snapshot's id", func(*world) disks.Rollback {
			return disks.Rollback{Snapshot: "snap-0"}
		}, fault.InvalidInput, "snapshot: wants an id", "InvalidSnapshotId.NotFound"},
		{"one disk of a set", func(w *world) disks.Rollback {
			a, b := w.snapshot(data), w.snapshot(other)
			w.must(w.cloud.TagSnapshots(w.Context(), []string{a, b}, map[string]string{cloud.TagRun: "r1"}))
			return disks.Rollback{Snapshot: a}
		}, fault.InvalidInput, "belongs to the set of the run r1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, "Stopped", func(w *world) {
				r := c.prepare(w)
				if r.Disk == "" {
					r.Disk = data
				}
				r.Confirm = r.Disk
				before := w.account.Count("CreateSnapshot")
				_, err := disks.Back(w.Context(), w.cloud, r, nil)
				w.refused(err, c.code, c.says, "ResetDisk")
				if w.account.Count("CreateSnapshot") != before {
					t.Error("it took a snapshot first")
				}
				if c.service != "" {
					w.would(w.cloud.ResetDisk(w.Context(), r.Disk, r.Snapshot, true), c.service)
					return
				}
				w.must(w.cloud.ResetDisk(w.Context(), r.Disk, r.Snapshot, true))
			})
		})
	}
}

// One disk of a set goes alone if that is said.
func TestBackAlone(t *testing.T) {
	in(t, "Stopped", func(w *world) {
		a, b := w.snapshot(data), w.snapshot(other)
		w.must(w.cloud.TagSnapshots(w.Context(), []string{a, b}, map[string]string{cloud.TagRun: "r1"}))
		_, err := disks.Back(w.Context(), w.cloud, disks.Rollback{Disk: data, Snapshot: a, Alone: true, Confirm: data}, nil)
		w.must(err)
	})
}

// An instance that starts while the safety snapshot is made is left alone.
func TestBackLooksAgain(t *testing.T) {
	in(t, "Stopped", func(w *world) {
		id := w.snapshot(data)
		_, err := disks.Back(w.Context(), w.cloud, disks.Rollback{Disk: data, Snapshot: id, Confirm: data}, func(string, ...any) {
			w.account.ECS.Change(vm, func(i *ecs.Instance) { i.State = "Running" })
		})
		w.refused(err, fault.SnapshotRefused, "is Running")
		if len(w.below.made) > 0 {
			t.Errorf("it was set back: %v", w.below.made)
		}
	})
}

// Without a safety snapshot nothing is set back.
func TestBackWantsItsSafety(t *testing.T) {
	in(t, "Stopped", func(w *world) {
		id := w.snapshot(data)
		_, err := disks.Back(w.Context(), w.cloud, disks.Rollback{Disk: data, Snapshot: id, Confirm: data}, func(string, ...any) { w.account.ECS.FailSnapshots(data) })
		w.refused(err, fault.SnapshotFailed, "nothing was set back")
		if len(w.below.made) > 0 {
			t.Errorf("it was set back: %v", w.below.made)
		}
	})
}
