package local

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
)

// theSet is the id of the run whose set is restored in the tests.
const theSet = "run-1"

// inRestore runs a test in a world in which a set was taken, of a machine one
// of whose disks ends with it.
func inRestore(t *testing.T, faults []string, test func(w *world)) {
	t.Helper()
	inRestoreOf(t, setting{faults: faults}, test)
}

func inRestoreOf(t *testing.T, s setting, test func(w *world)) {
	t.Helper()
	inWorld(t, s, func(w *world) {
		w.halted = func() {
			w.halted = nil
			w.must(w.writer.Stop(w.Context()))
			for _, at := range w.mounts {
				w.must(w.sim.Unmount(at))
			}
			w.mounts = nil
		}
		_, err := w.ec2.ModifyInstanceAttribute(w.Context(), &awsec2.ModifyInstanceAttributeInput{
			InstanceId: aws.String(instanceID), BlockDeviceMappings: []types.InstanceBlockDeviceMappingSpecification{{
				DeviceName: &w.volumes[1].device, Ebs: &types.EbsInstanceBlockDeviceSpecification{DeleteOnTermination: aws.Bool(true)},
			}},
		})
		w.must(err)
		w.takes(theSet, nil)
		test(w)
	})
}

// takes makes a set with the tags that a run gives it, or others.
func (w *world) takes(id string, others map[string]string) []string {
	w.Helper()
	tags := map[string]string{
		port.TagRun: id, port.TagHold: "h-" + id, port.TagInstance: instanceID, port.TagMembers: strconv.Itoa(len(w.volumes)),
		port.TagConsistency: string(run.Filesystem), port.TagReason: "every filesystem was held",
	}
	for k, v := range others {
		tags[k] = v
	}
	spec := types.TagSpecification{ResourceType: types.ResourceTypeSnapshot}
	for _, k := range names(tags) {
		spec.Tags = append(spec.Tags, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	out, err := w.ec2.CreateSnapshots(w.Context(), &awsec2.CreateSnapshotsInput{
		InstanceSpecification: &types.InstanceSpecification{InstanceId: aws.String(instanceID), ExcludeBootVolume: aws.Bool(true)},
		TagSpecifications:     []types.TagSpecification{spec},
	})
	w.must(err)
	time.Sleep(20 * time.Second) // it is complete and listed, and the next may be taken
	var ids []string
	for _, s := range out.Snapshots {
		ids = append(ids, *s.SnapshotId)
	}
	return ids
}

// standing are all volumes of the account but the boot volume, as one line each.
func (w *world) standing() map[string]string {
	w.Helper()
	out, err := w.ec2.DescribeVolumes(w.Context(), &awsec2.DescribeVolumesInput{})
	w.must(err)
	all := map[string]string{}
	for _, v := range out.Volumes {
		if *v.VolumeId == rootVolume {
			continue
		}
		line := string(v.State)
		for _, a := range v.Attachments {
			line = fmt.Sprintf("%s %s %t", a.State, *a.Device, *a.DeleteOnTermination)
		}
		all[*v.VolumeId] = line
	}
	return all
}

// original is how the account stood before anything was restored.
func (w *world) original() map[string]string {
	return map[string]string{
		w.volumes[0].id: "attached " + w.volumes[0].device + " false",
		w.volumes[1].id: "attached " + w.volumes[1].device + " true",
	}
}

// asks lets the workflow do what is asked for.
func (w *world) asks(name string, asked restore.Request) *restoring {
	w.Helper()
	r, err := w.restoreBy(w.Context(), name, asked)
	w.must(err)
	return r
}

// keeps wants the original disks as they were, and the machine running.
func (w *world) keeps(after string) {
	w.Helper()
	now := w.standing()
	for id, want := range w.original() {
		if now[id] != want {
			w.Errorf("%s: %s is %q, want %q", after, id, now[id], want)
		}
	}
	if state := w.cloud.EC2.State(instanceID); state != "running" {
		w.Errorf("%s: the instance is %s", after, state)
	}
}

// exists wants the original disks to be somewhere.
func (w *world) exists(after string) {
	w.Helper()
	now := w.standing()
	for id := range w.original() {
		if now[id] == "" {
			w.Errorf("%s: THE ORIGINAL %s IS LOST", after, id)
		}
	}
}

// lists wants every disk that is not the original's in the verdict.
func (w *world) lists(v *restore.Verdict) {
	w.Helper()
	for id := range w.standing() {
		listed := slices.ContainsFunc(v.Created, func(m restore.Made) bool { return m.ID == id })
		if _, first := w.original()[id]; !first && !listed {
			w.Errorf("%s was created, and the verdict does not list it", id)
		}
	}
}

// cleans lets everything that a restore has made be deleted, and wants nothing
// but the original left.
func (w *world) cleans(of string) {
	w.Helper()
	w.cloud.SSM.SetOnline(instanceID, true) // one that was cut off is back
	time.Sleep(time.Minute)
	w.asks(of+"-cleanup", restore.Request{Action: restore.Cleanup, RunID: of}) // refused where it made nothing
	if now := w.standing(); len(now) != len(w.original()) {
		w.Errorf("left after the cleanup: %v", now)
	}
	w.keeps("cleanup")
}

func TestRestoreInPlace(t *testing.T) {
	inRestore(t, nil, func(w *world) {
		r := w.asks("r", restore.Request{RunID: theSet, Mode: restore.InPlace})
		if want := "Open Plan Planned Create Created HowToGoOn Stop Stopped Swap Swapped Start Started Report Outcome Restored"; strings.Join(r.States, " ") != want {
			t.Fatalf("got %v: %s, want %s", r.States, r.Cause, want)
		}
		now := w.standing()
		for i, m := range r.verdict.Created {
			want := w.original()[m.Origin]
			if now[m.ID] != want || now[m.Origin] != "available" {
				t.Errorf("%d: the new disk is %q, the old one %q, want %q and available", i, now[m.ID], now[m.Origin], want)
			}
		}
		if len(r.verdict.Created) != 2 || len(r.verdict.Old) != 2 {
			t.Errorf("got %+v", r.verdict)
		}
		if again := w.asks("r2", restore.Request{Action: restore.Cleanup, RunID: "r"}); !strings.Contains(again.Cause, "in use") {
			t.Errorf("a cleanup under the instance: %s %s", again.Status, again.Cause)
		}
		if c := w.asks("r3", restore.Request{Action: restore.Confirm, RunID: "r"}); c.verdict.Outcome != restore.Settled {
			t.Fatalf("confirm: %+v", c.verdict)
		}
		for _, action := range []string{restore.Rollback, restore.Cleanup, restore.Confirm} {
			if late := w.asks("late-"+action, restore.Request{Action: action, RunID: "r"}); late.verdict.Code != "InvalidInput" || late.verdict.Outcome != restore.FailedClean {
				t.Errorf("%s after the confirmation: %+v", action, late.verdict)
			}
		}
		w.exists("confirm")
		// What was restored is restored again: the same disk under another id.
		second := w.asks("r4", restore.Request{RunID: theSet, Mode: restore.InPlace})
		if second.verdict.Outcome != restore.Restored || len(second.verdict.Created) != 2 {
			t.Errorf("a second time: %+v %s", second.verdict, second.Cause)
		}
	})
}

// Two sets of one instance, taken in turn, never mix.
func TestRestoreKeepsSetsApart(t *testing.T) {
	inRestore(t, nil, func(w *world) {
		later := w.takes("run-2", nil)
		r := w.asks("r", restore.Request{RunID: theSet, Mode: restore.Volumes})
		if r.verdict.Outcome != restore.Restored || len(r.plan.Disks) != 2 {
			t.Fatalf("got %+v: %s", r.verdict, r.Cause)
		}
		for _, d := range r.plan.Disks {
			if slices.Contains(later, d.Snapshot) {
				t.Errorf("%s is of the other set", d.Snapshot)
			}
		}
		w.keeps("volumes")
		w.cleans("r")
	})
}

// A plan without a touch, and a crash-consistent set may be planned unasked.
func TestRestoreDryRun(t *testing.T) {
	inRestore(t, nil, func(w *world) {
		w.takes("crash", map[string]string{port.TagConsistency: "crash"})
		for _, mode := range []restore.Mode{restore.Volumes, restore.InPlace} {
			r := w.asks("dry-"+string(mode), restore.Request{RunID: "crash", Mode: mode, DryRun: true})
			if r.verdict.Outcome != restore.Planned || len(r.plan.Disks) != 2 || len(r.plan.Warnings) == 0 || r.plan.CostHint == "" {
				t.Errorf("%s: got %+v", mode, r.verdict)
			}
			if stops := mode == restore.InPlace; r.plan.Stops != stops {
				t.Errorf("%s: stops %t", mode, r.plan.Stops)
			}
			for _, d := range r.plan.Disks {
				if d.Device == "" || d.SizeGiB != 1 || r.plan.Zone != "eu-central-1a" {
					t.Errorf("%s: %+v in %s", mode, d, r.plan.Zone)
				}
			}
			w.keeps("dry run")
		}
		if now := w.standing(); len(now) != 2 {
			t.Errorf("created %v", now)
		}
	})
}

// keeper is the account's store of sets under a role.
func (w *world) keeper(role string) port.Keeper {
	return awscloud.New(w.cloud.Client(role), awscloud.Options{})
}
