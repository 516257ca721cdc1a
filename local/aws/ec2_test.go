package aws_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/fault"
)

func setOf(instance string, tags ...types.Tag) *awsec2.CreateSnapshotsInput {
	in := &awsec2.CreateSnapshotsInput{InstanceSpecification: &types.InstanceSpecification{
		InstanceId: sdk.String(instance), ExcludeBootVolume: sdk.Bool(true),
	}}
	if len(tags) > 0 {
		in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeSnapshot, Tags: tags}}
	}
	return in
}

func tag(k, v string) types.Tag { return types.Tag{Key: sdk.String(k), Value: sdk.String(v)} }

func byTag(k, v string) *awsec2.DescribeSnapshotsInput {
	return &awsec2.DescribeSnapshotsInput{Filters: []types.Filter{{Name: sdk.String("tag:" + k), Values: []string{v}}}}
}

func TestInstanceAndVolumes(t *testing.T) {
	run(t, aws.Config{}, func(t *testing.T, w *world) {
		out, err := w.ec2.DescribeInstances(t.Context(), &awsec2.DescribeInstancesInput{InstanceIds: []string{target}})
		if err != nil {
			t.Fatal(err)
		}
		i := out.Reservations[0].Instances[0]
		if i.State.Name != types.InstanceStateNameRunning || i.Architecture != types.ArchitectureValuesArm64 || *i.RootDeviceName != "/dev/xvda" {
			t.Errorf("got %v %v %v", i.State.Name, i.Architecture, *i.RootDeviceName)
		}
		if len(i.BlockDeviceMappings) != 3 || len(i.Tags) != 1 {
			t.Errorf("got %d devices and %d tags, want 3 and 1", len(i.BlockDeviceMappings), len(i.Tags))
		}
		volumes, err := w.ec2.DescribeVolumes(t.Context(), &awsec2.DescribeVolumesInput{Filters: []types.Filter{
			{Name: sdk.String("attachment.instance-id"), Values: []string{target}},
			{Name: sdk.String("tag:disk"), Values: []string{"a", "b"}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if len(volumes.Volumes) != 1 || volumes.Volumes[0].VolumeType != types.VolumeTypeGp3 || *volumes.Volumes[0].Size != 1 {
			t.Errorf("got %+v", volumes.Volumes)
		}
		_, err = w.ec2.DescribeInstances(t.Context(), &awsec2.DescribeInstancesInput{InstanceIds: []string{"i-0fffffffffffffff0"}})
		wantCode(t, err, "InvalidInstanceID.NotFound")
		_, err = w.ec2.DescribeInstances(t.Context(), &awsec2.DescribeInstancesInput{InstanceIds: []string{"web-1"}})
		wantCode(t, err, "InvalidInstanceID.Malformed")
	})
}

func TestSetIsOnePointInTimeAndCompletesTogether(t *testing.T) {
	run(t, aws.Config{}, func(t *testing.T, w *world) {
		asked := time.Now()
		out, err := w.ec2.CreateSnapshots(t.Context(), setOf(target, tag("quiesce:run", "r1")))
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Snapshots) != 2 || out.Snapshots[0].State != types.SnapshotStatePending {
			t.Fatalf("got %+v", out.Snapshots)
		}
		if got := w.disks.at; len(got) != 1 || !got[0].Equal(asked) {
			t.Errorf("the point in time is %v, want the request's arrival %v, once", got, asked)
		}
		if took := time.Since(asked); took != aws.Latencies["CreateSnapshots"] {
			t.Errorf("answered after %v, want %v", took, aws.Latencies["CreateSnapshots"])
		}
		found, err := w.ec2.DescribeSnapshots(t.Context(), byTag("quiesce:run", "r1"))
		if err != nil || len(found.Snapshots) != 0 {
			t.Fatalf("found %d at once (%v), want none yet", len(found.Snapshots), err)
		}
		time.Sleep(time.Second)
		if found, err = w.ec2.DescribeSnapshots(t.Context(), byTag("quiesce:run", "r1")); err != nil || len(found.Snapshots) != 2 {
			t.Fatalf("found %d (%v), want 2", len(found.Snapshots), err)
		}
		if s := found.Snapshots[0]; s.State != types.SnapshotStatePending || *s.Progress == "100%" || *s.Progress == "0%" {
			t.Errorf("got %s %s", s.State, *s.Progress)
		}
		time.Sleep(10 * time.Second)
		if found, err = w.ec2.DescribeSnapshots(t.Context(), byTag("quiesce:run", "r1")); err != nil || found.Snapshots[1].State != types.SnapshotStateCompleted {
			t.Fatalf("got %v (%v), want completed", found.Snapshots[1].State, err)
		}
		events := w.Bus.Events()
		if len(events) != 1 || events[0].DetailType != "EBS Multi-Volume Snapshots Completion Status" || !strings.Contains(string(events[0].Detail), `"succeeded"`) {
			t.Errorf("got %+v", events)
		}
	})
}

func TestSetRefusals(t *testing.T) {
	run(t, aws.Config{EC2: ec2.Config{Completion: time.Hour, Spacing: 15 * time.Second}}, func(t *testing.T, w *world) {
		create := func(change func(*awsec2.CreateSnapshotsInput)) error {
			in := setOf(target)
			change(in)
			_, err := w.ec2.CreateSnapshots(t.Context(), in)
			return err
		}
		wantCode(t, create(func(in *awsec2.CreateSnapshotsInput) { in.DryRun = sdk.Bool(true) }), "DryRunOperation")
		wantCode(t, create(func(in *awsec2.CreateSnapshotsInput) {
			in.InstanceSpecification.ExcludeDataVolumeIds = []string{"vol-00000000000000000"}
		}), "InvalidParameterValue")
		wantCode(t, create(func(in *awsec2.CreateSnapshotsInput) {
			in.InstanceSpecification.ExcludeDataVolumeIds = make([]string, 41)
		}), "InvalidParameterValue")
		wantCode(t, create(func(in *awsec2.CreateSnapshotsInput) {
			in.InstanceSpecification.InstanceId = sdk.String("i-0fffffffffffffff0")
		}), "InvalidInstanceID.NotFound")
		for i := range 5 {
			if err := create(func(*awsec2.CreateSnapshotsInput) {}); err != nil {
				t.Fatalf("set %d: %v", i, err)
			}
			wantCode(t, create(func(*awsec2.CreateSnapshotsInput) {}), map[bool]string{
				true: "SnapshotCreationPerVolumeRateExceeded", false: "ConcurrentSnapshotLimitExceeded",
			}[i < 4])
			time.Sleep(16 * time.Second)
		}
		w.EC2.SetState(target, "terminated")
		wantCode(t, create(func(*awsec2.CreateSnapshotsInput) {}), "IncorrectInstanceState")
	})
}

func TestStorageErrorLeavesNothing(t *testing.T) {
	run(t, aws.Config{EC2: ec2.Config{Visible: -1}}, func(t *testing.T, w *world) {
		w.disks.fail = errors.New("disk full")
		_, err := w.ec2.CreateSnapshots(t.Context(), setOf(target, tag("quiesce:run", "r1")))
		wantCode(t, err, "InternalError")
		found, err := w.ec2.DescribeSnapshots(t.Context(), byTag("quiesce:run", "r1"))
		if err != nil || len(found.Snapshots) != 0 {
			t.Errorf("got %d snapshots (%v), want none", len(found.Snapshots), err)
		}
	})
}

func TestPlannedFaultsOfTheSet(t *testing.T) {
	plan := func(t *testing.T, texts ...string) *fault.Plan {
		p, err := fault.New(texts...)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	t.Run("lost reply", func(t *testing.T) {
		run(t, aws.Config{Faults: plan(t, "snapshot:lost-reply")}, func(t *testing.T, w *world) {
			ctx := fault.WithStep(t.Context(), "snapshot")
			if _, err := w.ec2.CreateSnapshots(ctx, setOf(target, tag("quiesce:run", "r1"))); err == nil {
				t.Fatal("the reply was to be lost")
			}
			time.Sleep(2 * time.Second)
			found, err := w.ec2.DescribeSnapshots(t.Context(), byTag("quiesce:run", "r1"))
			if err != nil || len(found.Snapshots) != 2 {
				t.Errorf("found %d (%v), want the set of 2 all the same", len(found.Snapshots), err)
			}
		})
	})
	t.Run("throttle and deny", func(t *testing.T) {
		run(t, aws.Config{Faults: plan(t, "CreateSnapshots:throttle", "snapshot:deny@2")}, func(t *testing.T, w *world) {
			ctx := fault.WithStep(t.Context(), "snapshot")
			_, err := w.ec2.CreateSnapshots(ctx, setOf(target))
			wantCode(t, err, "RequestLimitExceeded")
			_, err = w.ec2.CreateSnapshots(ctx, setOf(target))
			wantCode(t, err, "UnauthorizedOperation")
			if len(w.disks.sets()) != 0 {
				t.Error("a refused call made snapshots")
			}
		})
	})
	t.Run("error", func(t *testing.T) {
		p := plan(t, "snapshot:error")
		run(t, aws.Config{Faults: p}, func(t *testing.T, w *world) {
			ctx := fault.WithStep(t.Context(), "snapshot")
			out, err := w.ec2.CreateSnapshots(ctx, setOf(target))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			for _, s := range out.Snapshots {
				found, err := w.ec2.DescribeSnapshots(t.Context(), &awsec2.DescribeSnapshotsInput{SnapshotIds: []string{*s.SnapshotId}})
				if err != nil || found.Snapshots[0].State != types.SnapshotStateError {
					t.Errorf("got %v (%v), want error", found.Snapshots[0].State, err)
				}
			}
			if e := w.Bus.Events(); len(e) != 1 || !strings.Contains(string(e[0].Detail), `"failed"`) {
				t.Errorf("got %+v", e)
			}
			if left := p.Unreached(); len(left) != 0 {
				t.Errorf("unreached: %v", left)
			}
		})
	})
}

func TestTagsAndPages(t *testing.T) {
	run(t, aws.Config{EC2: ec2.Config{Visible: -1, Spacing: -1, Completion: time.Second}}, func(t *testing.T, w *world) {
		var ids []string
		for range 4 {
			out, err := w.ec2.CreateSnapshots(t.Context(), setOf(target))
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range out.Snapshots {
				ids = append(ids, *s.SnapshotId)
			}
			time.Sleep(time.Second)
		}
		if _, err := w.ec2.CreateTags(t.Context(), &awsec2.CreateTagsInput{Resources: ids, Tags: []types.Tag{tag("set", "x/y")}}); err != nil {
			t.Fatal(err)
		}
		in := byTag("set", "x*")
		in.MaxResults = sdk.Int32(5)
		pages := awsec2.NewDescribeSnapshotsPaginator(w.ec2, in)
		var sizes []int
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, len(page.Snapshots))
		}
		if len(sizes) != 2 || sizes[0] != 5 || sizes[1] != 3 {
			t.Errorf("got pages of %v, want 5 and 3", sizes)
		}
		if _, err := w.ec2.DeleteTags(t.Context(), &awsec2.DeleteTagsInput{Resources: ids[:1], Tags: []types.Tag{{Key: sdk.String("set")}}}); err != nil {
			t.Fatal(err)
		}
		if got := w.EC2.Tags(ids[0]); len(got) != 0 {
			t.Errorf("got %v, want no tags", got)
		}
		_, err := w.ec2.CreateTags(t.Context(), &awsec2.CreateTagsInput{Resources: []string{"snap-0"}, Tags: []types.Tag{tag("a", "b")}})
		wantCode(t, err, "InvalidSnapshot.NotFound")
	})
}

func TestRestore(t *testing.T) {
	run(t, aws.Config{EC2: ec2.Config{Visible: -1}}, func(t *testing.T, w *world) {
		out, err := w.ec2.CreateSnapshot(t.Context(), &awsec2.CreateSnapshotInput{VolumeId: sdk.String("vol-00000000000000001")})
		if err != nil {
			t.Fatal(err)
		}
		create := &awsec2.CreateVolumeInput{SnapshotId: out.SnapshotId, AvailabilityZone: sdk.String("eu-central-1a")}
		_, err = w.ec2.CreateVolume(t.Context(), create)
		wantCode(t, err, "IncorrectState")
		if err := awsec2.NewSnapshotCompletedWaiter(w.ec2).Wait(t.Context(), &awsec2.DescribeSnapshotsInput{SnapshotIds: []string{*out.SnapshotId}}, time.Hour); err != nil {
			t.Fatal(err)
		}
		v, err := w.ec2.CreateVolume(t.Context(), create)
		if err != nil {
			t.Fatal(err)
		}
		attach := &awsec2.AttachVolumeInput{VolumeId: v.VolumeId, InstanceId: sdk.String(target), Device: sdk.String("/dev/sdz")}
		_, err = w.ec2.AttachVolume(t.Context(), attach)
		wantCode(t, err, "IncorrectState")
		if err := awsec2.NewVolumeAvailableWaiter(w.ec2).Wait(t.Context(), &awsec2.DescribeVolumesInput{VolumeIds: []string{*v.VolumeId}}, time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, err := w.ec2.AttachVolume(t.Context(), attach); err != nil {
			t.Fatal(err)
		}
		if got, want := w.EC2.Path(*v.VolumeId), "/dev/"+*v.VolumeId; got != want {
			t.Errorf("attached at %q, want %q", got, want)
		}
		_, err = w.ec2.DeleteVolume(t.Context(), &awsec2.DeleteVolumeInput{VolumeId: v.VolumeId})
		wantCode(t, err, "VolumeInUse")
		if _, err := w.ec2.DetachVolume(t.Context(), &awsec2.DetachVolumeInput{VolumeId: v.VolumeId}); err != nil {
			t.Fatal(err)
		}
		_, err = w.ec2.DetachVolume(t.Context(), &awsec2.DetachVolumeInput{VolumeId: v.VolumeId})
		wantCode(t, err, "IncorrectState") // it is on its way
		if err := awsec2.NewVolumeAvailableWaiter(w.ec2).Wait(t.Context(), &awsec2.DescribeVolumesInput{VolumeIds: []string{*v.VolumeId}}, time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, err := w.ec2.DeleteVolume(t.Context(), &awsec2.DeleteVolumeInput{VolumeId: v.VolumeId}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.ec2.DeleteSnapshot(t.Context(), &awsec2.DeleteSnapshotInput{SnapshotId: out.SnapshotId}); err != nil {
			t.Fatal(err)
		}
		_, err = w.ec2.DeleteSnapshot(t.Context(), &awsec2.DeleteSnapshotInput{SnapshotId: out.SnapshotId})
		wantCode(t, err, "InvalidSnapshot.NotFound")
		synctest.Wait()
		if left := w.disks.sets(); len(left) != 0 {
			t.Errorf("storage keeps %v", left)
		}
	})
}
