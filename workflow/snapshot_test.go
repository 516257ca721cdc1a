package workflow

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/workflow/asl"
)

const (
	window = "Open Precheck Mode RunPrescript Freeze Snapshot Thaw "
	wrapUp = "SetTaken PollStatus Complete Tag Outcome "
	noSet  = "SetTaken Tag Outcome "
)

func once(r ...reply) []reply { return r }

func TestPaths(t *testing.T) {
	tooMuch := answers(`{"blob":"` + strings.Repeat("x", asl.MaxPayload) + `"}`)
	failPolicy := once(answers(plan("fail", true, true)))
	type script map[string][]reply
	for _, c := range []struct {
		name string
		plan script
		path string
		end  string // error of the execution; empty: it succeeds
	}{
		{"all is well", nil, window + wrapUp + "Completed", ""},
		{"less was proved", script{"tag": once(answers(verdict("degraded")))}, window + wrapUp + "Degraded", ""},
		{"clean failure", script{"tag": once(answers(verdict("failed-clean")))}, window + wrapUp + "FailedClean", "FailedClean: because"},
		{"dirty failure", script{"tag": once(answers(verdict("failed-dirty")))}, window + wrapUp + "FailedDirty", "FailedDirty: because"},
		{"an outcome nobody knows", script{"tag": once(answers(verdict("?")))}, window + wrapUp + "FailedDirty", "FailedDirty: because"},

		{"freeze not asked for", script{"precheck": once(answers(plan("degrade", false, true)))},
			"Open Precheck Mode RunPrescript Freeze Snapshot Thaw " + wrapUp + "Completed", ""},
		{"nothing to freeze", script{"precheck": once(answers(plan("degrade", true, false)))},
			"Open Precheck Mode RunPrescript Freeze Snapshot Thaw " + wrapUp + "Completed", ""},

		{"precheck refuses", script{"precheck": once(fails(fault.InvalidInput)), "tag": once(answers(verdict("failed-clean")))},
			"Open Precheck Tag Outcome FailedClean", "FailedClean: because"},
		{"precheck plans too much", script{"precheck": once(tooMuch), "tag": once(answers(verdict("failed-clean")))},
			"Open Precheck Tag Outcome FailedClean", "FailedClean: because"},

		{"script fails, degrade", script{"run-prescript": once(fails(fault.ScriptFailed)), "tag": once(answers(verdict("degraded")))},
			"Open Precheck Mode RunPrescript GoOnUnquiesced Freeze Snapshot Thaw " + wrapUp + "Degraded", ""},
		{"script fails, fail", script{"precheck": failPolicy, "run-prescript": once(fails(fault.ScriptFailed)), "tag": once(answers(verdict("failed-clean")))},
			"Open Precheck Mode RunPrescript GoOnUnquiesced Thaw " + noSet + "FailedClean", "FailedClean: because"},
		{"script fails, freeze not asked for", script{"precheck": once(answers(plan("degrade", false, false))), "run-prescript": once(fails(fault.ScriptFailed))},
			"Open Precheck Mode RunPrescript GoOnUnquiesced Freeze Snapshot Thaw " + wrapUp + "Completed", ""},
		{"prescript answers too much", script{"run-prescript": once(tooMuch)},
			"Open Precheck Mode RunPrescript GoOnUnquiesced Freeze Snapshot Thaw " + wrapUp + "Completed", ""},
		{"another run is in progress", script{"run-prescript": once(fails(fault.RunInProgress)), "tag": once(answers(verdict("failed-clean")))},
			"Open Precheck Mode RunPrescript Thaw " + noSet + "FailedClean", "FailedClean: because"},
		{"the command came too late", script{"run-prescript": once(fails(fault.TooLate)), "tag": once(answers(verdict("failed-clean")))},
			"Open Precheck Mode RunPrescript Thaw " + noSet + "FailedClean", "FailedClean: because"},

		{"freeze refused, degrade", script{"freeze": once(fails(fault.FreezeRefused)), "tag": once(answers(verdict("degraded")))},
			"Open Precheck Mode RunPrescript Freeze GoOnUnfrozen Snapshot Thaw " + wrapUp + "Degraded", ""},
		{"freeze refused, fail", script{"precheck": failPolicy, "freeze": once(fails(fault.FreezeRefused)), "tag": once(answers(verdict("failed-clean")))},
			"Open Precheck Mode RunPrescript Freeze GoOnUnfrozen Thaw " + noSet + "FailedClean", "FailedClean: because"},
		{"freeze answers too much", script{"precheck": failPolicy, "freeze": once(tooMuch)},
			"Open Precheck Mode RunPrescript Freeze GoOnUnfrozen Thaw " + noSet + "Completed", ""},
		{"freeze hangs", script{"precheck": failPolicy, "freeze": once(answers("{}").within(10 * time.Minute))},
			"Open Precheck Mode RunPrescript Freeze GoOnUnfrozen Thaw " + noSet + "Completed", ""},

		{"snapshot throttled", script{"snapshot": once(fails(fault.SnapshotThrottled)), "tag": once(answers(verdict("failed-clean")))},
			window + noSet + "FailedClean", "FailedClean: because"},
		{"snapshot answers too much", script{"snapshot": once(tooMuch)}, window + noSet + "Completed", ""},
		{"snapshot's reply is lost", script{"snapshot": once(fails(fault.SnapshotOutcomeUnknown))}, window + wrapUp + "Completed", ""},

		{"thaw fails, the set is still labelled", script{"thaw": times(9, fails(fault.ThawFailed)), "tag": once(answers(verdict("failed-dirty")))},
			window + wrapUp + "FailedDirty", "FailedDirty: because"},
		{"thaw answers too much", script{"thaw": once(tooMuch), "tag": once(answers(verdict("failed-dirty")))},
			window + wrapUp + "FailedDirty", "FailedDirty: because"},
		{"snapshot and thaw fail", script{"snapshot": once(fails(fault.SnapshotRefused)), "thaw": times(9, fails(fault.ThawFailed)), "tag": once(answers(verdict("failed-dirty")))},
			window + noSet + "FailedDirty", "FailedDirty: because"},

		{"two polls", script{"poll-status": once(polled("pending", 15), polled("pending", 30))},
			window + "SetTaken PollStatus Complete Wait PollStatus Complete Wait PollStatus Complete Tag Outcome Completed", ""},
		{"the set never completes", script{"poll-status": once(polled("pending", 15), polled("timed-out", 0)), "tag": once(answers(verdict("failed-clean")))},
			window + "SetTaken PollStatus Complete Wait PollStatus Complete Tag Outcome FailedClean", "FailedClean: because"},
		{"polling is denied", script{"poll-status": once(fails(fault.AccessDenied)), "tag": once(answers(verdict("failed-dirty")))},
			window + "SetTaken PollStatus Tag Outcome FailedDirty", "FailedDirty: because"},
		{"polling answers too much", script{"poll-status": once(tooMuch)}, window + "SetTaken PollStatus Tag Outcome Completed", ""},

		{"tag fails", script{"tag": once(fails(fault.AccessDenied))},
			window + "SetTaken PollStatus Complete Tag Planned PublishFailure FailedUnlabelled", unlabelled(fault.AccessDenied)},
		{"tag and the bus fail", script{"tag": once(fails(fault.InvalidInput)), "events": times(7, failsAs("EventBridge.FailedEntry"))},
			window + "SetTaken PollStatus Complete Tag Planned PublishFailure FailedUnlabelled", unlabelled(fault.InvalidInput)},
		{"precheck and tag fail", script{"precheck": once(fails(fault.AccessDenied)), "tag": once(fails(fault.AccessDenied))},
			"Open Precheck Tag Planned Unplanned PublishFailure FailedUnlabelled", unlabelled(fault.AccessDenied)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{plan: c.plan}
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

func unlabelled(code fault.Code) string {
	return fmt.Sprintf("FailedDirty: The tag step failed, no verdict was reached: %s: %s", code, fails(code).err.Cause)
}

// Whatever fails, in whatever way and for how long: a run that may have
// touched the application thaws, and snapshots nothing after that.
func TestThawOnEveryPath(t *testing.T) {
	var ways []string
	for _, c := range fault.Codes() {
		ways = append(ways, string(c))
	}
	ways = append(ways, "Lambda.Unknown", "Lambda.TooManyRequestsException", "Runtime.ExitError", "Sandbox.Timedout",
		asl.Timeout, asl.DataLimitExceeded, asl.TaskFailed, asl.Permissions, "Error.Nobody.Knows")
	slices.Sort(ways)
	m := machine(t)
	for _, f := range Functions() {
		for _, policy := range []string{"degrade", "fail"} {
			for _, way := range ways {
				for _, repeat := range []int{1, 2, 100} {
					synctest.Test(t, func(t *testing.T) {
						w := &world{plan: map[string][]reply{
							"precheck": once(answers(plan(policy, true, true))),
						}}
						if f.Step == "await" {
							w.plan["poll-status"] = once(polled("pending", 60))
						}
						w.plan[f.Step] = append(times(repeat, failsAs(way)), w.plan[f.Step]...)
						got := execute(t.Context(), m, w, `{}`)
						var order []string
						for _, c := range w.calls {
							order = append(order, c.step)
						}
						story := fmt.Sprintf("%s fails %d times with %s, %s: %v", f.Step, repeat, way, policy, order)
						touched, thawed := slices.Index(order, "run-prescript"), slices.Index(order, "thaw")
						if touched >= 0 && thawed < touched {
							t.Errorf("no thaw: %s", story)
						}
						if touched < 0 && thawed >= 0 {
							t.Errorf("thaw of what was never touched: %s", story)
						}
						if thawed >= 0 && slices.Contains(order[thawed:], "snapshot") {
							t.Errorf("snapshot after thaw: %s", story)
						}
						if got.err != nil && got.err.Name != "FailedDirty" && got.err.Name != "FailedClean" {
							t.Errorf("%v: %s", got.err, story)
						}
						if w.count("tag") == 0 {
							t.Errorf("no outcome: %s", story)
						}
					})
				}
			}
		}
	}
}

func TestRetries(t *testing.T) {
	for _, c := range []struct {
		step  string
		error string
		calls int
	}{
		{"precheck", "Throttled", 7}, {"precheck", "Lambda.ServiceException", 7}, {"precheck", "AgentOffline", 5},
		{"precheck", "SnapshotTooSoon", 5}, {"precheck", "Internal", 3}, {"precheck", "InvalidInput", 1}, {"precheck", "VolumeUnsupported", 1},
		{"run-prescript", "Unavailable", 4}, {"run-prescript", "AgentOffline", 3}, {"run-prescript", "Sandbox.Timedout", 2},
		{"run-prescript", "ScriptFailed", 1}, {"run-prescript", "ScriptTimedOut", 1}, {"run-prescript", "CommandTimedOut", 1},
		{"freeze", "Lambda.TooManyRequestsException", 3}, {"freeze", "Runtime.ExitError", 2}, {"freeze", "FreezeTimedOut", 1},
		{"freeze", "ForeignFreeze", 1}, {"freeze", "AgentOffline", 1}, {"freeze", "States.Timeout", 1},
		{"snapshot", "SnapshotOutcomeUnknown", 4}, {"snapshot", "States.Timeout", 2}, {"snapshot", "SnapshotThrottled", 1}, {"snapshot", "SnapshotRefused", 1},
		{"thaw", "ThawFailed", 9}, {"thaw", "CommandTimedOut", 9}, {"thaw", "Error.Nobody.Knows", 9}, {"thaw", "Sandbox.Timedout", 3},
		{"thaw", "AccessDenied", 1}, {"thaw", "ScriptFailed", 1}, {"thaw", "InstanceNotRunning", 1},
		{"poll-status", "Throttled", 13}, {"poll-status", "Internal", 4}, {"poll-status", "AccessDenied", 1},
		{"await", "Throttled", 4}, {"await", "Sandbox.Timedout", 4}, {"await", "AccessDenied", 1}, {"await", "States.Timeout", 12},
		{"tag", "Unavailable", 11}, {"tag", "Runtime.ExitError", 4}, {"tag", "InvalidInput", 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{plan: map[string][]reply{c.step: times(100, failsAs(c.error))}}
			if c.step == "await" {
				w.plan["poll-status"] = once(polled("pending", 60))
			}
			execute(t.Context(), machine(t), w, `{}`)
			if got := w.count(c.step); got != c.calls {
				t.Errorf("%s after %s: called %d times, want %d", c.step, c.error, got, c.calls)
			}
		})
	}
}

// What Catch cannot see is the janitor's: these ends are known, not wished.
func TestEndsPastCatch(t *testing.T) {
	m := machine(t)
	t.Run("StopExecution leaves the window open", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancelCause(t.Context())
			time.AfterFunc(2*time.Second, func() { stop(&asl.Error{Name: "Operator", Cause: "changed her mind"}) })
			w := &world{plan: map[string][]reply{"snapshot": once(answers("{}").within(5 * time.Second))}}
			got := execute(ctx, m, w, `{}`)
			if got.err == nil || got.err.Status != asl.Aborted || got.err.Name != "Operator" || got.took != 2*time.Second {
				t.Errorf("got %v after %v", got.err, got.took)
			}
			if w.count("thaw") != 0 || got.states[len(got.states)-1] != "Snapshot" {
				t.Errorf("went on: %s", got.path())
			}
			if w.ended["snapshot"] != 1 {
				t.Error("the function that was given up on did not go on")
			}
		})
	})
	t.Run("the machine's timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := &world{event: -1, plan: map[string][]reply{"poll-status": times(100_000, polled("pending", 300))}}
			got := execute(t.Context(), m, w, `{}`)
			if got.err == nil || got.err.Status != asl.TimedOut || got.took != 93600*time.Second || w.count("tag") != 0 {
				t.Errorf("got %v after %v", got.err, got.took)
			}
		})
	})
	t.Run("States.Runtime", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := &world{plan: map[string][]reply{"precheck": once(answers(`{}`)), "run-prescript": once(fails(fault.ScriptFailed))}}
			got := execute(t.Context(), m, w, `{}`)
			if got.err == nil || got.err.Name != asl.Runtime || w.count("thaw") != 0 {
				t.Errorf("got %v: %s", got.err, got.path())
			}
		})
	})
}

