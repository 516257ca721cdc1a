package aws_test

import (
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/kms"
)

// KMS answers a dry run by a code of its own, and looks at who asks before it
// looks at the key.
func TestKeys(t *testing.T) {
	run(t, aws.Config{}, func(t *testing.T, w *world) {
		client := awskms.NewFromConfig(once(w.Client("test")))
		try := func(id string, dry bool) error {
			_, err := client.GenerateDataKeyWithoutPlaintext(t.Context(), &awskms.GenerateDataKeyWithoutPlaintextInput{KeyId: &id, KeySpec: kmstypes.DataKeySpecAes256, DryRun: &dry})
			return err
		}
		own := w.KMS.AddKey(kms.Key{ID: "own"})
		wantCode(t, try(own, true), "DryRunOperationException")
		wantCode(t, try("own", false), "UnsupportedOperationException")
		wantCode(t, try("none", true), "NotFoundException")
		for key, code := range map[*kms.Key]string{
			{ID: "aws", Managed: true}:                                       "AccessDeniedException",
			{ID: "service", Service: true}:                                   "AccessDeniedException",
			{ID: "theirs", Denied: []string{"test"}, State: "Disabled"}:      "AccessDeniedException",
			{ID: "off", State: "Disabled"}:                                   "DisabledException",
			{ID: "going", State: "PendingDeletion", Denied: []string{"you"}}: "KMSInvalidStateException",
		} {
			arn := w.KMS.AddKey(*key)
			wantCode(t, try(arn, true), code)
			out, err := client.DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: &arn})
			if err != nil || (out.KeyMetadata.KeyManager == kmstypes.KeyManagerTypeAws) != key.Managed || out.KeyMetadata.Enabled != (key.State != "Disabled" && key.State != "PendingDeletion") {
				t.Errorf("%s: got %+v, %v", key.ID, out, err)
			}
		}
	})
}

// A volume of an encrypted snapshot is encrypted by the same key, and broken
// where the key may not be used: EC2 has answered by then.
func TestVolumesOfEncryptedSnapshots(t *testing.T) {
	run(t, aws.Config{}, func(t *testing.T, w *world) {
		key := kms.Key{ID: "own"}
		arn := w.KMS.AddKey(key)
		w.EC2.Encrypt("vol-00000000000000001", arn)
		set, err := w.ec2.CreateSnapshots(t.Context(), setOf(target))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		found, err := w.ec2.DescribeSnapshots(t.Context(), &awsec2.DescribeSnapshotsInput{Filters: []types.Filter{{Name: sdk.String("encrypted"), Values: []string{"true"}}}})
		if err != nil || len(found.Snapshots) != 1 || sdk.ToString(found.Snapshots[0].KmsKeyId) != arn || len(set.Snapshots) != 2 {
			t.Fatalf("got %+v of %d, %v", found, len(set.Snapshots), err)
		}
		make := func() types.Volume {
			v, err := w.ec2.CreateVolume(t.Context(), &awsec2.CreateVolumeInput{SnapshotId: found.Snapshots[0].SnapshotId, AvailabilityZone: sdk.String("eu-central-1a")})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			out, err := w.ec2.DescribeVolumes(t.Context(), &awsec2.DescribeVolumesInput{VolumeIds: []string{*v.VolumeId}})
			if err != nil {
				t.Fatal(err)
			}
			return out.Volumes[0]
		}
		if v := make(); v.State != types.VolumeStateAvailable || !*v.Encrypted || sdk.ToString(v.KmsKeyId) != arn {
			t.Errorf("got %+v", v)
		}
		key.Denied = []string{"test"}
		w.KMS.AddKey(key)
		broken := make()
		if broken.State != types.VolumeStateError {
			t.Errorf("got %+v", broken)
		}
		if _, err := w.ec2.DeleteVolume(t.Context(), &awsec2.DeleteVolumeInput{VolumeId: broken.VolumeId}); err != nil {
			t.Errorf("it cannot be deleted: %v", err)
		}
	})
}
