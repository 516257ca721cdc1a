package aws_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/aws/kms"
)

const far = "eu-west-1"

// farther is a client of another Region, by the same account.
func farther(w *world) *awsec2.Client {
	cfg := once(w.Client("test"))
	cfg.Region = far
	return awsec2.NewFromConfig(cfg)
}

// completedSet takes a set and lets it complete.
func completedSet(t *testing.T, w *world, tags ...types.Tag) (ids []string) {
	t.Helper()
	out, err := w.ec2.CreateSnapshots(t.Context(), setOf(target, tags...))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range out.Snapshots {
		ids = append(ids, *s.SnapshotId)
	}
	time.Sleep(time.Minute)
	return ids
}

func copyOf(id string, tags ...types.Tag) *awsec2.CopySnapshotInput {
	in := &awsec2.CopySnapshotInput{SourceRegion: sdk.String("eu-central-1"), SourceSnapshotId: &id}
	if len(tags) > 0 {
		in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeSnapshot, Tags: tags}}
	}
	return in
}

func describe(t *testing.T, c *awsec2.Client, id string) types.Snapshot {
	t.Helper()
	out, err := c.DescribeSnapshots(t.Context(), &awsec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Snapshots[0]
}

func TestCopiesGoToAnotherRegion(t *testing.T) {
	run(t, aws.Config{Regions: []string{far}}, func(t *testing.T, w *world) {
		there := farther(w)
		out, err := w.ec2.CreateSnapshots(t.Context(), setOf(target, tag("a", "b")))
		if err != nil {
			t.Fatal(err)
		}
		id := *out.Snapshots[0].SnapshotId
		_, err = there.CopySnapshot(t.Context(), copyOf(id))
		wantCode(t, err, "IncorrectState")
		time.Sleep(time.Minute)
		made, err := there.CopySnapshot(t.Context(), copyOf(id, tag("c", "d")))
		if err != nil {
			t.Fatal(err)
		}
		s := describe(t, there, *made.SnapshotId)
		if s.State != types.SnapshotStatePending || len(s.Tags) != 1 || *s.Tags[0].Key != "c" || *s.VolumeId != "vol-ffffffff" || *s.Encrypted {
			t.Errorf("got %+v", s)
		}
		time.Sleep(3 * time.Minute)
		if s = describe(t, there, *made.SnapshotId); s.State != types.SnapshotStateCompleted || *s.VolumeSize != 1 {
			t.Errorf("got %+v", s)
		}
		_, err = w.ec2.DescribeSnapshots(t.Context(), &awsec2.DescribeSnapshotsInput{SnapshotIds: []string{*made.SnapshotId}})
		wantCode(t, err, "InvalidSnapshot.NotFound")
		_, err = there.CopySnapshot(t.Context(), copyOf("snap-0fffffffffffffff0"))
		wantCode(t, err, "InvalidSnapshot.NotFound")
		// What the two have in common goes with the last of them.
		if _, err = w.ec2.DeleteSnapshot(t.Context(), &awsec2.DeleteSnapshotInput{SnapshotId: &id}); err != nil {
			t.Fatal(err)
		}
		if _, err = there.CreateVolume(t.Context(), &awsec2.CreateVolumeInput{SnapshotId: made.SnapshotId, AvailabilityZone: sdk.String(far + "a")}); err != nil {
			t.Errorf("of a copy whose source is gone: %v", err)
		}
	})
}

func TestTwentyCopiesAtOnce(t *testing.T) {
	run(t, aws.Config{Regions: []string{far}}, func(t *testing.T, w *world) {
		there, id := farther(w), ""
		id = completedSet(t, w)[0]
		for range 20 {
			if _, err := there.CopySnapshot(t.Context(), copyOf(id)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := there.CopySnapshot(t.Context(), copyOf(id))
		wantCode(t, err, "ResourceLimitExceeded")
		if _, err = w.ec2.CopySnapshot(t.Context(), copyOf(id)); err != nil {
			t.Errorf("into its own Region: %v", err)
		}
		time.Sleep(3 * time.Minute)
		if _, err = there.CopySnapshot(t.Context(), copyOf(id)); err != nil {
			t.Error(err)
		}
	})
}

func TestEncryptionOfCopies(t *testing.T) {
	run(t, aws.Config{Regions: []string{far}}, func(t *testing.T, w *world) {
		own, theirs := w.KMS.AddKey(kms.Key{ID: "1"}), w.KMS.AddKey(kms.Key{ID: "2", Region: far})
		if _, err := w.EC2.AddVolume(t.Context(), ec2.Volume{ID: "vol-0000000000000000e", Instance: target, Device: "/dev/sdz", Key: own, Hollow: true}); err != nil {
			t.Fatal(err)
		}
		there := farther(w)
		ids := completedSet(t, w)
		plain, secret := ids[0], ids[2]
		if s := describe(t, w.ec2, secret); !*s.Encrypted || *s.KmsKeyId != own {
			t.Fatalf("got %+v", s)
		}
		for _, c := range []struct {
			name, of, key string
			encrypted     *bool
			want, code    string
			state         types.SnapshotState
		}{
			{"as it is", plain, "", nil, "", "", types.SnapshotStateCompleted},
			{"encrypted by the usual key", plain, "", sdk.Bool(true), w.KMS.Managed(far), "", types.SnapshotStateCompleted},
			{"encrypted by a key", plain, theirs, sdk.Bool(true), theirs, "", types.SnapshotStateCompleted},
			{"of an encrypted one", secret, "", nil, w.KMS.Managed(far), "", types.SnapshotStateCompleted},
			{"of an encrypted one by a key", secret, theirs, sdk.Bool(true), theirs, "", types.SnapshotStateCompleted},
			{"by a key that is not there", plain, "arn:aws:kms:" + far + ":123456789012:key/9", sdk.Bool(true), "", "", types.SnapshotStateError},
			{"by a key alone", plain, theirs, nil, "", "InvalidParameterDependency", ""},
			{"taken out of it", secret, "", sdk.Bool(false), "", "InvalidParameterValue", ""},
		} {
			in := copyOf(c.of)
			in.Encrypted = c.encrypted
			if c.key != "" {
				in.KmsKeyId = &c.key
			}
			made, err := there.CopySnapshot(t.Context(), in)
			if c.code != "" {
				wantCode(t, err, c.code)
				continue
			}
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			time.Sleep(3 * time.Minute)
			if s := describe(t, there, *made.SnapshotId); s.State != c.state || c.state == types.SnapshotStateCompleted && sdk.ToString(s.KmsKeyId) != c.want {
				t.Errorf("%s: got %s by %s", c.name, s.State, sdk.ToString(s.KmsKeyId))
			}
		}
		kms := awskms.NewFromConfig(w.Client("test"))
		for arn, want := range map[string]string{own: "CUSTOMER", w.KMS.Managed("eu-central-1"): "AWS"} {
			if out, err := kms.DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: &arn}); err != nil || string(out.KeyMetadata.KeyManager) != want {
				t.Errorf("%s: got %+v, %v", arn, out, err)
			}
		}
		_, err := kms.DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: sdk.String(theirs)}) // of another Region
		wantCode(t, err, "NotFoundException")
	})
}