// A transition is paid for: starting counts as one, and so does every state.
func TestTransitions(t *testing.T) {
	for polls, want := range []int{14, 17, 20} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{plan: map[string][]reply{"poll-status": times(polls, polled("pending", 15))}}
			if got := len(execute(t.Context(), machine(t), w, `{}`).states) + 1; got != want || want > 20+3*polls {
				t.Errorf("%d polls: got %d transitions, want %d", polls, got, want)
			}
		})
	}
}

// A Catch that finds no room for the error ends the execution past the thaw.
// Precheck and the steps' messages are bounded to what holds here.
func TestRoomForEveryFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := fails(fault.Internal)
		long.err = &asl.Error{Name: string(fault.InvalidInput), Cause: strings.Repeat("x", 8<<10)}
		big := strings.Replace(plan("degrade", true, true), `"gold"`, `"`+strings.Repeat("x", 128<<10)+`"`, 1)
		w := &world{plan: map[string][]reply{"precheck": once(answers(big)), "thaw": once(long), "snapshot": once(long), "freeze": once(long), "tag": once(long)}}
		want := "Open Precheck Mode RunPrescript Freeze GoOnUnfrozen Snapshot Thaw SetTaken Tag Planned PublishFailure FailedUnlabelled"
		request := `{"policy":{"name":"` + strings.Repeat("x", 64<<10) + `"}}`
		if got := execute(t.Context(), machine(t), w, request); got.path() != want {
			t.Errorf("got  %s: %v\nwant %s", got.path(), got.err, want)
		}
	})
}

