// Package fault plans what goes wrong in a run: which step or call, in which
// way, at which time it is reached. Nothing of it is in production code; the
// emulated clouds and the host of the functions ask the plan. A planned fault
// that was never reached is reported, because a test of it proved nothing.
package fault

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Kind is one way to go wrong.
type Kind string

// Of the function: what the workflow sees of an invocation.
const (
	Fail        Kind = "fail"         // the function answers the error Internal and does nothing
	Hang        Kind = "hang"         // nothing is done and nothing answered: the task times out
	CrashBefore Kind = "crash-before" // the process dies before it has done anything
	CrashAfter  Kind = "crash-after"  // everything is done, the answer is lost with the process
	Oversize    Kind = "oversize"     // everything is done, the answer is more than a state's data may be
)

// Of the function, or of a call when the target names an API.
const (
	Throttle Kind = "throttle" // the service refuses for its rate, nothing is done
	Slow     Kind = "slow"     // done at once, answered late
)

// Of the step's main call, or of the API that is named.
const (
	LostReply Kind = "lost-reply" // done, but the connection drops before the answer
	Deny      Kind = "deny"       // refused for missing permission
)

// Of an API that is named.
const (
	WrongData Kind = "wrong-data" // done, and answered with a part of the truth
)

// Of the step's command on the instance.
const (
	Duplicate    Kind = "duplicate"     // the agent runs it twice
	Late         Kind = "late"          // the agent gets it late
	Reorder      Kind = "reorder"       // the agent gets it after the next one, whenever that is
	AgentOffline Kind = "agent-offline" // the agent loses its connection before it gets it
)

// Of the set.
const (
	ErrorSet Kind = "error" // the snapshots go to error instead of completed
)

// Of the world around: callbacks, fired when the step's function is entered,
// at snapshot while the call that makes the set is in flight, before the point
// in time is taken: that is the worst moment.
const (
	KillHelper    Kind = "kill-helper"
	ForeignThaw   Kind = "foreign-thaw" // somebody else thaws, and freezes again at once
	ForeignFreeze Kind = "foreign-freeze"
	StopExecution Kind = "stop-execution"
	KillSession   Kind = "kill-session" // an operator ends the session that holds the server
	LongQuery     Kind = "long-query"   // a statement starts that holds a quiesce off

	ForeignRelease Kind = "foreign-release" // somebody else thaws, and leaves it so
	KillGuard      Kind = "kill-guard"      // of one filesystem
	TimeOut        Kind = "time-out"        // the execution's own time is over
	ClockJump      Kind = "clock-jump"      // of the instance's wall clock
	AgentBusy      Kind = "agent-busy"      // with other people's commands, all of its workers
	AgentRestart   Kind = "agent-restart"   // away for as long as its service takes to be started again
	StopInstance   Kind = "stop-instance"
	DiskFull       Kind = "disk-full" // where the helper keeps its records
)

// Of one operation on the machine.
const (
	Refuse Kind = "refuse" // it fails without an effect
	Stall  Kind = "stall"  // it takes far longer than it should
)

// BusDown refuses every event that the step publishes.
const BusDown Kind = "bus-down"

// Steps in the order of a run, then what an event starts.
var Steps = []string{"precheck", "run-prescript", "freeze", "snapshot", "thaw", "poll-status", "await", "tag", "wake", "janitor"}

// PluginSteps are those of Alibaba Cloud besides.
var PluginSteps = []string{"start-plugin", "watch-plugin"}

// WindowsSteps are those of AWS besides, for instances that run Windows.
var WindowsSteps = []string{"start-vss", "watch-vss", "make-shadows", "drop-shadows"}

// RestoreSteps are those of a restore.
var RestoreSteps = []string{"restore-plan", "restore-create", "restore-image", "restore-move", "restore-recover", "restore-power", "restore-settle", "restore-report"}

// VerifySteps are those of a restore test besides.
var VerifySteps = []string{"verify-choose", "verify-mark", "verify-recover", "verify-clean", "verify-report"}

// SweepSteps are those that a timer of Alibaba Cloud starts.
var SweepSteps = []string{"sweep"}

var allSteps = slices.Concat(RestoreSteps, VerifySteps, Steps, PluginSteps, WindowsSteps, SweepSteps)

// main is the call by which a step does what it is for, on each cloud.
var mainCalls = map[string][]string{
	"precheck":      {"DescribeInstances"},
	"run-prescript": {"SendCommand", "RunCommand", "InvokeCommand"},
	"freeze":        {"SendCommand", "RunCommand", "InvokeCommand"},
	"snapshot":      {"CreateSnapshots", "CreateSnapshotGroup"},
	"thaw":          {"SendCommand", "RunCommand", "InvokeCommand"},
	"janitor":       {"SendCommand", "RunCommand", "InvokeCommand"},
	"poll-status":   {"DescribeSnapshots", "DescribeSnapshotGroups"},
	"await":         {"PutObject"},
	"wake":          {"SendTaskSuccess", "ReportTaskSucceeded"},
	"tag":           {"CreateTags", "TagResources"},
	"start-vss":     {"SendCommand"},
	"watch-vss":     {"ListCommandInvocations"},
	"make-shadows":  {"SendCommand"},
	"drop-shadows":  {"SendCommand"},
	"start-plugin":  {"RunCommand"},
	"watch-plugin":  {"DescribeInvocationResults"},
	"sweep":         {"StartExecution"},
}

