// Package await registers who waits for a set, so that the event of its
// completion can end the wait.
package await

import (
	"context"
	"log/slog"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// Input is the set, and the token of the state that waits for it.
type Input struct {
	Plan  run.Plan `json:"plan"`
	Set   run.Set  `json:"set"`
	Token string   `json:"token"`
}

// Output is what the set was found to be once the token was kept, empty if
// that could not be seen.
type Output struct {
	State  string     `json:"state"`
	Record run.Record `json:"record"`
}

// Provider is what the step asks of a cloud.
type Provider interface {
	cloud.Disks
	cloud.Tokens
	cloud.Tasks
}

// Do keeps the token and then looks at the set: an event that came before the
// token was kept has found nobody to tell. Codes: those of SaveToken and
// Answer.
func Do(ctx context.Context, c Provider, in Input) (*Output, error) {
	started := time.Now()
	switch {
	case in.Token == "":
		return nil, fault.Input("token", "is empty")
	case len(in.Set.Snapshots) == 0:
		return nil, fault.Input("set.snapshots", "is empty")
	}
	ids := in.Set.IDs()
	for _, key := range cloud.SetKeys(in.Plan.Target.Provider, ids) {
		if err := c.SaveToken(ctx, key, in.Token); err != nil {
			return nil, err
		}
	}
	out := &Output{}
	members, err := c.Snapshots(ctx, ids)
	switch {
	case err == nil:
		out.State = run.StateOf(in.Plan, in.Set, members, time.Now())
	case fault.CodeOf(err) == fault.SnapshotFailed:
		out.State = run.Failed
	default: // the token is kept all the same, which is most of what was asked
		slog.Warn("set not looked at", "run", in.Plan.RunID, "error", err)
	}
	if out.State != "" && out.State != run.Pending {
		if err := c.Answer(ctx, in.Token); err != nil {
			return nil, err
		}
	}
	out.Record = run.Record{StartedAt: started, EndedAt: time.Now()}
	return out, nil
}
