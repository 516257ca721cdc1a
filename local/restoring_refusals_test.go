package local

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/aws/kms"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/restore"
)

// looks are the calls that change nothing; a dry run is answered by a code.
var looks = []string{"DescribeInstances", "DescribeVolumes", "DescribeSnapshots", "DescribeImages", "ListExecutions", "DescribeExecution", "DescribeKey", "DescribeInstanceTypes", "DescribeSubnets",
	"DescribeSecurityGroups", "DescribeInstanceInformation", "PutEvents"}

// untouched wants nothing but looks and dry runs among the calls of a restore.
func (w *world) untouched(name string, since int) {
	w.Helper()
	for _, c := range w.cloud.Calls()[since:] {
		if strings.HasPrefix(c.Step, "restore-") && c.Code == "" && !slices.Contains(looks, c.Action) {
			w.Errorf("%s: %s called %s", name, c.Step, c.Action)
		}
	}
}

// unbegun is a restore that is not begun: what was done before somebody asked
// for it, and what the answer names.
type unbegun struct {
	name   string
	faults []string
	before func(w *world)
	asked  restore.Request
	code   string
	field  string
	says   string
}

// A set that is not done, and one that has failed, are refused.
func TestRestoreRefusesWhatIsNotDone(t *testing.T) {
	inWorld(t, setting{completion: time.Minute}, func(w *world) {
		w.takes(theSet, nil)
		asked := restore.Request{RunID: theSet, Mode: restore.Volumes}
		if r := w.asks("early", asked); r.verdict.Code != "SetNotRestorable" || !strings.Contains(r.verdict.Reason, "pending") {
			t.Errorf("a pending set: %+v", r.verdict)
		}
		w.cloud.EC2.FailSnapshots(w.volumes[0].id)
		time.Sleep(time.Minute)
		if r := w.asks("late", asked); r.verdict.Code != "SetNotRestorable" || !strings.Contains(r.verdict.Reason, "error") {
			t.Errorf("a failed set: %+v", r.verdict)
		}
		if now := w.standing(); len(now) != 2 {
			t.Errorf("created %v", now)
		}
	})
}

// changes puts another instance in the place of the world's.
func changes(change func(i *ec2.Instance)) func(w *world) {
	return func(w *world) {
		i := ec2.Instance{ID: instanceID, RootDevice: rootDevice, Tags: w.cloud.EC2.Tags(instanceID)}
		change(&i)
		w.cloud.EC2.AddInstance(i)
	}
}

// set makes a further set with other tags.
func set(id string, others map[string]string) func(w *world) {
	return func(w *world) { w.takes(id, others) }
}

// encrypted makes a set whose disks are encrypted with a key.
func encrypted(key kms.Key) func(w *world) {
	return func(w *world) {
		key.ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
		w.cloud.EC2.Encrypt(w.volumes[0].id, w.cloud.KMS.AddKey(key))
		w.takes("encrypted", nil)
	}
}

// goesOn starts a run of the workflow that is still going on.
func goesOn(name, input string) func(w *world) {
	return func(w *world) {
		w.start(name, strings.ReplaceAll(input, "INSTANCE", instanceID))
		time.Sleep(time.Second)
	}
}

