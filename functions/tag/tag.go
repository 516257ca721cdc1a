// Package tag computes the verdict, writes it on every snapshot and tells the
// world how the run ended. It never claims more than the evidence does.
package tag

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/consistency"
	"github.com/quiesce/quiesce/shared/fault"
	backup "github.com/quiesce/quiesce/shared/label"
	"github.com/quiesce/quiesce/shared/plugin"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/step"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// Cloud is what tag asks of a provider.
type Cloud interface {
	cloud.Disks
	cloud.Bus
}

// Input is everything that the execution knows, and how often the state
// machine has tried to tag before.
type Input struct {
	run.State
	Attempt int `json:"attempt"`
}

// Check refuses an input that names no run.
func (in Input) Check() error {
	if in.Run.ID == "" {
		return fault.Input("run.id", "is missing")
	}
	return nil
}

// insist is how many attempts are spent on a bus that does not answer, before
// the verdict stands without its events: the set is labelled all the same.
const insist = 3

// Do ends the run. Codes: what tagging and publishing return; both may be
// done again.
func Do(ctx context.Context, c Cloud, metrics *telemetry.Metrics, in Input) (*run.Verdict, error) {
	started, s := time.Now(), in.State
	verdict := Conclude(s)
	if s.Plan != nil {
		strays, err := label(ctx, c, s, verdict)
		if err != nil {
			return nil, err
		}
		if strays > 0 {
			verdict.Reason += fmt.Sprintf("; %d snapshots of the run exist all the same and are not to be restored", strays)
		}
		if strays > 0 && s.Set == nil {
			verdict.Outcome = run.OutcomeFailedDirty
		}
	}
	verdict.Record = run.Record{StartedAt: started, EndedAt: time.Now()}
	switch err := c.Publish(ctx, announcements(s, verdict)); {
	case err != nil && in.Attempt < insist:
		return nil, err
	case err != nil:
		slog.Error("the outcome was not published", "run", s.Run.ID, "outcome", verdict.Outcome, "error", err)
	}
	name := policyOf(s).Name
	metrics.Emit(name, "tag", s.Run.ID, measures(s, verdict)...)
	return verdict, nil
}

// policyOf is the run's policy: the plan's, or as much of it as can be read out
// of a request that was refused.
func policyOf(s run.State) policy.Policy {
	if s.Plan != nil {
		return s.Plan.Policy
	}
	return s.Request.Read().Policy
}

// Conclude weighs the run and decides how it ends: dirty as soon as it is not
// known that the instance was let go.
func Conclude(s run.State) *run.Verdict {
	found := consistency.Judge(s)
	v := &run.Verdict{Consistency: found.Consistency, Reason: found.Reason, Code: string(found.Code)}
	if s.Set != nil {
		for _, m := range s.Set.Snapshots {
			v.SnapshotIDs = append(v.SnapshotIDs, m.ID)
		}
	}
	if s.Thaw != nil && s.Thaw.Evidence != nil {
		v.FrozenMs = s.Thaw.Evidence.FrozenMs
	}
	asked := run.Consistency(policyOf(s).Asked())
	switch {
	case s.Failures.Thaw != nil:
		v.Outcome, v.Code = run.OutcomeFailedDirty, string(fault.ThawFailed)
		v.Reason = "it is not known whether the instance was let go: " + sentence(s.Failures.Thaw) + "; of the set: " + v.Reason
	case paused(s):
		v.Outcome, v.Code = run.OutcomeFailedDirty, string(fault.ScriptFailed)
		why := "the post-script failed"
		if d := s.Thaw.Document; d != nil {
			v.Code, why = string(d.Error.Code), "the document's post-script did not succeed ("+d.Error.Message+")"
		} else if a := s.Thaw.Evidence.Application; a.Kind != policy.Script {
			why = a.Kind + " was not released"
			if a.Error != nil {
				v.Code, why = string(a.Error.Code), why+" ("+a.Error.Message+")"
			}
		}
		v.Reason = why + ", the application may still be at rest; of the set: " + v.Reason
	case unreleased(s):
		v.Outcome = run.OutcomeFailedDirty
		v.Reason = "it is not known whether the plug-in let the instance go: " + v.Reason
	case v.Consistency == "":
		v.Outcome = run.OutcomeFailedClean
	case v.Consistency.Rank() < asked.Rank():
		v.Outcome = run.OutcomeDegraded
	case unshadowed(s, found):
		v.Outcome = run.OutcomeDegraded
	default:
		v.Outcome = run.OutcomeCompleted
	}
	return v
}

