package local

import (
	"context"
	"errors"
	"time"

	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// ends are the ways in which a run can end, with what leads there.
var ends = []path{
	{
		name:   "nothing goes wrong",
		states: whole + "Completed", outcome: run.OutcomeCompleted, consistency: run.Application,
	},
	{
		name:    "a set that takes its time",
		setting: setting{completion: 25 * time.Second},
		states:  opening + "PollStatus Complete Wait " + finding + "Completed",
		outcome: run.OutcomeCompleted, consistency: run.Application,
	},
	{
		name:   "no application is asked for",
		policy: nothingToQuiesce,
		states: whole + "Completed", outcome: run.OutcomeCompleted, consistency: run.Filesystem,
	},
	{
		name:   "neither application nor freeze is asked for",
		policy: func(p *policy.Policy) { nothingToQuiesce(p); p.Freeze.Enabled = false },
		states: whole + "Completed", outcome: run.OutcomeCompleted, consistency: run.Crash,
	},
	{
		name:   "an application without a freeze",
		policy: func(p *policy.Policy) { p.Freeze.Enabled = false },
		states: whole + "Completed", outcome: run.OutcomeCompleted, consistency: run.Application,
	},

	{
		name:    "the instance's clock is an hour fast",
		setting: setting{skew: time.Hour},
		states:  whole + "Completed", outcome: run.OutcomeCompleted, consistency: run.Application,
	},
	{
		name:    "the instance's clock is an hour slow",
		setting: setting{skew: -time.Hour},
		states:  whole + "Completed", outcome: run.OutcomeCompleted, consistency: run.Application,
	},

	// Degraded.
	{
		name:   "the pre-script fails",
		before: fails(preScript),
		states: unquiet + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Filesystem, code: "ScriptFailed",
	},
	{
		name:   "the pre-script does not end",
		before: hangs(preScript),
		states: unquiet + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Filesystem, code: "ScriptTimedOut",
	},
	{
		name:   "somebody else has frozen",
		faults: []string{"freeze:foreign-freeze"},
		states: unfrozen + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Crash, code: "ForeignFreeze",
	},
	{
		name:   "somebody else thaws and freezes again",
		faults: []string{"snapshot:foreign-thaw"},
		states: whole + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Crash, code: "HoldLost",
	},
	{
		name:   "the helper is killed in the window",
		faults: []string{"snapshot:kill-helper"},
		states: whole + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Crash, code: "HoldLost",
	},
	{
		name:    "the snapshot call outlasts the deadline",
		setting: setting{slowness: 8 * time.Second},
		faults:  []string{"CreateSnapshots:slow"},
		policy:  func(p *policy.Policy) { p.Freeze.DeadlineSeconds = 5 },
		states:  whole + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Crash, code: "HoldLost",
	},

	{
		name:   "the helper is killed while it holds an application alone",
		faults: []string{"snapshot:kill-helper"}, policy: func(p *policy.Policy) { p.Freeze.Enabled = false },
		states: whole + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Crash, code: "HoldLost",
	},

	// Failed, with nothing left behind.
	{
		name:   "the instance has not opted in",
		before: func(w *world) { w.cloud.EC2.AddInstance(ec2.Instance{ID: instanceID}) },
		states: refused, outcome: run.OutcomeFailedClean, code: "InstanceNotOptedIn", says: "quiesce:opt-in",
	},
	{
		name:   "the instance is stopped",
		before: func(w *world) { w.cloud.EC2.SetState(instanceID, "stopped") },
		states: refused, outcome: run.OutcomeFailedClean, code: "InstanceNotRunning",
	},
	{
		name:   "the agent is gone",
		before: func(w *world) { w.cloud.SSM.SetOnline(instanceID, false); time.Sleep(12 * time.Minute) },
		states: refused, outcome: run.OutcomeFailedClean, code: "AgentOffline",
	},
	{
		name:   "the pre-script fails, and a lesser set is not wanted",
		before: fails(preScript), policy: orNothing,
		states:  "Open Precheck Mode RunPrescript GoOnUnquiesced Thaw SetTaken Tag Outcome FailedClean",
		outcome: run.OutcomeFailedClean, code: "ScriptFailed",
	},
	{
		name:   "the freeze fails, and a lesser set is not wanted",
		faults: []string{"freeze:foreign-freeze"}, policy: orNothing,
		states:  "Open Precheck Mode RunPrescript Freeze GoOnUnfrozen Thaw SetTaken Tag Outcome FailedClean",
		outcome: run.OutcomeFailedClean, code: "ForeignFreeze",
	},
	{
		name:   "the snapshot call is refused",
		faults: []string{"snapshot:deny"},
		states: setless + "FailedClean", outcome: run.OutcomeFailedClean, code: "AccessDenied",
	},
	{
		name:   "the snapshot call is throttled",
		faults: []string{"CreateSnapshots:throttle", "CreateSnapshots:throttle@2", "CreateSnapshots:throttle@3"},
		states: setless + "FailedClean", outcome: run.OutcomeFailedClean, code: "SnapshotThrottled",
	},
	{
		name:   "the set goes to error",
		faults: []string{"snapshot:error"},
		states: whole + "FailedClean", outcome: run.OutcomeFailedClean, code: "SnapshotFailed",
	},
	{
		name:    "the set is not complete in time",
		setting: setting{completion: time.Hour},
		policy:  func(p *policy.Policy) { p.Completion.TimeoutMinutes = 1 },
		states:  opening + "PollStatus Complete Wait " + finding + "FailedClean",
		outcome: run.OutcomeFailedClean, code: "SnapshotTimedOut",
	},

	{
		name:    "nobody may ask for the set's state",
		faults:  []string{"poll-status:deny"},
		states:  opening + "PollStatus Tag Outcome FailedClean",
		outcome: run.OutcomeFailedClean, code: "AccessDenied",
	},

	// Failed, and a person must look.
	{
		name:   "the instance is not reached any more",
		faults: []string{"thaw:agent-offline"},
		states: whole + "FailedDirty", outcome: run.OutcomeFailedDirty, consistency: run.Crash, code: "ThawFailed",
		says: "not known whether the instance was let go", alarm: true,
	},
	{
		name:   "the post-script fails",
		before: fails(postScript),
		states: whole + "FailedDirty", outcome: run.OutcomeFailedDirty, consistency: run.Filesystem, code: "ScriptFailed",
		says: "may still be at rest", alarm: true, resting: true,
	},
	{
		name:   "every answer of the snapshot function is lost",
		faults: []string{"snapshot:crash-after", "snapshot:crash-after@2", "snapshot:crash-after@3", "snapshot:crash-after@4"},
		states: setless + "FailedDirty", outcome: run.OutcomeFailedDirty, code: "Runtime.ExitError",
		says: "2 snapshots of the run exist all the same",
	},
	{
		name:    "every answer of the snapshot function is lost, and lists lag behind",
		setting: setting{unlisted: 6 * time.Second},
		faults:  []string{"snapshot:crash-after", "snapshot:crash-before@2", "snapshot:crash-before@3", "snapshot:crash-before@4"},
		states:  setless + "FailedDirty", outcome: run.OutcomeFailedDirty, code: "Runtime.ExitError",
		says: "2 snapshots of the run exist all the same",
	},
	{
		name:   "the right to thaw is missing",
		faults: []string{"thaw:deny"},
		states: whole + "FailedDirty", outcome: run.OutcomeFailedDirty, consistency: run.Crash, code: "ThawFailed", alarm: true,
	},
	{
		name:   "the set cannot be labelled",
		faults: []string{"tag:deny"},
		states: opening + "PollStatus Complete " + unlabeled, says: "AccessDenied",
	},
	{
		name:   "neither precheck nor tag work",
		faults: []string{"DescribeInstances:deny", "tag:fail", "tag:fail@2", "tag:fail@3", "tag:fail@4"},
		states: "Open Precheck Tag Planned Unplanned PublishFailure FailedUnlabelled", says: "Internal",
	},
}

func nothingToQuiesce(p *policy.Policy) { p.Application = policy.Default().Application }
func orNothing(p *policy.Policy)        { p.OnFailure = policy.Fail }

func preScript(w *world) string  { return w.writer.PreScript() }
func postScript(w *world) string { return w.writer.PostScript() }

// fails makes one of the ledger's scripts fail without having done anything.
func fails(script func(*world) string) func(*world) {
	return func(w *world) {
		w.sim.Script(script(w), func(context.Context, session.Script) error { return errors.New("exit status 1") })
	}
}

// hangs makes it last until it is killed.
func hangs(script func(*world) string) func(*world) {
	return func(w *world) {
		w.sim.Script(script(w), func(ctx context.Context, _ session.Script) error { <-ctx.Done(); return ctx.Err() })
	}
}
