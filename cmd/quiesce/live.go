package main

import (
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/quiesce/quiesce/shared/cloud/awscloud/history"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// live tells what happens, a line a step.
type live struct {
	out io.Writer
}

func (l *live) Say(format string, args ...any) { fmt.Fprintf(l.out, format+"\n", args...) }

func (l *live) Passage(p history.Passage) {
	say := outcomes[p.State]
	switch {
	case !p.Done && tests[p.State] != "":
		l.line(p.State, "", tests[p.State])
	case !p.Done && p.State == "WaitVss":
		l.line(p.State, "", "the document's command is under way")
	case !p.Done && (p.State == "Wait" || p.Type == "Wait"):
		l.line(p.State, "", "the set is not complete yet")
	case p.Done && p.Failed != "":
		l.line(p.State, millis(p.Took), text.FgYellow.Sprint("failed:")+" "+p.Failed)
	case p.Done && say != nil:
		l.line(p.State, millis(p.Took), say(p.After))
	}
}

func (l *live) line(state, took, said string) {
	fmt.Fprintf(l.out, "  %-14s %8s  %s\n", state, took, said)
}

// outcomes says what each task has done, by the document that it left; the other
// states are not worth a line.
var outcomes = map[string]func(run.State) string{
	"Precheck": func(s run.State) string {
		if s.Plan != nil && s.Plan.Policy.Mode != policy.Orchestrated {
			return "the plan is made"
		}
		return "the plan is made, the helper is in place"
	},
	"RunPrescript": func(s run.State) string {
		if s.Prescript == nil || !s.Prescript.Quiesced {
			return "there is no application to bring to rest"
		}
		return "the application is at rest"
	},
	"Freeze": func(s run.State) string {
		if s.Freeze == nil || s.Freeze.Mounts == 0 {
			return "there is no filesystem to freeze"
		}
		return fmt.Sprintf("%d filesystems are frozen, every tripwire is blocked", s.Freeze.Mounts)
	},
	"Snapshot": func(s run.State) string {
		if s.Set != nil && s.Set.Found {
			return "the set was there already, found by its run"
		}
		return "one call for the whole set"
	},
	"Thaw": func(s run.State) string {
		if s.Thaw == nil || s.Thaw.Evidence == nil {
			return "nothing was held"
		}
		return "thawed, released, the evidence is home"
	},
	"StartVss":        always("AWS's document is sent"),
	"WatchVss":        always("its command, looked at"),
	"SnapshotUnheld":  always("one call for the whole set, nothing held"),
	"MakeShadows":     always("Windows has made shadow copies with its writers"),
	"SnapshotShadows": always("one call for the whole set, the shadow copies in it"),
	"DropShadows":     always("the shadow copies are deleted from the instance"),
	"StartPlugin":     always("the plug-in's command is sent"),
	"WatchPlugin":     always("the plug-in's command, looked at"),
	"PollStatus": func(s run.State) string {
		if s.Status == nil {
			return "the set's state"
		}
		return "the set is " + s.Status.State
	},
	"Wait": always("told that the set is complete"),
	"Tag":  always("the set is labelled, the outcome published"),

	// Of a restore test.
	"Choose":  always("the set and its limits"),
	"Plan":    always("the plan of a restore beside"),
	"Mark":    always("the set is under test"),
	"Create":  always("copies of its disks are made"),
	"Attach":  always("they are beside the instance's own"),
	"Recover": always("the helper has brought them to life"),
	"CleanUp": always("the copies are gone again"),
	"Report":  always("the verdict is on the set, and published"),
}

// tests are the waits of a restore test.
var tests = map[string]string{
	"WaitCreated": "the copies are in the making", "WaitAttached": "the copies are being attached",
	"WaitRecovered": "the helper is at it", "WaitClean": "the copies are being taken away",
}

func always(said string) func(run.State) string { return func(run.State) string { return said } }

func millis(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d.Microseconds())/1000) }
