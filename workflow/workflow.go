// Package workflow holds the definitions that the clouds and the local engine
// run: the very same files, embedded.
package workflow

import (
	_ "embed"
	"slices"
	"time"

	"github.com/quiesce/quiesce/workflow/asl"
	"github.com/quiesce/quiesce/workflow/flow"
)

//go:embed snapshot.asl.json
var snapshot string

// Snapshot returns the definition of one run as it is deployed: its resources
// are substitutions, named by Functions and EventBusName.
func Snapshot() string { return snapshot }

// EventBusName is the substitution for the bus that the outcome is published
// on when the tag step cannot do it.
const EventBusName = "EventBusName"

// Function is one function that the definition calls.
type Function struct {
	Step    string        // its name in the table of steps
	Arn     string        // its substitution in the definition
	Timeout time.Duration // its own timeout: shorter than the task's, so that no task gives up on one that still works
}

// Functions returns every function of a run in mode orchestrated, in its order: they
// are the same in every definition.
func Functions() []Function {
	return []Function{
		{"precheck", "PrecheckFunctionArn", 300 * time.Second},
		{"run-prescript", "RunPrescriptFunctionArn", 900 * time.Second},
		{"freeze", "FreezeFunctionArn", 120 * time.Second},
		{"snapshot", "SnapshotFunctionArn", 60 * time.Second},
		{"thaw", "ThawFunctionArn", 900 * time.Second},
		{"poll-status", "PollStatusFunctionArn", 60 * time.Second},
		{"await", "AwaitFunctionArn", 30 * time.Second},
		{"tag", "TagFunctionArn", 60 * time.Second},
	}
}

// SnapshotFunctions returns every function that Snapshot calls: a run's, and those
// for instances that run Windows.
func SnapshotFunctions() []Function {
	return append(Functions(),
		Function{"start-vss", "StartVssFunctionArn", 60 * time.Second},
		Function{"watch-vss", "WatchVssFunctionArn", 60 * time.Second},
		Function{"make-shadows", "MakeShadowsFunctionArn", 720 * time.Second},
		Function{"drop-shadows", "DropShadowsFunctionArn", 720 * time.Second},
	)
}

// Machine parses Snapshot with every function's ARN made by arn from its step
// name, ready to be run by the local engine.
func Machine(bus string, arn func(step string) string) (*asl.Machine, error) {
	return parse(snapshot, map[string]string{EventBusName: bus}, SnapshotFunctions(), arn)
}

//go:embed fleet.asl.json
var fleet string

//go:embed group.asl.json
var group string

// Fleet returns the definition of a policy's fleet, and Group that of
// instances which are held at one time.
func Fleet() string { return fleet }

// Group returns the definition of a group.
func Group() string { return group }

// Substitutions for the machines that the fleet starts.
const (
	SnapshotStateMachine = "SnapshotStateMachineArn"
	GroupStateMachine    = "GroupStateMachineArn"
)

// FleetFunctions returns every function that the fleet's definition calls.
func FleetFunctions() []Function {
	return []Function{
		{"resolve-targets", "ResolveTargetsFunctionArn", 300 * time.Second},
		{"report", "ReportFunctionArn", 300 * time.Second},
	}
}

// GroupFunctions returns every function that the group's definition calls: a
// run's, and its own.
func GroupFunctions() []Function {
	return append(Functions(),
		Function{"arrange", "ArrangeFunctionArn", 30 * time.Second},
		Function{"report", "ReportFunctionArn", 300 * time.Second},
	)
}

// FleetMachine parses Fleet with the ARNs of the functions and of the machines
// that it starts.
func FleetMachine(snapshot, group string, arn func(step string) string) (*asl.Machine, error) {
	with := map[string]string{SnapshotStateMachine: snapshot, GroupStateMachine: group}
	return parse(fleet, with, FleetFunctions(), arn)
}

// GroupMachine parses Group with the ARNs of the functions.
func GroupMachine(arn func(step string) string) (*asl.Machine, error) {
	return parse(group, map[string]string{}, GroupFunctions(), arn)
}

//go:embed restore.asl.json
var restoration string

// Restore returns the definition of a restore.
func Restore() string { return restoration }

// RestoreFunctions returns every function that the restore's definition calls.
func RestoreFunctions() []Function {
	return []Function{
		{"restore-plan", "RestorePlanFunctionArn", 120 * time.Second},
		{"restore-create", "RestoreCreateFunctionArn", 120 * time.Second},
		{"restore-image", "RestoreImageFunctionArn", 120 * time.Second},
		{"restore-move", "RestoreMoveFunctionArn", 120 * time.Second},
		{"restore-recover", "RestoreRecoverFunctionArn", 120 * time.Second},
		{"restore-power", "RestorePowerFunctionArn", 120 * time.Second},
		{"restore-settle", "RestoreSettleFunctionArn", 120 * time.Second},
		{"restore-report", "RestoreReportFunctionArn", 120 * time.Second},
	}
}

// RestoreMachine parses Restore with the ARNs of the functions.
func RestoreMachine(arn func(step string) string) (*asl.Machine, error) {
	return parse(restoration, map[string]string{}, RestoreFunctions(), arn)
}

