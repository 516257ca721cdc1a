package local

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/engine"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/history"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/verify"
	"github.com/quiesce/quiesce/workflow"
	"github.com/quiesce/quiesce/workflow/asl"
)

// asked is a test of a set on the machine that it was taken of.
func (k *taken) asked(set string, change func(*policy.RestoreTest)) verify.Request {
	d := policy.DefaultDocument()
	d.Policy = k.stage.policy(Defaults())
	d.RestoreTest = policy.RestoreTest{Instance: k.proves().rented(), TimeLimitMinutes: 5}
	if change != nil {
		change(&d.RestoreTest)
	}
	return verify.Request{RunID: set, Policy: d}
}

// tests wants the verdict of a test, nothing left of it, and the original's own
// disks where they were, their server at work.
func (k *taken) tests(name, set string, want retention.Test) *verify.Verdict {
	k.Helper()
	started := time.Now()
	r, err := k.proves().verifyBy(k.Context(), name, k.asked(set, nil), nil)
	k.must(err)
	v := r.state.Verdict
	if v == nil || v.Result != want {
		k.Fatalf("%s: got %+v by %v (%s), want %s", name, v, r.States, r.Cause, want)
	}
	k.Logf("%s: %s, %s, recovery %.1f s: %s", name, time.Since(started), v.Result, v.RecoverySeconds, v.Reason)
	k.untouched(name)
	return v
}

func (k *taken) untouched(after string) {
	k.Helper()
	disks, err := k.proves().attached(k.Context())
	k.must(err)
	for id, on := range disks {
		original := id == rootVolume || id == systemDisk || slices.ContainsFunc(k.volumes, func(m member) bool { return m.id == id })
		if !original || on != k.proves().rented() {
			k.Errorf("%s: %s is there, attached to %q", after, id, on)
		}
	}
	if changed, err := k.stage.changed(k.Context()); err != nil || changed != "" {
		k.Errorf("%s: the server has changed: %s, %v", after, changed, err)
	}
}

// verdictOn is what a set says of its last test.
func (k *taken) verdictOn(set string) string {
	tags, err := k.proves().tagged(k.Context(), set)
	k.must(err)
	return tags[port.TagTest]
}

// proving are grounds in which sets are tested, as they stand.
type proving interface {
	verifyBy(ctx context.Context, name string, asked verify.Request, tell func(history.Passage)) (*verifying, error)
	rented() string
	attached(ctx context.Context) (map[string]string, error)           // every disk, with the instance that it is on
	tagged(ctx context.Context, set string) (map[string]string, error) // what one of a set's snapshots says
}

func (k *taken) proves() proving { return k.grounds.(proving) }

func (a *account) rented() string { return instanceID }
func (a *alibaba) rented() string { return aliyunInstance }

func (a *account) attached(ctx context.Context) (map[string]string, error) {
	out, err := a.ec2.DescribeVolumes(ctx, &awsec2.DescribeVolumesInput{})
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, v := range out.Volumes {
		all[*v.VolumeId] = ""
		for _, to := range v.Attachments {
			all[*v.VolumeId] += *to.InstanceId
		}
	}
	return all, nil
}

func (a *alibaba) attached(context.Context) (map[string]string, error) {
	all := map[string]string{}
	for id, d := range a.cloud.ECS.Disks() {
		all[id] = d.Instance
	}
	return all, nil
}

func (a *account) tagged(ctx context.Context, set string) (map[string]string, error) {
	out, err := a.ec2.DescribeSnapshots(ctx, &awsec2.DescribeSnapshotsInput{Filters: []types.Filter{{Name: aws.String("tag:" + port.TagRun), Values: []string{set}}}})
	if err != nil || len(out.Snapshots) == 0 {
		return nil, err
	}
	tags := map[string]string{}
	for _, t := range out.Snapshots[0].Tags {
		tags[*t.Key] = *t.Value
	}
	return tags, nil
}

func (a *alibaba) tagged(ctx context.Context, set string) (map[string]string, error) {
	found, err := a.operator.FindSet(ctx, set)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0].Tags, nil
}

// Real servers' sets come to life on the machine on which their originals go on;
// one that was damaged does not, and a check that hangs is ended in time. One after
// the other, because a recovery keeps what is mounted elsewhere on this host, unless
// unmounts reach its namespace, as they do where systemd made the mounts.
func TestRealRestoreTest(t *testing.T) {
	for app, more := range map[string]func(*taken){policy.MariaDB: (*taken).damaged, policy.PostgreSQL: (*taken).hangs} {
		t.Run(app, func(t *testing.T) {
			k := take(t, app)
			k.lives(app)
			more(k)
		})
	}
}

// The same in the other cloud's account, by its own definition.
func TestRealRestoreTestAbroad(t *testing.T) {
	for _, app := range []string{policy.MariaDB, policy.PostgreSQL} {
		t.Run(app, func(t *testing.T) { take(t, app, func(o *Options) { o.Cloud = Aliyun }).lives(app) })
	}
}

// lives wants the set of a real server to come to life on copies.
func (k *taken) lives(app string) {
	k.Helper()
	set := k.state.Run.ID
	v := k.tests("good-"+app, set, retention.Successful)
	if s := v.Recovery.Server; v.RecoverySeconds <= 0 || s == nil || !s.Started || s.Kind != app || len(v.Recovery.Filesystems) != len(k.volumes) {
		k.Errorf("got %+v", v.Recovery)
	}
	if got := k.verdictOn(set); got != "SUCCESSFUL" {
		k.Errorf("the set says %q", got)
	}
}

