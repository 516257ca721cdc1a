package plugin

import (
	"encoding/base64"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Exit is what one exit code means to a run.
type Exit struct {
	Meaning string
	Code    fault.Code // empty: it did what it was asked
	Tries   int        // how often the command is sent again
	Wait    int        // seconds before it is
	Inspect bool       // a group may exist all the same: it is looked for first, and kept
	Dirty   bool       // it is not known that the instance was let go: a person must look
}

// Exits are the plug-in's documented codes. A command is sent again only where
// its pages tell that nothing was left behind.
var Exits = map[int]Exit{
	0:   {Meaning: "it took the set", Inspect: true},
	1:   {Meaning: "a precondition does not hold", Code: fault.PluginRefused},
	2:   {Meaning: "its parameters are wrong", Code: fault.InvalidInput},
	3:   {Meaning: "one of several errors, which its pages do not list", Code: fault.PluginFailed, Dirty: true},
	4:   {Meaning: "the group could not be created", Code: fault.SnapshotRefused, Tries: 2, Wait: 60},
	5:   {Meaning: "the group is in an unexpected state", Code: fault.SnapshotFailed, Inspect: true},
	6:   {Meaning: "the group's creation timed out", Code: fault.SnapshotTimedOut, Inspect: true, Tries: 1, Wait: 60},
	7:   {Meaning: "a snapshot of the group is in an unexpected state", Code: fault.SnapshotFailed, Inspect: true},
	8:   {Meaning: "its tags could not be written", Code: fault.PluginUntagged, Inspect: true},
	9:   {Meaning: "a script could not be executed", Code: fault.PluginScriptFailed, Inspect: true, Dirty: true},
	10:  {Meaning: "the post-script could not be executed", Code: fault.PluginScriptFailed, Inspect: true, Dirty: true},
	11:  {Meaning: "the freeze failed", Code: fault.FreezeRefused, Tries: 2, Wait: 60},
	12:  {Meaning: "the thaw failed", Code: fault.ThawFailed, Inspect: true, Dirty: true},
	13:  {Meaning: "no RAM role is attached to the instance", Code: fault.InstanceRoleMissing},
	14:  {Meaning: "the quota of snapshots is used up", Code: fault.SnapshotQuotaExceeded},
	15:  {Meaning: "a snapshot is in an unexpected state", Code: fault.SnapshotFailed, Inspect: true},
	16:  {Meaning: "the snapshot before is still being created", Code: fault.SnapshotTooSoon, Tries: 3, Wait: 300},
	255: {Meaning: "an unknown error", Code: fault.PluginFailed, Tries: 1, Wait: 60, Inspect: true, Dirty: true},
}

// undocumented is any other code: nothing is known of it.
var undocumented = Exit{Meaning: "a code that is not documented", Code: fault.PluginFailed, Inspect: true, Dirty: true}

// refusedBy are the errors of Cloud Assistant for a command that never ran.
var refusedBy = map[string]Exit{
	"InstanceNotExists": {Meaning: "the instance does not exist", Code: fault.InstanceNotFound}, "InstanceReleased": {Meaning: "the instance is gone", Code: fault.InstanceNotFound},
	"InstanceNotRunning": {Meaning: "the instance is not running", Code: fault.InstanceNotRunning}, "ClientNotRunning": {Meaning: "Cloud Assistant does not run", Code: fault.AgentOffline},
	"ClientIsUpgrading": {Meaning: "Cloud Assistant is being upgraded", Code: fault.AgentOffline, Tries: 2, Wait: 60}, "ClientNeedUpgrade": {Meaning: "Cloud Assistant must be upgraded", Code: fault.AgentOffline},
	"DeliveryTimeout":      {Meaning: "the command was not delivered in time", Code: fault.AgentOffline, Tries: 1, Wait: 60},
	"CommandNotApplicable": {Meaning: "the command does not fit the instance", Code: fault.PluginRefused}, "SecurityGroupRuleDenied": {Meaning: "the security group keeps Cloud Assistant out", Code: fault.AgentOffline},
	"AccountNotExists": {Meaning: "the account does not exist on the instance", Code: fault.PluginRefused}, "DirectoryNotExists": {Meaning: "the folder does not exist on the instance", Code: fault.PluginRefused},
}

var status = regexp.MustCompile(`^([A-Za-z]+)(?: \(([A-Za-z]+)\))?$`)

// Weigh tells what the end of a command means, which the agent may have had to
// tell in the plug-in's place.
func Weigh(r cloud.Result) Exit {
	var word, reason string
	if m := status.FindStringSubmatch(r.Status); m != nil {
		word, reason = m[1], m[2]
	}
	if e, ok := refusedBy[reason]; ok {
		return e
	}
	switch {
	case word == "Cancelled":
		return Exit{Meaning: "somebody cancelled the command before it ran", Code: fault.CommandFailed}
	case r.TimedOut && (word == "Timeout" || reason == "ExecutionTimeout"):
		return Exit{Meaning: "the command did not end in its time, and what has begun goes on", Code: fault.CommandTimedOut, Inspect: true, Dirty: true}
	case r.TimedOut:
		return Exit{Meaning: "Cloud Assistant gave the command up: " + r.Status, Code: fault.CommandFailed, Inspect: true, Dirty: true}
	}
	if e, ok := Exits[r.ExitCode]; ok {
		return e
	}
	return undocumented
}

// Decode reads the output as it was meant: Cloud Assistant hands it over in
// Base64 unless it is asked for plain text. What the plug-in writes has
// brackets and spaces, which Base64 has not.
func Decode(output string) string {
	plain := strings.TrimSpace(output)
	raw, err := base64.StdEncoding.Strict().DecodeString(plain)
	if err != nil || plain == "" || !utf8.Valid(raw) {
		return output
	}
	return string(raw)
}

var (
	group   = regexp.MustCompile(`\[snapshotgroup="(ssg-[A-Za-z0-9]+)"\]`)
	message = regexp.MustCompile(`\[message="([^"]*)"\]`)
)

// Group is the id of the snapshot group that the output names, and the last
// sentence that the plug-in said.
func Group(output string) (id, said string) {
	if all := group.FindAllStringSubmatch(output, -1); len(all) > 0 {
		id = all[len(all)-1][1]
	}
	if all := message.FindAllStringSubmatch(output, -1); len(all) > 0 {
		said = all[len(all)-1][1]
	}
	return id, said
}

// WindowsApp is how the plug-in for Windows spells cloud.TagApp.
const WindowsApp = "APPConsistent"

// Label is what the plug-in wrote on one snapshot. Its pages spell the tags in
// more than one way.
func Label(tags map[string]string) (app, fs bool) {
	for key, value := range tags {
		if !strings.EqualFold(value, "true") {
			continue
		}
		app = app || strings.EqualFold(key, cloud.TagApp)
		fs = fs || strings.EqualFold(key, cloud.TagFs)
	}
	return app, fs
}
