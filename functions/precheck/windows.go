package precheck

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/vss"
)

// windows looks at what the documents for Windows need, as far as anybody can
// tell before they run, and makes the call to see that it can be made.
func windows(ctx context.Context, c Cloud, plan *run.Plan, instance cloud.Instance) error {
	if _, ok := c.(cloud.Windows); !ok {
		return fault.Input("policy.mode", "is %s, which AWS alone has", plan.Policy.Mode)
	}
	ping, err := c.Ping(ctx, instance.ID)
	switch {
	case err != nil:
		return err
	case !ping.Online || time.Since(ping.Last) > stale:
		return fault.New(fault.AgentOffline, "the agent of %s was last heard of at %s", instance.ID, ping.Last.UTC().Format(time.RFC3339))
	}
	if plan.Policy.Mode == policy.ByDiskshadow {
		plan.Warnings = append(plan.Warnings, "the set is crash-consistent as it is: what is consistent are the shadow copies in it, once they are gone back to")
		return vss.Windows(string(plan.Policy.Mode), instance, ping)
	}
	if err := vss.Fits(instance, ping); err != nil {
		return err
	}
	_, err = vss.Of(*plan).Parameters()
	return err
}
