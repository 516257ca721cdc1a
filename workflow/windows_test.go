package workflow

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/workflow/asl"
)

// windowsPlan is what precheck answers for an instance that runs Windows.
func windowsPlan(mode, onFailure string) reply {
	return answers(strings.Replace(plan(onFailure, true, false), `"orchestrated"`, `"`+mode+`"`, 1))
}

func watched(state string, wait int) reply {
	set := "null"
	if state == "taken" {
		set = `{"snapshots":[{"id":"snap-1","volumeId":"vol-1","state":"pending"}]}`
	}
	return answers(fmt.Sprintf(`{"state":%q,"commandId":"c","waitSeconds":%d,"set":%s}`, state, wait, set))
}

func TestWindowsPaths(t *testing.T) {
	const (
		started  = "Open Precheck Mode StartVss WaitVss VssWaited WatchVss VssEnded "
		again    = "WaitVss VssWaited WatchVss VssEnded "
		resent   = "WaitVss VssWaited StartVss WaitVss VssWaited WatchVss VssEnded "
		kept     = "KeepVssSet " + wrapUp
		shadowed = "Open Precheck Mode MakeShadows SnapshotShadows DropShadows "
	)
	sent := watched("running", 5)
	for _, c := range []struct {
		name, mode, onFailure string
		plan                  map[string][]reply
		path, end             string
	}{
		{"AWS's document takes the set", "vss", "degrade", map[string][]reply{"start-vss": once(sent), "watch-vss": once(watched("running", 10), watched("taken", 0))},
			started + again + kept + "Completed", ""},
		{"and is sent again", "vss", "degrade", map[string][]reply{"start-vss": once(sent, sent), "watch-vss": once(watched("again", 60), watched("taken", 0))},
			started + resent + kept + "Completed", ""},
		{"it takes none, degrade", "vss", "degrade", map[string][]reply{"start-vss": once(sent), "watch-vss": once(watched("ended", 0))},
			started + "GoOnWithoutVss SnapshotUnheld " + wrapUp + "Completed", ""},
		{"it takes none, fail", "vss", "fail", map[string][]reply{"start-vss": once(sent), "watch-vss": once(watched("ended", 0)), "tag": once(answers(verdict("failed-clean")))},
			started + "GoOnWithoutVss Tag Outcome FailedClean", "FailedClean: because"},
		{"it may take one yet: that is waited for", "vss", "degrade", map[string][]reply{"start-vss": once(sent), "watch-vss": once(watched("lost", 1500), watched("ended", 0))},
			started + again + "GoOnWithoutVss SnapshotUnheld " + wrapUp + "Completed", ""},
		{"it cannot be sent, degrade", "vss", "degrade", map[string][]reply{"start-vss": once(fails(fault.AccessDenied))},
			"Open Precheck Mode StartVss GoOnWithoutVss SnapshotUnheld " + wrapUp + "Completed", ""},
		{"it may have been sent", "vss", "degrade", map[string][]reply{"start-vss": times(6, fails(fault.CommandUnknown)), "tag": once(answers(verdict("failed-dirty")))},
			"Open Precheck Mode StartVss WaitOutVss Tag Outcome FailedDirty", "FailedDirty: because"},
		{"nobody can look at it", "vss", "degrade", map[string][]reply{"start-vss": once(sent), "watch-vss": once(fails(fault.AccessDenied)), "tag": once(answers(verdict("failed-dirty")))},
			"Open Precheck Mode StartVss WaitVss VssWaited WatchVss WaitOutVss Tag Outcome FailedDirty", "FailedDirty: because"},
		{"our own call fails too", "vss", "degrade", map[string][]reply{"start-vss": once(sent), "watch-vss": once(watched("ended", 0)), "snapshot": once(fails(fault.SnapshotRefused)), "tag": once(answers(verdict("failed-clean")))},
			started + "GoOnWithoutVss SnapshotUnheld SetTaken Tag Outcome FailedClean", "FailedClean: because"},

		{"shadow copies, then the set", "diskshadow", "degrade", nil, shadowed + wrapUp + "Completed", ""},
		{"no shadow copies, degrade", "diskshadow", "degrade", map[string][]reply{"make-shadows": once(fails(fault.VssWriterFailed)), "tag": once(answers(verdict("degraded")))},
			"Open Precheck Mode MakeShadows GoOnUnshadowed SnapshotShadows DropShadows " + wrapUp + "Degraded", ""},
		{"no shadow copies, fail", "diskshadow", "fail", map[string][]reply{"make-shadows": once(fails(fault.ShadowFailed)), "tag": once(answers(verdict("failed-clean")))},
			"Open Precheck Mode MakeShadows GoOnUnshadowed DropShadows SetTaken Tag Outcome FailedClean", "FailedClean: because"},
		{"another run has its own there", "diskshadow", "degrade", map[string][]reply{"make-shadows": once(fails(fault.RunInProgress)), "tag": once(answers(verdict("failed-clean")))},
			"Open Precheck Mode MakeShadows DropShadows SetTaken Tag Outcome FailedClean", "FailedClean: because"},
		{"the set fails", "diskshadow", "degrade", map[string][]reply{"snapshot": once(fails(fault.SnapshotRefused)), "tag": once(answers(verdict("failed-clean")))},
			shadowed + "SetTaken Tag Outcome FailedClean", "FailedClean: because"},
		{"they cannot be deleted", "diskshadow", "degrade", map[string][]reply{"drop-shadows": once(fails(fault.AccessDenied))},
			shadowed + wrapUp + "Completed", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{plan: map[string][]reply{"precheck": once(windowsPlan(c.mode, c.onFailure))}}
				for step, replies := range c.plan {
					w.plan[step] = replies
				}
				got := execute(t.Context(), machine(t), w, `{"instanceId":"i-0abc"}`)
				if got.path() != c.path {
					t.Errorf("path\n got %s\nwant %s", got.path(), c.path)
				}
				end := ""
				if got.err != nil {
					end = got.err.Name + ": " + got.err.Cause
				}
				if end != c.end {
					t.Errorf("end: got %q, want %q", end, c.end)
				}
				for _, step := range w.unspent() {
					t.Errorf("%s: a planned reply never came", step)
				}
			})
		})
	}
}