//go:embed verify.asl.json
var verification string

// Verify returns the definition of a restore test.
func Verify() string { return verification }

// VerifyFunctions returns every function that the restore test's definition
// calls: those of a restore beside, and its own.
func VerifyFunctions() []Function {
	return []Function{
		{"verify-choose", "VerifyChooseFunctionArn", 120 * time.Second},
		{"restore-plan", "RestorePlanFunctionArn", 120 * time.Second},
		{"verify-mark", "VerifyMarkFunctionArn", 120 * time.Second},
		{"restore-create", "RestoreCreateFunctionArn", 120 * time.Second},
		{"restore-move", "RestoreMoveFunctionArn", 120 * time.Second},
		{"verify-recover", "VerifyRecoverFunctionArn", 120 * time.Second},
		{"verify-clean", "VerifyCleanFunctionArn", 300 * time.Second},
		{"verify-report", "VerifyReportFunctionArn", 120 * time.Second},
	}
}

// VerifyMachine parses Verify with the ARNs of the functions.
func VerifyMachine(arn func(step string) string) (*asl.Machine, error) {
	return parse(verification, map[string]string{}, VerifyFunctions(), arn)
}

func parse(definition string, with map[string]string, functions []Function, arn func(step string) string) (*asl.Machine, error) {
	for _, f := range functions {
		with[f.Arn] = arn(f.Step)
	}
	return asl.Parse([]byte(definition), with)
}

//go:embed snapshot.flow.yaml
var cloudflow string

// Flow returns the definition of one run in CloudFlow's language: Snapshot with
// another cloud's substitutions, and with the states in which that cloud's own
// plug-in takes the set.
func Flow() string { return cloudflow }

// FlowFunctions returns every function that Flow calls, in the order of a run.
func FlowFunctions() []Function {
	return append(Functions(),
		Function{"start-plugin", "StartPluginFunctionArn", 60 * time.Second},
		Function{"watch-plugin", "WatchPluginFunctionArn", 60 * time.Second},
	)
}

// FlowMachine parses Flow with every function's name made by arn from its step
// name, ready to be run by the local engine.
func FlowMachine(bus string, arn func(step string) string) (*asl.Machine, error) {
	return parseFlow(cloudflow, map[string]string{EventBusName: bus}, FlowFunctions(), arn)
}

//go:embed restore.flow.yaml
var restorationFlow string

// RestoreFlow returns the definition of a restore in CloudFlow's language. It
// calls the functions that Restore calls.
func RestoreFlow() string { return restorationFlow }

// RestoreFlowMachine parses RestoreFlow with the names of the functions.
func RestoreFlowMachine(arn func(step string) string) (*asl.Machine, error) {
	return parseFlow(restorationFlow, map[string]string{}, RestoreFunctions(), arn)
}

//go:embed verify.flow.yaml
var verificationFlow string

// VerifyFlow returns the definition of a restore test in CloudFlow's language. It
// calls the functions that Verify calls.
func VerifyFlow() string { return verificationFlow }

// VerifyFlowMachine parses VerifyFlow with the names of the functions.
func VerifyFlowMachine(arn func(step string) string) (*asl.Machine, error) {
	return parseFlow(verificationFlow, map[string]string{}, VerifyFunctions(), arn)
}

func parseFlow(definition string, with map[string]string, functions []Function, arn func(step string) string) (*asl.Machine, error) {
	for _, f := range functions {
		with[f.Arn] = arn(f.Step)
	}
	return flow.Parse([]byte(definition), with)
}

//go:embed janitor.flow.yaml
var janitorFlow string

// JanitorFlow returns what the function sweep starts in CloudFlow after an
// execution that broke off.
func JanitorFlow() string { return janitorFlow }

// JanitorFunctions returns the one function that JanitorFlow calls.
func JanitorFunctions() []Function {
	return slices.DeleteFunc(Functions(), func(f Function) bool { return f.Step != "thaw" })
}

//go:embed restorejanitor.flow.yaml
var restoreJanitorFlow string

// RestoreJanitorFlow returns what the function sweep starts in CloudFlow after a
// restore that broke off.
func RestoreJanitorFlow() string { return restoreJanitorFlow }

// RestoreJanitorFunctions returns the one function that RestoreJanitorFlow calls.
func RestoreJanitorFunctions() []Function {
	return slices.DeleteFunc(RestoreFunctions(), func(f Function) bool { return f.Step != "restore-report" })
}

// RestoreJanitorFlowMachine parses RestoreJanitorFlow with the name of its
// function.
func RestoreJanitorFlowMachine(bus string, arn func(step string) string) (*asl.Machine, error) {
	return parseFlow(restoreJanitorFlow, map[string]string{EventBusName: bus}, RestoreJanitorFunctions(), arn)
}

// JanitorFlowMachine parses JanitorFlow with the name of its function.
func JanitorFlowMachine(bus string, arn func(step string) string) (*asl.Machine, error) {
	return parseFlow(janitorFlow, map[string]string{EventBusName: bus}, JanitorFunctions(), arn)
}
