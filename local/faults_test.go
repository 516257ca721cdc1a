package local

import (
	"time"

	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// faults are single troubles that a run must survive, each with what may still
// be claimed afterwards.
var faults = []path{
	// A function hangs until its task gives it up.
	proven("precheck hangs", "precheck:hang"),
	proven("run-prescript hangs", "run-prescript:hang"),
	{
		name: "freeze hangs", faults: []string{"freeze:hang"},
		states: unfrozen + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Crash, code: "States.Timeout",
	},
	lost("snapshot hangs", "snapshot:hang"),
	lost("thaw hangs", "thaw:hang"),
	proven("poll-status hangs", "poll-status:hang"),
	proven("tag hangs", "tag:hang"),

	// A function dies after it has done everything.
	proven("precheck dies at its end", "precheck:crash-after"),
	proven("run-prescript dies at its end", "run-prescript:crash-after"),
	proven("freeze dies at its end", "freeze:crash-after"),
	proven("snapshot dies at its end", "snapshot:crash-after"),
	proven("thaw dies at its end", "thaw:crash-after"),
	proven("poll-status dies at its end", "poll-status:crash-after"),
	twice(proven("tag dies at its end", "tag:crash-after")),

	// A function dies before it has done anything.
	proven("precheck dies", "precheck:crash-before"),
	proven("run-prescript dies", "run-prescript:crash-before"),
	proven("freeze dies", "freeze:crash-before"),
	proven("snapshot dies", "snapshot:crash-before"),
	proven("thaw dies", "thaw:crash-before"),
	proven("poll-status dies", "poll-status:crash-before"),
	proven("tag dies", "tag:crash-before"),

	// Nobody can be told that the set is done.
	{
		name: "the wait cannot be registered", setting: setting{completion: 25 * time.Second}, faults: []string{"await:deny"},
		states:  opening + "PollStatus Complete Wait WaitOut " + finding + "Completed",
		outcome: run.OutcomeCompleted, consistency: run.Application,
	},

	// The one call that must not be made twice.
	proven("the set's reply is lost", "snapshot:lost-reply"),
	proven("the set's reply is lost, and the function dies", "snapshot:lost-reply", "snapshot:crash-after"),
	with(proven("the set's reply is lost, and lists lag behind", "snapshot:lost-reply"), setting{unlisted: 6 * time.Second}),
	proven("the snapshot call is throttled for a moment", "CreateSnapshots:throttle"),
	lost("the set's reply is lost, and the helper is killed", "snapshot:lost-reply", "snapshot:kill-helper"),

	// Commands come twice, late, or not at all.
	proven("run-prescript comes twice", "run-prescript:duplicate"),
	proven("freeze comes twice", "freeze:duplicate"),
	proven("thaw comes twice", "thaw:duplicate"),
	with(proven("run-prescript comes late", "run-prescript:late"), setting{lateness: 25 * time.Second}),
	with(proven("freeze comes late", "freeze:late"), setting{lateness: 25 * time.Second}),
	with(proven("thaw comes late", "thaw:late"), setting{lateness: 25 * time.Second}),
	{
		name: "thaw comes after the deadline", setting: setting{lateness: 25 * time.Second}, faults: []string{"thaw:late"},
		policy: func(p *policy.Policy) { p.Freeze.DeadlineSeconds = 5 },
		states: whole + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Crash, code: "HoldLost",
	},
	{
		name: "run-prescript comes too late", faults: []string{"run-prescript:late"},
		states:  "Open Precheck Mode RunPrescript GoOnUnquiesced Freeze GoOnUnfrozen Snapshot Thaw SetTaken " + finding + "Degraded",
		outcome: run.OutcomeDegraded, consistency: run.Crash, code: "NoSession",
	},
	{
		name: "freeze comes too late", faults: []string{"freeze:late"},
		states: unfrozen + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Crash, code: "CommandTimedOut",
	},
	proven("the dry run's command is lost on the way back", "precheck/SendCommand:lost-reply"),
	proven("run-prescript's command is accepted, and nobody hears it", "run-prescript:lost-reply"),
	proven("freeze's command is accepted, and nobody hears it", "freeze:lost-reply"),
	proven("thaw's command is accepted, and nobody hears it", "thaw:lost-reply"),
	{
		name: "the agent is cut off before the freeze", faults: []string{"freeze:agent-offline"},
		states: unfrozen + "FailedDirty", outcome: run.OutcomeFailedDirty, consistency: run.Crash, code: "ThawFailed", alarm: true,
	},

	// The bus.
	untold("precheck", proven("precheck's events are refused", "precheck:bus-down")),
	untold("thaw", proven("thaw's events are refused", "thaw:bus-down")),
	untold("poll-status", proven("poll-status's events are refused", "poll-status:bus-down")),
	proven("tag's events are refused", "tag:bus-down"),
	silent(proven("the bus is down for good", "precheck:bus-down", "thaw:bus-down", "poll-status:bus-down",
		"tag:bus-down", "tag:bus-down@2", "tag:bus-down@3", "tag:bus-down@4")),

	// Throttling.
	proven("precheck is throttled", "precheck:throttle"),
	proven("run-prescript is throttled", "run-prescript:throttle"),
	proven("freeze is throttled", "freeze:throttle"),
	proven("snapshot is throttled", "snapshot:throttle"),
	proven("thaw is throttled", "thaw:throttle"),
	proven("poll-status is throttled", "poll-status:throttle"),
	proven("tag is throttled", "tag:throttle"),
	proven("descriptions are throttled", "DescribeInstances:throttle", "DescribeVolumes:throttle", "DescribeSnapshots:throttle"),
	proven("commands are throttled", "run-prescript/SendCommand:throttle", "freeze/SendCommand:throttle", "thaw/SendCommand:throttle"),
	proven("answers are throttled", "GetCommandInvocation:throttle", "freeze/GetCommandInvocation:throttle"),
	proven("labels are throttled", "CreateTags:throttle"),

	// The helper's process.
	proven("the helper is killed before the run-prescript", "run-prescript:kill-helper"),
	{
		name: "the helper is killed before the freeze", faults: []string{"freeze:kill-helper"},
		states: unfrozen + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Crash, code: "NoSession",
	},
	lost("the helper is killed before the thaw", "thaw:kill-helper"),
}

// proven is a run that survives with its claim whole.
func proven(name string, faults ...string) path {
	return path{name: name, faults: faults, states: whole + "Completed", outcome: run.OutcomeCompleted, consistency: run.Application}
}

// lost is a run whose set exists, and whose hold did not last.
func lost(name string, faults ...string) path {
	return path{name: name, faults: faults, states: whole + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Crash, code: "HoldLost"}
}

func with(p path, s setting) path     { p.setting = s; return p }
func twice(p path) path               { p.twice = true; return p }
func untold(step string, p path) path { p.untold = step; return p }
func silent(p path) path              { p.silent = true; return p }
