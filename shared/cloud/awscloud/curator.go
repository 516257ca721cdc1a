package awscloud

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

var _ cloud.Region = (*Provider)(nil)

// In is the same account in another Region; an empty name is the own one. What
// a deployment made, its bus and buckets, is not there.
func (p *Provider) In(region string) *Provider {
	if region == "" || region == p.region {
		return p
	}
	return &Provider{
		region: region,
		ec2:    ec2.New(p.ec2.Options(), func(o *ec2.Options) { o.Region = region }),
		keys:   kms.New(p.keys.Options(), func(o *kms.Options) { o.Region = region }),
	}
}

// Region is the configuration's.
func (p *Provider) Region() string { return p.region }

// Copy makes one attempt: CopySnapshot takes no client token, so that a retry
// after a lost reply would make a second copy. The SDK signs the address by
// which the source is asked.
func (p *Provider) Copy(ctx context.Context, spec cloud.CopySpec) (string, error) {
	in := &ec2.CopySnapshotInput{
		SourceRegion: aws.String(spec.From), SourceSnapshotId: aws.String(spec.ID),
		Description:       aws.String(clip(spec.Description, maxDescription)),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSnapshot, Tags: tagList(spec.Tags)}},
	}
	if spec.Encrypt || spec.Key != "" {
		in.Encrypted = aws.Bool(true)
	}
	if spec.Key != "" {
		in.KmsKeyId = aws.String(spec.Key)
	}
	var sent bool
	out, err := p.ec2.CopySnapshot(ctx, in, func(o *ec2.Options) {
		o.Retryer = aws.NopRetryer{}
		o.APIOptions = append(slices.Clip(o.APIOptions), noteSending(&sent))
	})
	if err != nil {
		return "", refusedSet(err, sent, "copy %s to %s", spec.ID, p.region)
	}
	return aws.ToString(out.SnapshotId), nil
}

// Giveable asks KMS: a snapshot does not tell whose key it is. A key that is not
// there gives nothing away.
func (p *Provider) Giveable(ctx context.Context, key string) (bool, error) {
	if key == "" {
		return true, nil
	}
	out, err := p.keys.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String(key)})
	switch {
	case hasCode(err, "NotFoundException"):
		return false, nil
	case err != nil:
		return false, translate(err, "look whose key %s is", key)
	}
	return out.KeyMetadata.KeyManager == kmstypes.KeyManagerTypeCustomer, nil
}

// Share adds to whom the snapshot is shared with.
func (p *Provider) Share(ctx context.Context, id string, accounts []string) error {
	return p.permit(ctx, types.OperationTypeAdd, id, accounts)
}

// Unshare takes from them; one that has no right is no error for EC2.
func (p *Provider) Unshare(ctx context.Context, id string, accounts []string) error {
	return p.permit(ctx, types.OperationTypeRemove, id, accounts)
}

func (p *Provider) permit(ctx context.Context, how types.OperationType, id string, accounts []string) error {
	_, err := p.ec2.ModifySnapshotAttribute(ctx, &ec2.ModifySnapshotAttributeInput{
		SnapshotId: aws.String(id), Attribute: types.SnapshotAttributeNameCreateVolumePermission, OperationType: how, UserIds: accounts,
	})
	return refused(err, "%s the right of %d accounts to use %s", how, len(accounts), id)
}

// Locks asks for each by itself if one of them is gone, for which the whole
// question fails.
func (p *Provider) Locks(ctx context.Context, ids []string) (map[string]time.Time, error) {
	until := map[string]time.Time{}
	for some := range slices.Chunk(ids, maxFilterValues) {
		locks, err := p.locked(ctx, some)
		if hasCode(err, noSnapshot) && len(some) > 1 {
			for _, id := range some {
				one, err := p.Locks(ctx, []string{id})
				if err != nil {
					return nil, err
				}
				maps.Copy(until, one)
			}
			continue
		}
		if hasCode(err, noSnapshot) {
			continue
		}
		if err != nil {
			return nil, translate(err, "look for locks on %d snapshots", len(ids))
		}
		for _, l := range locks {
			until[aws.ToString(l.SnapshotId)] = aws.ToTime(l.LockExpiresOn)
		}
	}
	return until, nil
}