// A copy that its source was not asked for by the account itself fails later.
func TestCopiesAreSignedForTheirSource(t *testing.T) {
	run(t, aws.Config{Regions: []string{far}}, func(t *testing.T, w *world) {
		there, id := farther(w), completedSet(t, w)[0]
		in := copyOf(id)
		in.PresignedUrl = sdk.String("https://ec2.eu-central-1.amazonaws.com/?" + url.Values{"Action": {"CopySnapshot"}}.Encode())
		made, err := there.CopySnapshot(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		if s := describe(t, there, *made.SnapshotId); s.State != types.SnapshotStateError {
			t.Errorf("got %s", s.State)
		}
	})
}

func share(id, who string) *awsec2.ModifySnapshotAttributeInput {
	return &awsec2.ModifySnapshotAttributeInput{
		SnapshotId: &id, Attribute: types.SnapshotAttributeNameCreateVolumePermission, OperationType: types.OperationTypeAdd, UserIds: []string{who},
	}
}

func TestArchivedOnesAreOutOfReach(t *testing.T) {
	run(t, aws.Config{Regions: []string{far}}, func(t *testing.T, w *world) {
		there, ids := farther(w), completedSet(t, w)
		id := ids[0]
		tier := func(id string) (string, string) {
			out, err := w.ec2.DescribeSnapshotTierStatus(t.Context(), &awsec2.DescribeSnapshotTierStatusInput{Filters: []types.Filter{{Name: sdk.String("snapshot-id"), Values: []string{id}}}})
			if err != nil || len(out.SnapshotTierStatuses) != 1 {
				t.Fatalf("got %+v, %v", out, err)
			}
			return string(out.SnapshotTierStatuses[0].StorageTier), string(out.SnapshotTierStatuses[0].LastTieringOperationStatus)
		}
		if _, err := w.ec2.ModifySnapshotAttribute(t.Context(), share(id, "210987654321")); err != nil {
			t.Fatal(err)
		}
		archive := func(id string) error {
			_, err := w.ec2.ModifySnapshotTier(t.Context(), &awsec2.ModifySnapshotTierInput{SnapshotId: &id, StorageTier: types.TargetStorageTierArchive})
			return err
		}
		if err := archive(id); err != nil {
			t.Fatal(err)
		}
		if tier, state := tier(id); tier != "standard" || state != "archival-in-progress" {
			t.Errorf("got %s, %s", tier, state)
		}
		if _, err := there.CopySnapshot(t.Context(), copyOf(id)); err != nil {
			t.Errorf("while it is on its way it can be used: %v", err)
		}
		time.Sleep(2 * time.Hour)
		if tier, state := tier(id); tier != "archive" || state != "archival-completed" {
			t.Errorf("got %s, %s", tier, state)
		}
		if s := describe(t, w.ec2, id); s.StorageTier != types.StorageTierArchive {
			t.Errorf("got %s", s.StorageTier)
		}
		_, err := there.CopySnapshot(t.Context(), copyOf(id))
		wantCode(t, err, "IncorrectState")
		_, err = w.ec2.CreateVolume(t.Context(), &awsec2.CreateVolumeInput{SnapshotId: &id, AvailabilityZone: sdk.String("eu-central-1a")})
		wantCode(t, err, "IncorrectState")
		wantCode(t, archive(id), "IncorrectState")
		_, err = w.ec2.ModifySnapshotAttribute(t.Context(), share(id, "210987654321"))
		wantCode(t, err, "IncorrectState")
		shared, err := w.ec2.DescribeSnapshotAttribute(t.Context(), &awsec2.DescribeSnapshotAttributeInput{SnapshotId: &id, Attribute: types.SnapshotAttributeNameCreateVolumePermission})
		if err != nil || len(shared.CreateVolumePermissions) > 0 {
			t.Errorf("it is still shared: %+v, %v", shared, err)
		}
		w.EC2.AddImage("ami-0123456789abcdef0", ids[1])
		wantCode(t, archive(ids[1]), "InvalidSnapshot.InUse")
	})
}

func TestTheUsualKeyIsNobodyElses(t *testing.T) {
	run(t, aws.Config{}, func(t *testing.T, w *world) {
		for i, key := range []string{w.KMS.Managed("eu-central-1"), w.KMS.AddKey(kms.Key{ID: "1"})} {
			if _, err := w.EC2.AddVolume(t.Context(), ec2.Volume{ID: fmt.Sprintf("vol-0000000000000000%c", 'e'+i), Instance: target, Device: fmt.Sprintf("/dev/sd%c", 'y'+i), Key: key, Hollow: true}); err != nil {
				t.Fatal(err)
			}
		}
		ids := completedSet(t, w)
		_, err := w.ec2.ModifySnapshotAttribute(t.Context(), share(ids[2], "210987654321"))
		wantCode(t, err, "OperationNotPermitted")
		if _, err = w.ec2.ModifySnapshotAttribute(t.Context(), share(ids[3], "210987654321")); err != nil {
			t.Error(err)
		}
		everybody := share(ids[3], "")
		everybody.UserIds, everybody.GroupNames = nil, []string{"all"}
		_, err = w.ec2.ModifySnapshotAttribute(t.Context(), everybody)
		wantCode(t, err, "OperationNotPermitted")
	})
}

func TestFastRestores(t *testing.T) {
	run(t, aws.Config{EC2: ec2.Config{Spacing: -1}}, func(t *testing.T, w *world) {
		zone := "eu-central-1a"
		enable := func(id string) (string, string) {
			out, err := w.ec2.EnableFastSnapshotRestores(t.Context(), &awsec2.EnableFastSnapshotRestoresInput{SourceSnapshotIds: []string{id}, AvailabilityZones: []string{zone}})
			if err != nil {
				t.Fatal(err)
			}
			if len(out.Unsuccessful) > 0 {
				return "", *out.Unsuccessful[0].FastSnapshotRestoreStateErrors[0].Error.Code
			}
			return string(out.Successful[0].State), ""
		}
		states := func() (list []string) {
			out, err := w.ec2.DescribeFastSnapshotRestores(t.Context(), &awsec2.DescribeFastSnapshotRestoresInput{})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range out.FastSnapshotRestores {
				list = append(list, string(f.State))
			}
			return list
		}
		var ids []string
		for range 3 {
			ids = append(ids, completedSet(t, w)...)
		}
		for _, id := range ids[:5] {
			if state, code := enable(id); state != "enabling" {
				t.Fatalf("got %s %s", state, code)
			}
		}
		if _, code := enable(ids[5]); code != "LimitExceeded" {
			t.Errorf("the sixth: got %s", code)
		}
		time.Sleep(61 * time.Second)
		if got := states(); len(got) != 5 || got[0] != "optimizing" {
			t.Errorf("got %v", got)
		}
		time.Sleep(time.Hour)
		if got := states(); got[0] != "enabled" {
			t.Errorf("got %v", got)
		}
		off, err := w.ec2.DisableFastSnapshotRestores(t.Context(), &awsec2.DisableFastSnapshotRestoresInput{SourceSnapshotIds: ids[:1], AvailabilityZones: []string{zone}})
		if err != nil || len(off.Successful) != 1 || off.Successful[0].State != types.FastSnapshotRestoreStateCodeDisabling {
			t.Errorf("got %+v, %v", off, err)
		}
		time.Sleep(2 * time.Minute)
		if got := states(); got[0] != "disabled" {
			t.Errorf("got %v", got)
		}
		if state, code := enable(ids[5]); state != "enabling" {
			t.Errorf("there is room again: got %s %s", state, code)
		}
	})
}

func TestLocks(t *testing.T) {
	run(t, aws.Config{}, func(t *testing.T, w *world) {
		id := completedSet(t, w)[0]
		lock := func(mode types.LockMode, days, coolOff int32) error {
			in := &awsec2.LockSnapshotInput{SnapshotId: &id, LockMode: mode, LockDuration: sdk.Int32(days)}
			if coolOff > 0 {
				in.CoolOffPeriod = sdk.Int32(coolOff)
			}
			_, err := w.ec2.LockSnapshot(t.Context(), in)
			return err
		}
		unlock := func() error {
			_, err := w.ec2.UnlockSnapshot(t.Context(), &awsec2.UnlockSnapshotInput{SnapshotId: &id})
			return err
		}
		state := func() types.LockState {
			out, err := w.ec2.DescribeLockedSnapshots(t.Context(), &awsec2.DescribeLockedSnapshotsInput{SnapshotIds: []string{id}})
			if err != nil || len(out.Snapshots) != 1 {
				t.Fatalf("got %+v, %v", out, err)
			}
			return out.Snapshots[0].LockState
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		wantCode(t, lock(types.LockModeGovernance, 1, 24), "InvalidParameterCombination")
		wantCode(t, lock(types.LockModeCompliance, 1, 73), "InvalidParameterValue")
		wantCode(t, lock(types.LockModeGovernance, 36501, 0), "InvalidParameterValue")
		must(lock(types.LockModeGovernance, 2, 0))
		must(unlock())
		must(lock(types.LockModeCompliance, 10, 24))
		if state() != types.LockStateComplianceCooloff {
			t.Errorf("got %s", state())
		}
		must(lock(types.LockModeCompliance, 5, 24)) // it can still be made shorter
		time.Sleep(25 * time.Hour)
		if state() != types.LockStateCompliance {
			t.Errorf("got %s", state())
		}
		wantCode(t, unlock(), "OperationNotPermitted")
		wantCode(t, lock(types.LockModeCompliance, 1, 0), "OperationNotPermitted")
		wantCode(t, lock(types.LockModeGovernance, 10, 0), "OperationNotPermitted")
		must(lock(types.LockModeCompliance, 7, 0))
		_, err := w.ec2.DeleteSnapshot(t.Context(), &awsec2.DeleteSnapshotInput{SnapshotId: &id})
		wantCode(t, err, "OperationNotPermitted")
		time.Sleep(8 * 24 * time.Hour)
		if state() != types.LockStateExpired {
			t.Errorf("got %s", state())
		}
		_, err = w.ec2.DeleteSnapshot(t.Context(), &awsec2.DeleteSnapshotInput{SnapshotId: &id})
		must(err)
	})
}