// APIs are the calls that can be named as a target.
var APIs = []string{
	"AttachDisk", "AttachVolume", "CancelCommand", "CreateDisk", "CreateImage", "CreateSnapshotGroup", "CreateSnapshots",
	"CreateTags", "CreateVolume", "DeleteDisk", "DeleteImage", "DeleteInstance", "DeleteSnapshot", "DeleteSnapshotGroup",
	"DeleteTags", "DeleteVolume", "DeregisterImage", "DescribeCloudAssistantStatus", "DescribeDisks", "DescribeExecution",
	"DescribeImages", "DescribeInstanceInformation", "DescribeInstanceTypes", "DescribeInstances",
	"DescribeInvocationResults", "DescribeInvocations", "DescribeKey", "DescribeLockedSnapshots", "DescribeSecurityGroups",
	"DescribeSnapshotAttribute", "DescribeSnapshotGroups", "DescribeSnapshots", "DescribeSubnets", "DescribeVSwitches",
	"DescribeVolumes", "DetachDisk", "DetachVolume", "GenerateDataKeyWithoutPlaintext", "GetCommandInvocation",
	"InvokeCommand", "ListCommandInvocations", "ListCommands", "ListExecutions", "ListSharedTargets", "ModifyDiskAttribute",
	"ModifyInstanceAttribute", "PutEvents", "PutObject", "RegisterImage", "ReportTaskSucceeded", "ResetDisk", "RunCommand",
	"RunInstances", "SendCommand", "SendTaskSuccess", "StartInstance", "StartInstances", "StopInstance", "StopInstances",
	"StopInvocation", "TagResources", "TerminateInstances", "UntagResources",
}

// MoreAPIs can be named as well: calls that Alibaba Cloud alone has, and that no
// step is there for.
var MoreAPIs = []string{"DescribeInstanceRamRole", "DescribeInstanceTypes", "PutCustomMetric", "StartExecution"}

// Operations are what the helper does on a simulated machine, each at the step
// whose command has it done. They can be named as STEP/OPERATION.
var Operations = map[string][]string{
	"precheck":      {"survey"},
	"run-prescript": {"save", "script", "scripted", "quiesce"},
	"freeze":        {"survey", "open", "flush", "save", "arm", "freeze", "freezing", "frozen", "blocked"},
	"snapshot":      {"copy"},
	"thaw":          {"held", "thaw", "thawed", "still-held", "release", "script", "scripted", "survey", "save", "rescue", "undo"},
}

// Kinds by what they may be planned for.
var (
	ofFunction = []Kind{Fail, Hang, CrashBefore, CrashAfter, Throttle, Slow, Oversize}
	ofCall     = []Kind{Throttle, Slow, LostReply, Deny, Hang, WrongData}
	ofMain     = []Kind{LostReply, Deny}
	ofCommand  = []Kind{Duplicate, Late, Reorder, AgentOffline}
	ofMachine  = []Kind{Refuse, Stall}
	ofSet      = []Kind{ErrorSet}
	ofWorld    = []Kind{KillHelper, ForeignThaw, ForeignFreeze, StopExecution, KillSession, LongQuery, BusDown,
		ForeignRelease, KillGuard, TimeOut, ClockJump, AgentBusy, AgentRestart, StopInstance, DiskFull}
)

// KindsOf lists the kinds that can be planned for a step or an API.
func KindsOf(target string) []Kind {
	switch target {
	case PluginTarget:
		return ofPlugin
	case WindowsTarget:
		return ofWindows
	}
	step, api, both := strings.Cut(target, "/")
	if both || slices.Contains(APIs, target) || slices.Contains(MoreAPIs, target) {
		switch {
		case !both:
			return ofCall
		case slices.Contains(Operations[step], api):
			return slices.Concat(ofMachine, hooks())
		case step == PluginTarget && slices.Contains(APIs, api):
			return ofTool(api)
		case !slices.Contains(allSteps, step) || !slices.Contains(APIs, api) && !slices.Contains(MoreAPIs, api):
			return nil
		}
		kinds := slices.Concat(ofCall, hooks())
		if slices.Contains(mainCalls["freeze"], api) {
			kinds = append(kinds, ofCommand...)
		}
		if slices.Contains(mainCalls["snapshot"], api) {
			kinds = append(kinds, ofSet...)
		}
		return kinds
	}
	if slices.Contains(RestoreSteps, target) || slices.Contains(VerifySteps, target) {
		return slices.Concat(ofFunction, []Kind{StopExecution})
	}
	if !slices.Contains(allSteps, target) {
		return nil
	}
	if slices.Contains(PluginSteps, target) {
		return slices.Concat(ofFunction, ofMain, ofWorld)
	}
	if slices.Contains(WindowsSteps, target) {
		kinds := slices.Concat(ofFunction, ofMain, []Kind{StopExecution, BusDown})
		if slices.Contains(mainCalls[target], "SendCommand") {
			kinds = append(kinds, ofCommand...)
		}
		return kinds
	}
	kinds := slices.Concat(ofFunction, ofMain, ofWorld)
	if slices.Contains(mainCalls[target], "SendCommand") || target == "precheck" {
		kinds = append(kinds, ofCommand...)
	}
	if target == "snapshot" {
		kinds = append(kinds, ofSet...)
	}
	return kinds
}

// hooks are the kinds of the world that strike in the middle of something.
func hooks() []Kind {
	return slices.DeleteFunc(slices.Clone(ofWorld), func(k Kind) bool { return !isHook(k) })
}

func unknownTarget(target string) error {
	return fmt.Errorf("%q is neither a step (%s) nor a call (%s) nor STEP/CALL or STEP/OPERATION",
		target, strings.Join(allSteps, ", "), strings.Join(slices.Concat(APIs, MoreAPIs), ", "))
}

func unknownKind(target string, kind Kind) error {
	var valid []string
	for _, k := range KindsOf(target) {
		valid = append(valid, string(k))
	}
	sort.Strings(valid)
	return fmt.Errorf("%s cannot have %q, but: %s", target, kind, strings.Join(valid, ", "))
}
