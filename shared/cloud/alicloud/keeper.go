package alicloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/resourcesharing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

var _ cloud.Keeper = (*Provider)(nil)

// Stored lists groups by the tags of their creation, which a run that died has
// left alone with, and besides the snapshots that carry a run's tag themselves.
// Its time is the end of the second that the first answer is dated by.
func (p *Provider) Stored(ctx context.Context, policy string) (cloud.Stock, error) {
	failed := func(err error) (cloud.Stock, error) {
		return cloud.Stock{}, translate(err, "list the snapshots of policy %q", policy)
	}
	key, value := cloud.TagRun, ""
	if policy != "" {
		key, value = cloud.TagPolicy, clip(policy, maxTagValue)
	}
	at, err := p.clock(ctx)
	if err != nil {
		return failed(err)
	}
	groups, err := p.groups(ctx, func(r *ecs.DescribeSnapshotGroupsRequest) {
		r.Tag = &[]ecs.DescribeSnapshotGroupsTag{{Key: key, Value: value}}
	})
	if err != nil {
		return failed(err)
	}
	single, err := p.snapshots(ctx, func(r *ecs.DescribeSnapshotsRequest) {
		r.Tag = &[]ecs.DescribeSnapshotsTag{{Key: key, Value: value}}
	})
	if err != nil {
		return failed(err)
	}
	of := map[string]ecs.SnapshotGroup{}
	var ids []string
	for _, g := range groups {
		for _, s := range g.Snapshots.Snapshot {
			of[s.SnapshotId] = g
			ids = append(ids, s.SnapshotId)
		}
	}
	by, err := p.byID(ctx, ids)
	if err != nil {
		return failed(err)
	}
	for _, s := range single {
		by[s.SnapshotId] = s
	}
	stock := cloud.Stock{At: at}
	for _, id := range slices.Sorted(maps.Keys(by)) {
		if s := keptSnapshot(by[id], of[id]); s.Tags[cloud.TagRun] != "" {
			stock.Snapshots = append(stock.Snapshots, s)
		}
	}
	return stock, nil
}

// keptSnapshot is one with the tags of its group and, over them, its own. A
// group is of one moment, whenever each member says it was made.
func keptSnapshot(s ecs.Snapshot, g ecs.SnapshotGroup) cloud.Stored {
	tags := tagMap(g.Tags.Tag)
	maps.Copy(tags, tagMap(s.Tags.Tag))
	at := moment(s.CreationTime)
	if begun := moment(g.CreationTime); !begun.IsZero() {
		at = begun
	}
	return cloud.Stored{
		TaggedSnapshot: cloud.TaggedSnapshot{
			Snapshot: run.Snapshot{ID: s.SnapshotId, VolumeID: s.SourceDiskId, State: state(s.Status), Progress: s.Progress}, Tags: tags, StartedAt: at,
		},
		SizeGiB: gib(s), Archived: s.Category == archived,
	}
}

// clock is the end of the second in which the service answers.
func (p *Provider) clock(ctx context.Context) (time.Time, error) {
	request, response := ecs.CreateDescribeSnapshotsRequest(), ecs.CreateDescribeSnapshotsResponse()
	request.MaxResults = requests.NewInteger(1)
	if err := p.call(ctx, "ecs", request, response); err != nil {
		return time.Time{}, err
	}
	at, err := http.ParseTime(http.Header(response.GetHttpHeaders()).Get("Date"))
	if err != nil {
		return time.Time{}, fmt.Errorf("the answer has no date: %w", err)
	}
	return at.Add(time.Second), nil
}

// Holds asks for locks of a hundred at a time, and for images and for whom each
// is shared with by a call a snapshot.
func (p *Provider) Holds(ctx context.Context, ids []string) (held []string, err error) {
	for some := range slices.Chunk(ids, perPage) {
		locks, err := p.locks(ctx, some)
		if err != nil {
			return nil, translate(err, "look for locks on %d snapshots", len(ids))
		}
		held = append(held, locks...)
	}
	for _, id := range ids {
		images, err := p.images(ctx, id)
		if err != nil {
			return nil, translate(err, "look for images of %s", id)
		}
		shares, err := p.shares(ctx, id)
		if err != nil {
			return nil, translate(err, "look who %s is shared with", id)
		}
		held = slices.Concat(held, images, shares)
	}
	return held, nil
}

// lockedRequest is a call that the SDK does not know yet.
type lockedRequest struct {
	*requests.RpcRequest
	SnapshotIds *[]string        `position:"Query" name:"SnapshotIds" type:"Repeated"`
	NextToken   string           `position:"Query" name:"NextToken"`
	MaxResults  requests.Integer `position:"Query" name:"MaxResults"`
}

type lockedResponse struct {
	*responses.BaseResponse
	NextToken           string
	LockedSnapshotsInfo []struct{ SnapshotId, LockStatus, LockExpiredTime string }
}