// Whatever fails on Windows, in whatever way and for how long: the run has an
// outcome, a document is not sent beside one that may be under way, and shadow
// copies that may be there are dropped.
func TestWindowsEndsWhateverFails(t *testing.T) {
	ways := []string{"Lambda.Unknown", "Lambda.TooManyRequestsException", "Runtime.ExitError", "Sandbox.Timedout",
		asl.Timeout, asl.DataLimitExceeded, asl.TaskFailed, asl.Permissions, "Error.Nobody.Knows"}
	for _, c := range fault.Codes() {
		ways = append(ways, string(c))
	}
	slices.Sort(ways)
	m := machine(t)
	for mode, steps := range map[string][]string{"vss": {"start-vss", "watch-vss", "snapshot", "poll-status", "tag"}, "diskshadow": {"make-shadows", "snapshot", "drop-shadows", "poll-status", "tag"}} {
		for _, step := range steps {
			for _, policy := range []string{"degrade", "fail"} {
				for _, way := range ways {
					for _, repeat := range []int{1, 100} {
						synctest.Test(t, func(t *testing.T) {
							w := &world{plan: map[string][]reply{
								"precheck": once(windowsPlan(mode, policy)), "start-vss": once(watched("running", 5)), "watch-vss": once(watched("taken", 0)),
							}}
							if step == "snapshot" && mode == "vss" {
								w.plan["watch-vss"] = once(watched("ended", 0))
							}
							w.plan[step] = append(times(repeat, failsAs(way)), w.plan[step]...)
							began := time.Now()
							got := execute(t.Context(), m, w, `{}`)
							story := fmt.Sprintf("%s: %s fails %d times with %s, %s: %v", mode, step, repeat, way, policy, got.states)
							if got.err != nil && got.err.Name != "FailedDirty" && got.err.Name != "FailedClean" {
								t.Errorf("%v: %s", got.err, story)
							}
							if w.count("tag") == 0 {
								t.Errorf("no outcome: %s", story)
							}
							if made := slices.Index(got.states, "MakeShadows"); made >= 0 && !slices.Contains(got.states[made:], "DropShadows") {
								t.Errorf("shadow copies are left: %s", story)
							}
							if w.count("run-prescript")+w.count("freeze")+w.count("thaw") > 0 {
								t.Errorf("a helper was asked on Windows: %s", story)
							}
							if took := time.Since(began); took > 4*time.Hour {
								t.Errorf("took %v: %s", took, story)
							}
						})
					}
				}
			}
		}
	}
}