// The console lets a person type anything: precheck is to refuse it, no path
// may miss before.
func TestAnyInputReachesPrecheck(t *testing.T) {
	for _, input := range []string{"", "{}", "null", "1", `"i-0abc"`, "[]", `{"instanceId":{}}`} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{plan: map[string][]reply{"precheck": once(fails(fault.InvalidInput)), "tag": once(answers(verdict("failed-clean")))}}
			if got := execute(t.Context(), machine(t), w, input); got.path() != "Open Precheck Tag Outcome FailedClean" {
				t.Errorf("input %s: %s: %v", input, got.path(), got.err)
			}
		})
	}
}

func TestFailureEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{plan: map[string][]reply{"tag": once(fails(fault.AccessDenied))}}
		execute(t.Context(), machine(t), w, `{}`)
		want := `{"Entries":[{"Detail":{"code":"AccessDenied","frozenMs":0,"instanceId":"i-0abc","nextMove":"Look at the instance first, then at the run's snapshots and the execution's history.","outcome":"failed-dirty","policy":"gold","provider":"aws","reason":"The tag step failed: a set may exist without a label, and the evidence was not judged.","region":"eu-west-1","runId":"run-1"},"DetailType":"Consistent Snapshot Failed","EventBusName":"quiesce","Source":"quiesce"}]}`
		if got := w.last("events"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}