// Lock counts the days from now: a complete snapshot's lock begins at once.
func (p *Provider) Lock(ctx context.Context, id string, lock cloud.Lock) error {
	in := &ec2.LockSnapshotInput{SnapshotId: aws.String(id), LockMode: types.LockModeGovernance, LockDuration: aws.Int32(int32(lock.Days))}
	if lock.Compliance {
		in.LockMode = types.LockModeCompliance
	}
	if lock.CoolOffHours > 0 {
		in.CoolOffPeriod = aws.Int32(int32(lock.CoolOffHours))
	}
	_, err := p.ec2.LockSnapshot(ctx, in)
	return refused(err, "lock %s", id)
}

// Archive asks where the snapshot is only if it is refused: what is archived
// already may be the second attempt of a call whose reply was lost.
func (p *Provider) Archive(ctx context.Context, id string) error {
	_, err := p.ec2.ModifySnapshotTier(ctx, &ec2.ModifySnapshotTierInput{SnapshotId: aws.String(id), StorageTier: types.TargetStorageTierArchive})
	if !hasCode(err, "IncorrectState") {
		return refused(err, "archive %s", id)
	}
	out, looked := p.ec2.DescribeSnapshotTierStatus(ctx, &ec2.DescribeSnapshotTierStatusInput{Filters: []types.Filter{filter("snapshot-id", id)}})
	if looked != nil {
		return translate(looked, "look where %s is", id)
	}
	for _, s := range out.SnapshotTierStatuses {
		going := s.LastTieringOperationStatus == types.TieringOperationStatusArchivalInProgress
		if aws.ToString(s.SnapshotId) == id && (going || s.StorageTier == types.StorageTierArchive) {
			return nil
		}
	}
	return refused(err, "archive %s", id)
}

// Fast leaves out what is being turned off.
func (p *Provider) Fast(ctx context.Context) (list []cloud.FastRestore, err error) {
	pages := ec2.NewDescribeFastSnapshotRestoresPaginator(p.ec2, &ec2.DescribeFastSnapshotRestoresInput{
		Filters: []types.Filter{filter("state", string(types.FastSnapshotRestoreStateCodeEnabling), string(types.FastSnapshotRestoreStateCodeOptimizing), string(types.FastSnapshotRestoreStateCodeEnabled))},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, translate(err, "look what is restored fast")
		}
		for _, f := range page.FastSnapshotRestores {
			list = append(list, cloud.FastRestore{ID: aws.ToString(f.SnapshotId), Zone: aws.ToString(f.AvailabilityZone)})
		}
	}
	return list, nil
}

// SetFast finds refusals in an answer that is well.
func (p *Provider) SetFast(ctx context.Context, id string, zones []string, on bool) error {
	if !on {
		out, err := p.ec2.DisableFastSnapshotRestores(ctx, &ec2.DisableFastSnapshotRestoresInput{SourceSnapshotIds: []string{id}, AvailabilityZones: zones})
		if err != nil {
			return refused(err, "end fast restores of %s", id)
		}
		for _, u := range out.Unsuccessful {
			for _, e := range u.FastSnapshotRestoreStateErrors {
				return fault.New(fault.SnapshotRefused, "end fast restores of %s in %s: %s", id, aws.ToString(e.AvailabilityZone), aws.ToString(e.Error.Message))
			}
		}
		return nil
	}
	out, err := p.ec2.EnableFastSnapshotRestores(ctx, &ec2.EnableFastSnapshotRestoresInput{SourceSnapshotIds: []string{id}, AvailabilityZones: zones})
	if err != nil {
		return refused(err, "restore %s fast", id)
	}
	for _, u := range out.Unsuccessful {
		for _, e := range u.FastSnapshotRestoreStateErrors {
			return fault.New(fault.SnapshotRefused, "restore %s fast in %s: %s", id, aws.ToString(e.AvailabilityZone), aws.ToString(e.Error.Message))
		}
	}
	return nil
}

// refused makes a fault of an error about one snapshot: what EC2 says no to is
// its reason, not ours.
func refused(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	code := codeOf(err)
	if code == fault.Internal && statusOf(err) >= 400 {
		code = fault.SnapshotRefused
	}
	return fault.Wrap(code, err, format, args...)
}
