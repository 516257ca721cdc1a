package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/local/ledger"
	port "github.com/quiesce/quiesce/shared/cloud"
	problem "github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// Trial is what became of one set that nobody held: one call a volume, one
// after the other, of a server that knows of nothing.
type Trial struct {
	Started  bool     `json:"started"`            // a second server came up on the restored volumes
	Whole    bool     `json:"whole"`              // all that was committed before the calls is there, and the server's own check is clean
	Findings []string `json:"findings,omitempty"` // what is not
	Notes    []string `json:"notes,omitempty"`    // what became of tables without transactions
	CallsMs  float64  `json:"callsMs"`            // from the first call to the end of the last
}

// busy is how long the load goes on before the calls, so that the logs have
// something to hold.
const busy = 3 * time.Second

// Control takes snapshots of a server's volumes as is done without a workflow,
// and restores and checks them as those of a run. With reverse the log's volume
// comes before the data's.
func Control(ctx context.Context, o Options, reverse bool, tell Progress) (_ *Trial, err error) {
	if !isServer(o.App) {
		return nil, problem.Input("--app", "wants a server, got %q", o.App)
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	s, _, err := open(ctx, o, tell)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	b, err := build(ctx, AWS, o.Binaries, s.dir())
	if err != nil {
		return nil, err
	}
	a, err := openAccount(ctx, o, s, b)
	if err != nil {
		return nil, err
	}
	defer a.close()
	volumes, err := a.rent(ctx, s, o.Volumes)
	if err != nil {
		return nil, err
	}
	if err := s.furnish(ctx, volumes); err != nil {
		return nil, err
	}
	if err := rest(ctx, busy); err != nil {
		return nil, err
	}
	inTurn := slices.Clone(volumes)
	if reverse {
		slices.Reverse(inTurn)
	}
	began := time.Now()
	ids, err := a.oneByOne(ctx, inTurn)
	if err != nil {
		return nil, err
	}
	calls := ledger.Span{Start: s.mono(began), End: s.mono(time.Now())}
	if err := rest(ctx, settle); err != nil {
		return nil, err
	}
	if err := a.complete(ctx, ids); err != nil {
		return nil, err
	}
	acks, err := s.acks(ctx)
	if err != nil {
		return nil, fmt.Errorf("stop what writes: %w", err)
	}
	restored, err := a.restore(ctx, byHand, volumes)
	if err != nil {
		return nil, err
	}
	contents, err := s.read(ctx, restored, run.Crash)
	if err != nil {
		return nil, err
	}
	t := &Trial{Started: len(contents.volumes) > 0, Findings: contents.findings, Notes: contents.notes, CallsMs: calls.Ms()}
	if t.Started {
		result := ledger.Verify(ledger.Case{Volumes: contents.volumes, Acks: acks, Call: calls, Served: true})
		t.Findings = append(t.Findings, result.Findings...)
	}
	t.Whole = len(t.Findings) == 0
	return t, nil
}

// byHand stands for the run that these snapshots are not of.
const byHand = "by-hand"

// oneByOne makes a call a volume, and waits for each before the next.
func (a *account) oneByOne(ctx context.Context, volumes []member) (ids []string, err error) {
	for _, v := range volumes {
		made, err := a.ec2.CreateSnapshot(ctx, &awsec2.CreateSnapshotInput{
			VolumeId: &v.id,
			TagSpecifications: []types.TagSpecification{{
				ResourceType: types.ResourceTypeSnapshot,
				Tags:         []types.Tag{{Key: aws.String(port.TagRun), Value: aws.String(byHand)}},
			}},
		})
		if err != nil {
			return nil, fmt.Errorf("snapshot %s: %w", v.id, err)
		}
		ids = append(ids, *made.SnapshotId)
	}
	return ids, nil
}

// complete waits until the snapshots are.
func (a *account) complete(ctx context.Context, ids []string) error {
	return awsec2.NewSnapshotCompletedWaiter(a.ec2, func(o *awsec2.SnapshotCompletedWaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second
	}).Wait(ctx, &awsec2.DescribeSnapshotsInput{SnapshotIds: ids}, time.Minute)
}