// unreleased reports that the provider's tool may have left the instance or its
// application held: it said so, or nobody heard how it ended.
func unreleased(s run.State) bool {
	if policyOf(s).Mode.Windows() { // which lets go by itself, within ten seconds
		return false
	}
	if s.Plugin != nil && (s.Plugin.Dirty || s.Failures.Plugin != nil && s.Plugin.State == run.PluginRunning) {
		return true
	}
	if s.Failures.Plugin == nil {
		return false
	}
	return !unsent(s.Failures.Plugin)
}

// unsent reports that the failure is of a command that was never sent.
func unsent(f *run.Failure) bool {
	switch fault.Code(f.Error) {
	case fault.InvalidInput, fault.AccessDenied, fault.Throttled, fault.AgentOffline, fault.InstanceNotFound, fault.InstanceNotRunning:
		return true
	}
	return false
}

// paused reports that the application was touched and not released again.
func paused(s run.State) bool {
	return s.Thaw != nil && (!s.Thaw.Document.LetGo() || s.Thaw.Evidence.Resting())
}

func sentence(f *run.Failure) string {
	text, _, _ := step.Explain(f.Error, f.Cause)
	return text
}

// label tags the set, and whatever else the run has left, so that nobody takes
// that for a backup. It returns how many were left.
func label(ctx context.Context, c Cloud, s run.State, v *run.Verdict) (int, error) {
	if err := write(ctx, c, s, v.SnapshotIDs, v.Consistency, v); err != nil {
		return 0, err
	}
	if err := errors.Join(located(ctx, c, s), noteShadows(ctx, c, s)); err != nil {
		return 0, err
	}
	left, err := strays(ctx, c, s)
	if err == nil {
		err = write(ctx, c, s, left, "", v)
	}
	return len(left), err
}

// write puts a level on snapshots; an empty one is that of what is none.
func write(ctx context.Context, c Cloud, s run.State, ids []string, consistency run.Consistency, v *run.Verdict) error {
	if len(ids) == 0 {
		return nil
	}
	level := string(consistency)
	if level == "" {
		level = "none"
	}
	tags := map[string]string{}
	if s.Plugin != nil {
		maps.Copy(tags, s.Plan.Policy.Tags) // no call of ours has made the set, nor said whose it is
		tags[cloud.TagInstance], tags[cloud.TagMembers] = s.Plan.Target.InstanceID, strconv.Itoa(len(s.Plan.Volumes))
		if s.Plugin.Windows {
			tags[plugin.WindowsApp] = boolTag(consistency == run.Application) // as the tool spells it there
		}
	}
	maps.Copy(tags, map[string]string{
		cloud.TagRun:         s.Plan.RunID,
		cloud.TagPolicy:      s.Plan.Policy.Name,
		cloud.TagConsistency: level,
		cloud.TagReason:      cloud.TagValue(v.Reason),
		cloud.TagFrozenMs:    fmt.Sprintf("%.0f", v.FrozenMs),
		cloud.TagApp:         boolTag(consistency == run.Application),
		cloud.TagFs:          boolTag(consistency.Rank() >= run.Filesystem.Rank() && s.Plan.Policy.Freeze.Enabled),
	})
	if consistency != "" {
		maps.Copy(tags, kept(s))
		if app := s.Plan.Policy.Application; app.Server() {
			tags[cloud.TagKind] = app.Kind // that a restore recovers
		}
	}
	return c.TagSnapshots(ctx, ids, tags)
}

// kept are the tags of what the application's release returned for a restore.
// Without them the files are only in the history of the execution.
func kept(s run.State) map[string]string {
	if s.Set == nil || s.Thaw == nil || s.Thaw.Evidence == nil || s.Thaw.Evidence.Application == nil || len(s.Thaw.Evidence.Application.Files) == 0 {
		return nil
	}
	text, spaces, ok := backup.Tags(s.Thaw.Evidence.Application.Files, cloud.TagRoom(s.Plan.Target.Provider))
	if !ok {
		slog.Warn("the backup's label fits no tag and is kept in the execution's history alone", "run", s.Run.ID)
		return nil
	}
	tags := map[string]string{cloud.TagLabel: text}
	if spaces != "" {
		tags[cloud.TagSpaces] = spaces
	}
	return tags
}

