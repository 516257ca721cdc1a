package main

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// SnapshotCall is what the emulator's own snapshot call takes without any
// latency added: a reader can subtract it.
type SnapshotCall struct {
	Volumes int    `json:"volumes"`
	Mode    string `json:"mode"` // how the pool copies
	Copy    Figure `json:"copy"` // the disks' copy alone
	API     Figure `json:"api"`  // CreateSnapshots by the SDK over loopback
	N       int    `json:"n"`
}

// callTries is how many tries each of the quick measurements takes.
func (b *bench) callTries() int { return 4 * b.N }

func (b *bench) call(ctx context.Context, r *Report) error {
	for _, n := range []int{2, 4} {
		b.say("call: %d volumes", n)
		c, err := b.callOf(ctx, n)
		if err != nil {
			return err
		}
		r.Call = append(r.Call, c)
	}
	return nil
}

func (b *bench) callOf(ctx context.Context, volumes int) (c SnapshotCall, err error) {
	s, err := openStand(ctx, standing{volumes: volumes, fs: b.FS, latency: map[string]time.Duration{"*": 0, "ec2": 0, "CreateSnapshots": 0}})
	if err != nil {
		return c, err
	}
	defer s.closeInto(&err)
	c = SnapshotCall{Volumes: volumes, Mode: string(s.pool.Mode()), N: b.callTries()}
	client := ec2.NewFromConfig(s.client("bench"))
	var copies, calls []float64
	for i := range c.N + 1 { // the first one connects
		set := map[string]string{}
		for _, id := range s.ids {
			set[id] = fmt.Sprintf("copy-%d-of-%s", i, id)
		}
		began := time.Now()
		if err := s.pool.Snapshot(ctx, set); err != nil {
			return c, err
		}
		copied := time.Since(began)
		for snapshot := range maps.Values(set) {
			if err := s.pool.DeleteSnapshot(ctx, snapshot); err != nil {
				return c, err
			}
		}
		began = time.Now()
		made, err := client.CreateSnapshots(ctx, &ec2.CreateSnapshotsInput{
			InstanceSpecification: &types.InstanceSpecification{InstanceId: aws.String(instanceID), ExcludeBootVolume: aws.Bool(true)},
		})
		if err != nil {
			return c, err
		}
		called := time.Since(began)
		for _, snapshot := range made.Snapshots {
			if _, err := client.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: snapshot.SnapshotId}); err != nil {
				return c, err
			}
		}
		if i > 0 {
			copies, calls = append(copies, ms(copied)), append(calls, ms(called))
		}
	}
	c.Copy, c.API = figure(copies), figure(calls)
	return c, nil
}