func (p *Provider) locks(ctx context.Context, ids []string) (held []string, err error) {
	for token := ""; ; {
		request := &lockedRequest{RpcRequest: &requests.RpcRequest{}, SnapshotIds: &ids, NextToken: token, MaxResults: requests.NewInteger(perPage)}
		request.InitWithApiInfo("Ecs", "2014-05-26", "DescribeLockedSnapshots", "ecs", "openAPI")
		response := &lockedResponse{BaseResponse: &responses.BaseResponse{}}
		if err := p.call(ctx, "ecs", request, response); err != nil {
			return nil, err
		}
		for _, l := range response.LockedSnapshotsInfo {
			if l.LockStatus == "expired" || !slices.Contains(ids, l.SnapshotId) {
				continue
			}
			until := ""
			if at := moment(l.LockExpiredTime); !at.IsZero() {
				until = " until " + at.Format(time.DateOnly)
			}
			held = append(held, fmt.Sprintf("%s is locked%s", l.SnapshotId, until))
		}
		if token = response.NextToken; token == "" {
			return held, nil
		}
	}
}

// imageStates are all in which an image holds a snapshot: without them only
// those that are available are listed.
const imageStates = "Creating,Waiting,Available,UnAvailable,CreateFailed,Deprecated"

func (p *Provider) images(ctx context.Context, snapshot string) (held []string, err error) {
	found, err := p.imagesBy(ctx, func(r *ecs.DescribeImagesRequest) { r.SnapshotId, r.ImageOwnerAlias = snapshot, "self" })
	for _, i := range found {
		held = append(held, "used by the image "+i.ImageId)
	}
	return held, err
}

// shares asks the service by which accounts share: ECS itself does not tell.
func (p *Provider) shares(ctx context.Context, snapshot string) (held []string, err error) {
	for token := ""; ; {
		request, response := resourcesharing.CreateListSharedTargetsRequest(), resourcesharing.CreateListSharedTargetsResponse()
		request.ResourceOwner, request.ResourceType, request.ResourceId = "Self", "Snapshot", snapshot
		request.MaxResults, request.NextToken = requests.NewInteger(perPage), token
		if err := p.call(ctx, "resourcesharing", request, response); err != nil {
			return nil, err
		}
		for _, t := range response.SharedTargets {
			held = append(held, fmt.Sprintf("%s is shared with %s", snapshot, t.TargetId))
		}
		if token = response.NextToken; token == "" {
			return held, nil
		}
	}
}

// DeleteSnapshot deletes one even if disks were made of it: these stay, and only
// cannot be set back to it any more. A group that nothing is left of is deleted
// with its last member. One that is gone is told as deleted by the service.
func (p *Provider) DeleteSnapshot(ctx context.Context, id string) error {
	by, err := p.byID(ctx, []string{id})
	if err != nil {
		return translate(err, "look at %s", id)
	}
	request, response := ecs.CreateDeleteSnapshotRequest(), ecs.CreateDeleteSnapshotResponse()
	request.SnapshotId, request.Force = id, requests.NewBoolean(true)
	switch err := p.call(ctx, "ecs", request, response); {
	case hasCode(err, "InvalidSnapshotId.NotFound"):
		return nil
	case err != nil:
		return aboutSnapshot(err, "delete %s", id)
	}
	of, known := by[id]
	if !known {
		return nil
	}
	return p.deleteEmpty(ctx, tagMap(of.Tags.Tag)[cloud.TagRun], id)
}

// deleteEmpty deletes a run's group if nothing is left of it but what has just
// been deleted, which may still be listed.
func (p *Provider) deleteEmpty(ctx context.Context, runID, deleted string) error {
	if runID == "" {
		return nil
	}
	groups, err := p.groups(ctx, func(r *ecs.DescribeSnapshotGroupsRequest) {
		r.Tag = &[]ecs.DescribeSnapshotGroupsTag{{Key: cloud.TagRun, Value: runID}}
	})
	if err != nil {
		return translate(err, "find the group of run %s", runID)
	}
	for _, g := range groups {
		left := slices.ContainsFunc(g.Snapshots.Snapshot, func(s ecs.Snapshot) bool { return s.SnapshotId != deleted })
		if left {
			continue
		}
		if err := p.deleteGroup(ctx, g.SnapshotGroupId); err != nil {
			return translate(err, "delete the group %s, of which nothing is left", g.SnapshotGroupId)
		}
	}
	return nil
}

// aboutSnapshot makes a fault of an error of a deletion. What holds a snapshot
// refuses by a code that is published for images alone: any that is not known
// is taken for such.
func aboutSnapshot(err error, format string, args ...any) error {
	code := codeOf(err)
	var r *refusal
	if errors.As(err, &r) && r.Status >= http.StatusBadRequest && r.Status < http.StatusInternalServerError && r.Status != http.StatusTooManyRequests {
		if _, known := r.listed(); !known {
			code = fault.SnapshotRefused
		}
	}
	return fault.Wrap(code, err, format, args...)
}

// UnderTest reads what a test says on each: no filter here takes ids and a tag.
func (p *Provider) UnderTest(ctx context.Context, ids []string) (string, error) {
	found, err := p.byID(ctx, ids)
	if err != nil {
		return "", translate(err, "look for tests of %d snapshots", len(ids))
	}
	for _, id := range ids {
		tags := tagMap(found[id].Tags.Tag)
		if tags[cloud.TagTest] == underTest {
			return cmp.Or(tags[cloud.TagTestRun], underTest), nil
		}
	}
	return "", nil
}

const underTest = "VALIDATING"

// archived is the category of a snapshot of which no disk can be made.
const archived = "archive"