// damaged takes a set of copies some of whose pages were overwritten.
func (k *taken) damaged() {
	k.Helper()
	copies, err := k.restore(k.Context(), k.state.Run.ID, k.volumes)
	k.must(err)
	at := filepath.Join(k.stage.dir(), "spoiled")
	k.must(os.Mkdir(at, 0o700))
	for _, c := range copies {
		k.must(k.stage.pool.Mount(c.device, at))
		k.spoil(at)
		k.must(k.stage.pool.Unmount(at))
	}
	spec := types.TagSpecification{ResourceType: types.ResourceTypeSnapshot}
	for key, value := range map[string]string{
		port.TagRun: "damaged", port.TagHold: "h", port.TagInstance: instanceID, port.TagMembers: "2", port.TagConsistency: string(run.Application),
	} {
		spec.Tags = append(spec.Tags, types.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
	out, err := k.here().ec2.CreateSnapshots(k.Context(), &awsec2.CreateSnapshotsInput{
		InstanceSpecification: &types.InstanceSpecification{
			InstanceId: aws.String(instanceID), ExcludeBootVolume: aws.Bool(true), ExcludeDataVolumeIds: []string{k.volumes[0].id, k.volumes[1].id},
		},
		TagSpecifications: []types.TagSpecification{spec},
	})
	k.must(err)
	var ids []string
	for i, c := range copies {
		for _, s := range out.Snapshots {
			if *s.VolumeId == c.id { // its filesystem is the original's
				ids = append(ids, *s.SnapshotId)
				k.place(*s.SnapshotId, k.volumes[i].id)
			}
		}
		_, err := k.here().ec2.DetachVolume(k.Context(), &awsec2.DetachVolumeInput{VolumeId: &c.id})
		k.must(err)
		_, err = k.here().ec2.DeleteVolume(k.Context(), &awsec2.DeleteVolumeInput{VolumeId: &c.id})
		k.must(err)
	}
	k.must(k.here().complete(k.Context(), ids))
	v := k.tests("damaged", "damaged", retention.TestFailed)
	if len(v.Recovery.Problems) == 0 || k.verdictOn("damaged") != "FAILED" {
		k.Errorf("got %+v, and the set says %s", v.Recovery, k.verdictOn("damaged"))
	}
}

// place notes on a snapshot where the filesystem was mounted, as on the one that
// the run has taken of the same.
func (k *taken) place(snapshot, of string) {
	out, err := k.here().ec2.DescribeSnapshots(k.Context(), &awsec2.DescribeSnapshotsInput{Filters: []types.Filter{
		{Name: aws.String("tag:" + port.TagRun), Values: []string{k.state.Run.ID}}, {Name: aws.String("volume-id"), Values: []string{of}},
	}})
	k.must(err)
	for _, t := range out.Snapshots[0].Tags {
		if *t.Key == port.TagMounts {
			_, err := k.here().ec2.CreateTags(k.Context(), &awsec2.CreateTagsInput{Resources: []string{snapshot}, Tags: []types.Tag{t}})
			k.must(err)
		}
	}
}

// spoil overwrites parts of the tables on a volume; one without any, such as the
// log's, is left as it is. Pages of InnoDB whose whole life is in the log are made
// anew by recovery: what MyISAM and Aria keep is not.
func (k *taken) spoil(at string) {
	k.Helper()
	k.must(filepath.WalkDir(at, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !slices.Contains([]string{".ibd", ".MAD", ".MAI", ".MYI"}, filepath.Ext(path)) || strings.Contains(path, "/mysql/") {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		size, err := f.Seek(0, io.SeekEnd)
		for i := int64(1); i < 8 && err == nil; i++ {
			_, err = f.WriteAt([]byte(strings.Repeat("spoiled ", 64)), size*i/8)
		}
		return err
	}))
}

// behind is a clock by which a test has begun long ago: its time limit is near.
type behind struct {
	asl.Wall
	by time.Duration
}

func (b behind) Now() time.Time { return time.Now().Add(-b.by) }

// hangs lets the user's own check never end.
func (k *taken) hangs() {
	k.Helper()
	check := filepath.Join(k.stage.dir(), "check")
	k.must(os.WriteFile(check, []byte("#!/bin/sh\nexec sleep 600\n"), 0o700))
	e := engine.New(engine.Config{Clock: behind{by: 5*time.Minute - 25*time.Second}})
	defer e.Close()
	m, err := workflow.VerifyMachine(k.here().cloud.FunctionARN)
	k.must(err)
	e.Deploy(verifierName, []byte(workflow.Verify()), m, k.here().cloud.Tasks(k.here().lambda))
	input, err := json.Marshal(k.asked(k.state.Run.ID, func(r *policy.RestoreTest) { r.Check = check }))
	k.must(err)
	x, err := e.Start(verifierName, "hangs", input)
	k.must(err)
	if x, err = e.Wait(k.Context(), x.ARN); err != nil || x.Error != "FailedClean" || !strings.Contains(x.Cause, "it was not done after") {
		k.Errorf("got %s %s %s, %v", x.Status, x.Error, x.Cause, err)
	}
	k.untouched("hangs")
	if got := k.verdictOn(k.state.Run.ID); got != "TIMED_OUT" {
		k.Errorf("the set says %q", got)
	}
	told := 0
	for _, event := range k.here().cloud.Bus.Events() {
		if event.DetailType == events.TypeTest && strings.Contains(string(event.Detail), `"hangs"`) {
			told++
		}
	}
	if told != 1 {
		k.Errorf("told %d times", told)
	}
}

// here is the account on AWS, where sets are tested.
func (k *taken) here() *account { return k.grounds.(*account) }
