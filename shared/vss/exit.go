package vss

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Exit is what the end of a command means to a run.
type Exit struct {
	Meaning string
	Code    fault.Code // empty: it did what it was asked
	Tries   int        // how often the command is sent again, if it has left nothing
	Wait    int        // seconds before it is
	Lost    bool       // it may still be under way, and make snapshots
}

// Statuses are Systems Manager's own ends of a command that did not succeed, by
// the words of its details. Failed is told by what the steps say.
var Statuses = map[string]Exit{
	"Cancelled":         {Meaning: "somebody cancelled the command, and what it had begun may go on", Code: fault.CommandFailed, Lost: true},
	"DeliveryTimedOut":  {Meaning: "the command was not delivered in time, or its answer did not come back", Code: fault.AgentOffline, Lost: true},
	"ExecutionTimedOut": {Meaning: "the command did not end in its time, and what it had begun may go on", Code: fault.CommandTimedOut, Lost: true},
	"Undeliverable":     {Meaning: "the command could not be delivered", Code: fault.AgentOffline, Tries: 1, Wait: 60},
	"Terminated":        {Meaning: "Systems Manager gave the command up before it ran", Code: fault.CommandFailed},
	"InvalidPlatform":   {Meaning: "the document does not fit the instance's system", Code: fault.VssRefused},
	"AccessDenied":      {Meaning: "Systems Manager was denied the instance", Code: fault.AccessDenied},
}

// Saying is a sentence, or a code, that AWS or Microsoft document for a command
// that failed. The document has one exit code for all of them, so that nothing
// but its output tells them apart; they decide what a person is told, and
// whether it is worth another try, never what a set is labelled.
type Saying struct {
	Text string
	Exit
}

var slow = Exit{Meaning: "VSS did not freeze and thaw within its ten seconds", Code: fault.VssTimedOut, Tries: 2, Wait: 60}

// Sayings, the first that is found counts.
var Sayings = []Saying{
	{"Thaw pipe connection timed out", slow},
	{"error on thaw", slow},
	{"timeout waiting for VSS Freeze", slow},
	{"0x80042314", slow}, // VSS_E_HOLD_WRITES_TIMEOUT
	{"0x80042313", slow}, // VSS_E_FLUSH_WRITES_TIMEOUT
	{"Method invocation is supported only on core types in this language mode", Exit{Meaning: "PowerShell is not in FullLanguage mode", Code: fault.VssRefused}},
	{"UnauthorizedOperation", Exit{Meaning: "the instance's profile lacks a right that AWSEC2VssSnapshotPolicy has", Code: fault.InstanceProfileMissing}},
	{"RequestLimitExceeded", Exit{Meaning: "EC2 refused the snapshots for their rate", Code: fault.SnapshotThrottled, Tries: 2, Wait: 60}},
	{"SnapshotCreationPerVolumeRateExceeded", Exit{Meaning: "a snapshot of the same volume was made a moment before", Code: fault.SnapshotTooSoon, Tries: 2, Wait: 60}},
	{"ConcurrentSnapshotLimitExceeded", Exit{Meaning: "the snapshots before are still being created", Code: fault.SnapshotTooSoon, Tries: 2, Wait: 300}},
	{"SnapshotLimitExceeded", Exit{Meaning: "the quota of snapshots is used up", Code: fault.SnapshotQuotaExceeded}},
	{"0x800423F0", writer}, // VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT
	{"0x800423F1", writer}, // ..._OUTOFRESOURCES
	{"0x800423F2", writer}, // ..._TIMEOUT
	{"0x800423F3", writer}, // ..._RETRYABLE
	{"0x800423F4", writer}, // ..._NONRETRYABLE
}

var writer = Exit{Meaning: "a writer of VSS failed", Code: fault.VssWriterFailed}

// Weigh tells what the end of a command means. A command that nobody heard the
// end of has no status.
func Weigh(inv cloud.Invocation) (exit Exit, said string) {
	if inv.Status == "Success" {
		return Exit{Meaning: "the document ended well"}, ""
	}
	if e, ok := Statuses[inv.Status]; ok {
		return e, ""
	}
	if inv.Status != "Failed" {
		return Exit{Meaning: fmt.Sprintf("nobody heard how the command ended (%s)", inv.Status), Code: fault.CommandTimedOut, Lost: true}, ""
	}
	var output string
	for _, s := range inv.Steps {
		output += s.Output + "\n"
	}
	for _, s := range Sayings {
		if at := strings.Index(strings.ToLower(output), strings.ToLower(s.Text)); at >= 0 {
			return s.Exit, line(output, at)
		}
	}
	step := failed(inv)
	switch {
	case step == nil:
		return Exit{Meaning: "AWS's component failed", Code: fault.VssFailed}, ""
	case step.Name != Step:
		return Exit{Meaning: "AwsVssComponents could not be installed or updated", Code: fault.VssComponentsMissing}, first(step.Output)
	}
	return Exit{Meaning: "AWS's component failed", Code: fault.VssFailed}, first(step.Output)
}

// failed is the first step that did not succeed; it is what the later ones fail
// of.
func failed(inv cloud.Invocation) *cloud.StepResult {
	if i := slices.IndexFunc(inv.Steps, func(s cloud.StepResult) bool { return s.Status == "Failed" || s.ExitCode > 0 }); i >= 0 {
		return &inv.Steps[i]
	}
	return nil
}

// first is the first line of an output that says something: Systems Manager puts
// a line of dashes before what was written as an error.
func first(output string) string {
	for l := range strings.Lines(output) {
		if strings.Trim(l, "-\r\n \t") != "" && !strings.HasPrefix(l, "-----") {
			return line(l, 0)
		}
	}
	return ""
}

// most is how much of an output stands in a sentence.
const most = 120

// line is the line of an output at a place, short enough for a tag.
func line(output string, at int) string {
	output = strings.TrimLeft(output[strings.LastIndex(output[:at], "\n")+1:], "\r\n ")
	text, _, _ := strings.Cut(output, "\n")
	text = strings.TrimSpace(strings.ToValidUTF8(text, ""))
	if utf8.RuneCountInString(text) > most {
		return string([]rune(text)[:most]) + "…"
	}
	return text
}
