// Package verifyreport says how a restore test ended: on the set, by an event and
// by metrics. Every test ends through here.
package verifyreport

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/step"
	"github.com/quiesce/quiesce/shared/telemetry"
	"github.com/quiesce/quiesce/shared/verify"
)

// Input is everything that the execution knows, and how often the state machine
// has tried to report before.
type Input struct {
	verify.State
	Attempt int `json:"attempt"`
}

// Check refuses an input that names no run.
func (in Input) Check() error {
	if in.Run.ID == "" {
		return fault.Input("run.id", "is missing")
	}
	return nil
}

// Cloud is what the step asks of a provider.
type Cloud interface {
	verify.Disks
	cloud.Bus
	Marked(ctx context.Context, key, value string) ([]cloud.Disk, error)
}

// insist is how many attempts are spent on a bus that does not answer, before
// the verdict stands without its event: the set is labelled all the same.
const insist = 3

// Do ends the test. Codes: what looking, tagging and publishing return; all may
// be done again.
func Do(ctx context.Context, c Cloud, metrics *telemetry.Metrics, in Input) (*verify.Verdict, error) {
	started := time.Now()
	v := Judge(in.State)
	if v.Outcome == verify.Planned {
		v.Record = run.Record{StartedAt: started, EndedAt: time.Now()}
		return v, nil
	}
	left, err := c.Marked(ctx, cloud.TagScratch, in.Run.ID)
	if err != nil {
		return nil, err
	}
	remains(v, in, left)
	if in.Choice != nil {
		if err := verify.Label(ctx, c, in.Run.ID, in.Choice.SetID, v.Result, v.RecoverySeconds); err != nil {
			return nil, err
		}
	}
	begun := in.Run.StartedAt
	if begun.IsZero() && in.Choice != nil { // CloudFlow does not tell
		begun = in.Choice.Record.StartedAt
	}
	if !begun.IsZero() {
		v.Seconds = time.Since(begun).Seconds()
	}
	v.Record = run.Record{StartedAt: started, EndedAt: time.Now()}
	detail := v.Detail(in.Run, verify.Read(in.Request))
	switch err := c.Publish(ctx, []events.Event{{Type: events.TypeTest, Time: v.Record.EndedAt, Resources: detail.SnapshotIDs, Detail: detail}}); {
	case err != nil && in.Attempt < insist:
		return nil, err
	case err != nil:
		slog.Error("the verdict was not published", "run", in.Run.ID, "verdict", v.Result, "error", err)
	}
	metrics.Emit(detail.Policy, "verify-report", in.Run.ID, measures(v)...)
	return v, nil
}

// verdicts are the metrics of how tests end.
var verdicts = map[retention.Test]string{
	retention.Successful: telemetry.RestoreTestSuccessful, retention.TestFailed: telemetry.RestoreTestFailed,
	retention.TimedOut: telemetry.RestoreTestTimedOut, verify.NotTested: telemetry.RestoreTestNotDone,
}

func measures(v *verify.Verdict) []telemetry.Metric {
	list := []telemetry.Metric{telemetry.Count(verdicts[v.Result]), {Name: telemetry.RestoreTestLeft, Value: float64(len(v.Left))}}
	if v.RecoverySeconds > 0 {
		list = append(list, telemetry.Seconds(telemetry.RestoreTestRecovery, v.RecoverySeconds))
	}
	return list
}

// remains notes what of the test is there still.
func remains(v *verify.Verdict, in Input, left []cloud.Disk) {
	for _, d := range left {
		v.Left = append(v.Left, d.ID)
	}
	slices.Sort(v.Left)
	switch {
	case len(v.Left) == 0 && in.Failures.Clean == nil:
		return
	case len(v.Left) == 0: // it may lag behind in the list
		v.Reason += "; nobody has seen the copies go"
	default:
		v.Reason += fmt.Sprintf("; %s of the test are there still", strings.Join(v.Left, ", "))
	}
	v.Outcome = verify.FailedDirty
	v.Next = append(v.Next, fmt.Sprintf("`quiesce restore --cleanup %s` deletes the copies, if nothing else has by then.", in.Run.ID))
}

// Judge decides what the test says of the set: nothing, unless the copies came
// to life or failed to. It is dirty only by what is seen later.
func Judge(s verify.State) *verify.Verdict {
	v := &verify.Verdict{Outcome: verify.FailedClean, Result: verify.NotTested, Choice: s.Choice, Plan: s.Plan, Left: []string{}, Next: []string{}}
	if s.Recovered != nil && s.Recovered.Reply != nil {
		v.Recovery = s.Recovered.Reply
		v.RecoverySeconds = v.Recovery.Seconds
	}
	failed := s.Failures.First()
	switch {
	case failed != nil:
		v.Code = failed.Error
		v.Reason, _, _ = step.Explain(failed.Error, failed.Cause)
		v.Result = blame(s.Failures, fault.Code(failed.Error))
	case s.Plan != nil && s.Plan.Do == restore.DoNothing:
		v.Outcome, v.Result, v.Reason = verify.Planned, "", "nothing was touched"
		return v
	case v.Recovery == nil:
		v.Code, v.Reason = string(fault.Internal), "nothing is known of the copies, and nobody says why"
	case len(v.Recovery.Problems) > 0:
		v.Result, v.Code = retention.TestFailed, string(fault.RestoreTestFailed)
		v.Reason = strings.Join(v.Recovery.Problems, "; ")
	default:
		v.Outcome, v.Result = verify.Passed, retention.Successful
		v.Reason = fmt.Sprintf("the set of %s came to life on %s in %.1f s: %s", s.Choice.SetID, s.Plan.Target.InstanceID, v.RecoverySeconds, seen(v))
	}
	if v.Result != retention.Successful {
		v.RecoverySeconds = 0
	}
	if next := fault.Code(v.Code).NextMove(); next != "" {
		v.Next = append(v.Next, next)
	}
	return v
}

// blame tells a failure of the set from one of the test.
func blame(f verify.Failures, code fault.Code) retention.Test {
	switch {
	case code == fault.RestoreTimedOut, code == fault.CommandTimedOut:
		return retention.TimedOut
	case f.Create != nil && (code == fault.RestoreRefused || code == fault.SetNotRestorable):
		return retention.TestFailed // no disk can be made of it
	}
	return verify.NotTested
}

// seen is what the helper looked at, in a few words.
func seen(v *verify.Verdict) string {
	words := []string{fmt.Sprintf("%d filesystems checked", len(v.Recovery.Filesystems))}
	if s := v.Recovery.Server; s != nil {
		words = append(words, strings.TrimSpace(s.Kind+" "+s.Version)+" recovered and checked")
	}
	if v.Recovery.Script != nil {
		words = append(words, "the policy's own check passed")
	}
	return strings.Join(words, ", ")
}