// located notes on each snapshot where its volume was mounted, for a restore on
// a machine that has never seen it.
func located(ctx context.Context, c Cloud, s run.State) error {
	if s.Set == nil {
		return nil
	}
	mounts := map[string]string{}
	for _, v := range s.Plan.Volumes {
		mounts[v.ID] = v.Mounts
	}
	same := map[string][]string{}
	for _, m := range s.Set.Snapshots {
		if at := mounts[m.VolumeID]; at != "" {
			same[at] = append(same[at], m.ID)
		}
	}
	for _, at := range slices.Sorted(maps.Keys(same)) {
		if err := c.TagSnapshots(ctx, same[at], map[string]string{cloud.TagRun: s.Run.ID, cloud.TagMounts: at}); err != nil {
			return err
		}
	}
	return nil
}

func boolTag(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

// look is where a person begins who must look at the instance.
func look(s run.State, v *run.Verdict) string {
	if unreleased(s) {
		return fault.Code(v.Code).NextMove()
	}
	return fault.ThawFailed.NextMove()
}

// announcements are the run's final events, after those of earlier steps that
// nobody got out.
func announcements(s run.State, v *run.Verdict) (list []events.Event) {
	who := events.Subject{RunID: s.Run.ID, InstanceID: s.Request.Read().InstanceID, Policy: policyOf(s).Name}
	if s.Plan != nil {
		who = telemetry.Subject(s.Plan)
	}
	now := v.Record.EndedAt
	if !taken(s) && (s.Thaw == nil || !s.Thaw.Published) {
		list = append(list, telemetry.Deferred(who, s, now)...)
	}
	list = append(list, silent(who, s, now)...)
	if s.Failures.Thaw != nil || paused(s) || unreleased(s) {
		list = append(list, events.Event{Type: events.TypeThawFailed, Time: now, Detail: events.Thaw{
			Subject: who, Code: v.Code, Reason: v.Reason, NextMove: look(s, v), Mounts: mounts(s),
		}})
	}
	final := map[run.Outcome]string{run.OutcomeCompleted: events.TypeCompleted, run.OutcomeDegraded: events.TypeDegraded}[v.Outcome]
	if final == "" {
		final = events.TypeFailed
	}
	return append(list, events.Event{Type: final, Time: now, Resources: v.SnapshotIDs, Detail: events.Outcome{
		Subject: who, Outcome: string(v.Outcome), Consistency: string(v.Consistency),
		Asked: policyOf(s).Asked(), Reason: v.Reason, Code: v.Code,
		NextMove: fault.Code(v.Code).NextMove(), FrozenMs: v.FrozenMs, SnapshotIDs: v.SnapshotIDs,
	}})
}

// silent are the events of the steps that publish for themselves but died
// before they could: a fault code shows that the step itself answered.
func silent(who events.Subject, s run.State, now time.Time) (list []events.Event) {
	tool := tools(s)
	for _, step := range []struct {
		name    string
		failure *run.Failure
	}{{"precheck", s.Failures.Precheck}, {"thaw", s.Failures.Thaw}, {tool, s.Failures.Plugin}, {"poll-status", s.Failures.PollStatus}} {
		if step.failure != nil && !fault.Code(step.failure.Error).Known() {
			list = append(list, telemetry.Failed(who, step.name, *step.failure, now))
		}
	}
	return list
}

// taken reports that another's tool took the set: its steps tell of themselves,
// and no call of ours is to be told of.
func taken(s run.State) bool {
	return s.Plugin != nil && (s.Plugin.Set != nil || s.Set == nil && s.Failures.Snapshot == nil)
}

func mounts(s run.State) (list []string) {
	if s.Plan != nil {
		for _, f := range s.Plan.Filesystems {
			list = append(list, f.Mount)
		}
	}
	return list
}

func measures(s run.State, v *run.Verdict) []telemetry.Metric {
	name := telemetry.SetFailed
	switch v.Outcome {
	case run.OutcomeCompleted:
		name = telemetry.SetCompleted
	case run.OutcomeDegraded:
		name = telemetry.SetDegraded
	}
	list := []telemetry.Metric{telemetry.Count(name)}
	if s.Failures.Thaw != nil || paused(s) || unreleased(s) {
		list = append(list, telemetry.Count(telemetry.ThawFailed))
	}
	return list
}