func unbegins() []unbegun {
	volumes := restore.Request{RunID: theSet, Mode: restore.Volumes}
	place := restore.Request{RunID: theSet, Mode: restore.InPlace}
	with := func(r restore.Request, change func(*restore.Request)) restore.Request { change(&r); return r }
	of := func(r restore.Request, runID string) restore.Request { r.RunID = runID; return r }
	on := func(r restore.Request, id string) restore.Request { r.InstanceID = id; return r }
	const foreign = "i-0123456789abcdef9"
	alive := func(q restore.Recover) restore.Request {
		return with(volumes, func(r *restore.Request) { r.Recover = &q })
	}
	return []unbegun{
		{"no id", nil, nil, of(volumes, ""), "InvalidInput", "request.runId", ""},
		{"no mode", nil, nil, with(volumes, func(r *restore.Request) { r.Mode = "" }), "InvalidInput", "request.mode", ""},
		{"an unknown set", nil, nil, of(volumes, "nobody"), "SetNotRestorable", "request.runId", "no snapshot"},
		{"a mixed set", nil, func(w *world) {
			_, err := w.ec2.CreateTags(w.Context(), &awsec2.CreateTagsInput{Resources: w.takes("mixed", nil)[:1], Tags: []types.Tag{{Key: aws.String(port.TagHold), Value: aws.String("another")}}})
			w.must(err)
		}, of(volumes, "mixed"), "SetNotRestorable", "request.runId", "mixed"},
		{"two sets under one id", nil, func(w *world) { w.takes(theSet, nil) }, volumes, "SetNotRestorable", "request.runId", "mixed"},
		{"an incomplete set", nil, func(w *world) {
			_, err := w.ec2.DeleteSnapshot(w.Context(), &awsec2.DeleteSnapshotInput{SnapshotId: &w.takes("gone", nil)[0]})
			w.must(err)
		}, of(volumes, "gone"), "SetNotRestorable", "request.runId", "1 of 2"},
		{"a set that nobody judged", nil, set("unjudged", map[string]string{port.TagConsistency: ""}), of(volumes, "unjudged"), "SetNotRestorable", "request.runId", "judged"},
		{"a set of a failed run", nil, set("failed", map[string]string{port.TagConsistency: "none"}), of(volumes, "failed"), "SetNotRestorable", "request.runId", "failed"},
		{"a set that is being deleted", nil, set("doomed", map[string]string{port.TagDeleting: "2026-11-28T03:00:00Z"}), of(volumes, "doomed"), "SetNotRestorable", "request.runId", "its deletion has begun"},
		{"a set of which one is being deleted", nil, func(w *world) {
			ids := w.takes("half", nil)
			_, err := w.ec2.CreateTags(w.Context(), &awsec2.CreateTagsInput{Resources: ids[1:], Tags: []types.Tag{{Key: aws.String(port.TagDeleting), Value: aws.String("now")}}})
			w.must(err)
		}, of(volumes, "half"), "SetNotRestorable", "request.runId", "its deletion has begun"},
		{"crash-consistent, without a yes", nil, set("crash", map[string]string{port.TagConsistency: "crash", port.TagReason: "the hold was lost"}), of(volumes, "crash"), "InvalidInput", "request.acceptCrashConsistent", "the hold was lost"},
		{"another zone", nil, nil, with(volumes, func(r *restore.Request) { r.Zone = "eu-central-1b" }), "InvalidInput", "request.zone", "eu-central-1a"},
		{"no opt-in", nil, changes(func(i *ec2.Instance) { delete(i.Tags, port.TagOptIn) }), volumes, "InstanceNotOptedIn", "request.instanceId", port.TagOptIn},
		{"no opt-in, in place", nil, changes(func(i *ec2.Instance) { i.Tags[port.TagOptIn] = "no" }), place, "InstanceNotOptedIn", "request.instanceId", port.TagOptIn},
		{"an instance that starts", nil, changes(func(i *ec2.Instance) { i.State = "pending" }), volumes, "InvalidInput", "request.instanceId", "neither"},
		{"an instance of another account", nil, nil, on(volumes, foreign), "InstanceNotFound", "request.instanceId", "does not exist"},
		{"in place on another instance", nil, nil, on(place, foreign), "InvalidInput", "request.instanceId", "goes nowhere else"},
		{"a set of an instance that is gone", nil, set("moved", map[string]string{port.TagInstance: "i-0123456789abcdef7"}), of(place, "moved"), "InstanceNotFound", "request.instanceId", ""},
		{"a group's instance, in place", nil, changes(func(i *ec2.Instance) { i.Tags["aws:autoscaling:groupName"] = "web" }), place, "InvalidInput", "request.mode", "web"},
		{"a root on the instance store, in place", nil, changes(func(i *ec2.Instance) { i.RootKind = "instance-store" }), place, "InvalidInput", "request.mode", "lost"},
		{"a disk that is not attached, in place", nil, func(w *world) {
			_, err := w.ec2.StopInstances(w.Context(), &awsec2.StopInstancesInput{InstanceIds: []string{instanceID}})
			w.must(err)
			time.Sleep(time.Minute)
			_, err = w.ec2.DetachVolume(w.Context(), &awsec2.DetachVolumeInput{VolumeId: &w.volumes[0].id})
			w.must(err)
			time.Sleep(time.Minute)
		}, place, "InvalidInput", "request.runId", "is not attached"},
		{"a device that is taken", nil, nil, with(volumes, func(r *restore.Request) { r.Devices = map[string]string{"vol-000000000da7a0000": rootDevice} }), "InvalidInput", "request.devices.vol-000000000da7a0000", "is taken by"},
		{"one device twice", nil, nil, with(volumes, func(r *restore.Request) {
			r.Devices = map[string]string{"vol-000000000da7a0000": "/dev/sdk", "vol-000000000da7a0001": "/dev/xvdk"}
		}), "InvalidInput", "request.devices.", "is taken by"},
		{"a device that is none", nil, nil, with(volumes, func(r *restore.Request) { r.Devices = map[string]string{"vol-000000000da7a0000": "sdf; reboot"} }), "InvalidInput", "request.devices.vol-000000000da7a0000", "wants a device"},
		{"a device for no disk of the set", nil, nil, with(volumes, func(r *restore.Request) { r.Devices = map[string]string{"vol-1": "/dev/sdz"} }), "InvalidInput", "request.devices.vol-1", "no snapshot"},
		{"devices in place", nil, nil, with(place, func(r *restore.Request) { r.Devices = map[string]string{"vol-1": "/dev/sdz"} }), "InvalidInput", "request.devices", ""},
		{"copies that come to life in place", nil, nil, with(place, func(r *restore.Request) { r.Recover = &restore.Recover{} }), "InvalidInput", "request.recover", "the mode volumes"},
		{"as an image", nil, nil, with(place, func(r *restore.Request) { r.Mode, r.Recover = restore.AsImage, &restore.Recover{} }), "InvalidInput", "request.recover", "the mode volumes"},
		{"on the way back", nil, nil, restore.Request{Action: restore.Rollback, RunID: "r", Recover: &restore.Recover{}}, "InvalidInput", "request.action", ""},
		{"unmounted, of a restore", nil, nil, with(volumes, func(r *restore.Request) { r.Unmounted = true }), "InvalidInput", "request.unmounted", ""},
		{"below no absolute path", nil, nil, alive(restore.Recover{At: "mnt"}), "InvalidInput", "request.recover.at", "absolute"},
		{"below a path that goes up", nil, nil, alive(restore.Recover{At: "/mnt/../etc"}), "InvalidInput", "request.recover.at", "clean"},
		{"below the system's own", nil, nil, alive(restore.Recover{At: "/usr/local/mnt"}), "InvalidInput", "request.recover.at", "/usr"},
		{"over the root", nil, nil, alive(restore.Recover{At: "/"}), "InvalidInput", "request.recover.at", "root"},
		{"a place that is no path", nil, nil, alive(restore.Recover{Mounts: map[string]string{"/srv": "x"}}), "InvalidInput", "request.recover.mounts[/srv]", "absolute"},
		{"one place twice", nil, nil, alive(restore.Recover{Mounts: map[string]string{"/a": "/x", "/b": "/x"}}), "InvalidInput", "request.recover.mounts[/b]", "twice"},
		{"a place for what the set does not have", nil, func(w *world) { w.located() }, alive(restore.Recover{Mounts: map[string]string{"/srv/other": "/x"}}), "InvalidInput", "request.recover.mounts[/srv/other]", "neither"},
		{"two at one place", nil, func(w *world) { w.located() }, alive(restore.Recover{At: "/mnt/r", Mounts: map[string]string{"/mnt/volume-a": "/mnt/r/mnt/volume-b"}}), "InvalidInput", "request.recover.mounts", "would both"},
		{"a server of a kind that is none", nil, nil, alive(restore.Recover{Application: "oracle"}), "InvalidInput", "request.recover.application", "postgresql"},
		{"a check that is no path", nil, nil, alive(restore.Recover{Check: "check; reboot"}), "InvalidInput", "request.recover.check", "absolute"},
		{"more time than there is", nil, nil, alive(restore.Recover{TimeoutMinutes: 241}), "InvalidInput", "request.recover.timeoutMinutes", "240"},
		{"more than a flow holds", nil, nil, alive(restore.Recover{Mounts: map[string]string{"/" + strings.Repeat("a", 3000): "/x"}}), "InvalidInput", "request.recover", "bytes"},
		{"life on an instance that is stopped", nil, func(w *world) {
			_, err := w.ec2.StopInstances(w.Context(), &awsec2.StopInstancesInput{InstanceIds: []string{instanceID}})
			w.must(err)
			time.Sleep(time.Minute)
		}, alive(restore.Recover{}), "InstanceNotRunning", "request.recover", "does not run"},
		{"a rollback of nothing", nil, nil, restore.Request{Action: restore.Rollback, RunID: "nobody"}, "InvalidInput", "request.runId", "nothing can go back"},
		{"a cleanup of nothing", nil, nil, restore.Request{Action: restore.Cleanup, RunID: "nobody"}, "InvalidInput", "request.runId", "made none"},

		{"a key that is not the role's", nil, encrypted(kms.Key{Denied: []string{"restore-plan"}}), of(place, "encrypted"), "AccessDenied", "request.runId", "acceptUncheckedKeys"},
		{"a key that is disabled", nil, encrypted(kms.Key{State: "Disabled"}), of(place, "encrypted"), "SetNotRestorable", "request.runId", "is Disabled"},
		{"a key that is being deleted", nil, encrypted(kms.Key{State: "PendingDeletion"}), of(volumes, "encrypted"), "SetNotRestorable", "request.runId", "is PendingDeletion"},
		{"a key that is not there", nil, func(w *world) {
			w.cloud.EC2.Encrypt(w.volumes[1].id, "arn:aws:kms:eu-central-1:123456789012:key/gone")
			w.takes("encrypted", nil)
		}, of(volumes, "encrypted"), "SetNotRestorable", "request.runId", "does not exist"},

		{"a run on the instance", []string{"precheck:hang"}, goesOn("by-hand", `{"instanceId":"INSTANCE"}`), place, "RunInProgress", "request.instanceId", "by-hand"},
		{"a run of a fleet on it", []string{"precheck:hang"}, goesOn("nightly-INSTANCE-20261128T030000Z", `{"instanceId":"INSTANCE"}`), volumes, "RunInProgress", "request.instanceId", "nightly-"},
		{"a group that it is of", []string{"precheck:hang"}, goesOn("group", `{"members":[{"instanceId":"i-0123456789abcdef1"},{"instanceId":"INSTANCE"}]}`), volumes, "RunInProgress", "request.instanceId", "group"},
	}
}

// Whatever cannot be carried out is refused by the field that is wrong, before
// anything is created or stopped.
func TestRestoreRefuses(t *testing.T) {
	for _, c := range unbegins() {
		t.Run(c.name, func(t *testing.T) {
			inRestore(t, c.faults, func(w *world) {
				if c.before != nil {
					c.before(w)
				}
				since, before, state := len(w.cloud.Calls()), w.standing(), w.cloud.EC2.State(instanceID)
				r := w.asks("r", c.asked)
				v := r.verdict
				if v == nil || v.Code != c.code || v.Outcome != restore.FailedClean || !strings.Contains(v.Reason, c.field) || !strings.Contains(v.Reason, c.says) {
					t.Errorf("got %+v, want %s of %s because of %q", v, c.code, c.field, c.says)
				}
				if got := strings.Join(r.States, " "); got != "Open Plan Report Outcome FailedClean" {
					t.Errorf("got the path %s", got)
				}
				w.untouched(c.name, since)
				if now := w.standing(); len(now) != len(before) || w.cloud.EC2.State(instanceID) != state {
					t.Errorf("there were %v and it was %s, now %v and it is %s", before, state, now, w.cloud.EC2.State(instanceID))
				}
			})
		})
	}
}
