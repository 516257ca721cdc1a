package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/aws/emf"
	"github.com/quiesce/quiesce/local/disk"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/local/plugin"
	"github.com/quiesce/quiesce/local/windows"
	"github.com/quiesce/quiesce/shared/cloud/awscloud/history"
	problem "github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// Progress hears what happens.
type Progress interface {
	Say(format string, args ...any)
	Passage(history.Passage)
}

// settle is how long the ledger writes before and after the run, so that the
// oracle has something to find on either side of the set.
const settle = 150 * time.Millisecond

// Run runs the workflow once on this machine and checks what it made. It takes
// away all that it made, also when ctx ends, and what a run that died before
// left behind. The error is one of the machine or of the options; how the run
// itself ended is in the report.
func Run(ctx context.Context, o Options, tell Progress) (report *Report, err error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	s, reason, err := open(ctx, o, tell)
	if err != nil {
		return nil, err
	}
	defer func() {
		if o.Keep && report != nil {
			report.Kept = s.dir()
			return
		}
		err = errors.Join(err, s.close())
	}()
	tell.Say("%s", o)
	b, err := build(ctx, o.Cloud, o.Binaries, s.dir())
	if err != nil {
		return nil, err
	}
	a, err := openSite(ctx, o, s, b)
	if err != nil {
		return nil, err
	}
	defer a.close()
	report = &Report{Mode: Real, ModeReason: reason, Asked: o.Policy("", "").Asked()}
	if reason != "" {
		report.Mode = Simulated
	}
	switch {
	case o.Mode == string(policy.Plugin):
		report.Tool = plugin.Label
		tell.Say("a %s takes the set", plugin.Label)
	case policy.Mode(o.Mode).Windows():
		report.Tool = windows.Label
		tell.Say("a %s plays AWS's and Windows' part", windows.Label)
	}
	return report, rehearse(ctx, o, s, a, tell, report)
}

// open chooses the machine and says why it is not the real one.
func open(ctx context.Context, o Options, tell Progress) (stage, string, error) {
	reason := o.simulated()
	if reason == "" {
		reason = impossible()
	}
	if server, ok := servers[o.App]; ok {
		if reason == "" {
			reason = server.missing()
		}
		if reason != "" {
			return nil, "", problem.Input("--app", "%s needs this host itself: %s", o.App, reason)
		}
	}
	if reason != "" {
		tell.Say("simulated machine: %s", reason)
		s, err := openSimulated(ctx, o)
		return s, reason, err
	}
	swept, err := disk.Sweep("")
	for _, room := range swept {
		tell.Say("took away what a run that died had left in %s", room)
	}
	if err != nil {
		return nil, "", fmt.Errorf("take away what a run that died had left: %w", err)
	}
	s, err := openReal(ctx, o.FS)
	if err != nil {
		return nil, "", err
	}
	if server, ok := servers[o.App]; ok {
		return &databaseStage{realStage: s, database: server.open(o.Logs), holds: server.holds, tune: o.Tune}, "", nil
	}
	return s, "", nil
}

// impossible tells why this host cannot be the machine; empty if it can.
func impossible() string {
	if os.Geteuid() != 0 {
		return "real disks need root"
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return "this host has no loop devices"
	}
	return ""
}

// rehearse fills in the report, as far as it comes.
func rehearse(ctx context.Context, o Options, s stage, a site, tell Progress, r *Report) error {
	volumes, err := a.rent(ctx, s, o.Volumes)
	if err != nil {
		return err
	}
	if err := s.furnish(ctx, volumes); err != nil {
		return err
	}
	if err := rest(ctx, settle); err != nil {
		return err
	}
	record, err := a.execute(ctx, o, s, tell)
	if err != nil {
		return err
	}
	r.take(record)
	if err := rest(ctx, settle); err != nil {
		return err
	}
	if err := a.released(ctx, o, record); err != nil {
		return err
	}
	r.LeftFrozen = s.leftFrozen()
	if r.Changed, err = s.changed(ctx); err != nil {
		return err
	}
	if o.RestoreTest && r.Consistency != "" {
		tell.Say("testing whether the set can be restored")
		if r.RestoreTest, err = a.test(ctx, o, s, r.RunID, tell); err != nil {
			return err
		}
	}
	acks, err := s.acks(ctx)
	if err != nil {
		return fmt.Errorf("stop what writes: %w", err)
	}
	r.ApplicationPauseMs = pause(record.State, s, acks).Ms()
	if r.Consistency != "" {
		tell.Say("restoring the set to new volumes")
		restored, err := a.restore(ctx, r.RunID, volumes)
		if err != nil {
			return err
		}
		contents, err := s.read(ctx, restored, r.Consistency)
		if err != nil {
			return err
		}
		r.judge(ledger.Verify(theCase(record.State, s, contents, acks)), contents)
	}
	r.account(a.told())
	return nil
}

// execute starts one execution by the service's own API and follows it.
func (a *account) execute(ctx context.Context, o Options, s stage, tell Progress) (*history.Record, error) {
	if o.App == Document {
		if err := a.cloud.SSM.RegisterDocument(ledgerDocument, documentOf(s.scripts())); err != nil {
			return nil, err
		}
	}
	input, err := json.Marshal(run.Request{InstanceID: instanceID, Policy: s.policy(o)})
	if err != nil {
		return nil, err
	}
	name := named()
	started, err := a.sfn.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: &a.machine, Name: &name, Input: aws.String(string(input)),
	})
	if err != nil {
		return nil, fmt.Errorf("start the execution: %w", err)
	}
	tell.Say("run %s", name)
	return history.Follow(ctx, a.sfn, *started.ExecutionArn, tell.Passage)
}

// released waits for the janitor where the execution ended without a thaw, at
// most until the deadline, by which the instance has let go by itself.
func (a *account) released(ctx context.Context, o Options, record *history.Record) error {
	if record.State.Plan == nil || record.State.Thaw != nil || record.State.Plan.Policy.Mode.Windows() {
		return nil // nothing was touched, or it was thawed, or lets go by itself
	}
	deadline := time.Now().Add(time.Duration(o.Deadline) * time.Second)
	for a.janitors.Load() == 0 && time.Now().Before(deadline) {
		if err := rest(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take copies what the execution itself says.
func (r *Report) take(record *history.Record) {
	s := record.State
	r.RunID, r.Status, r.States = record.RunID, record.Status, record.States
	r.Reason = record.Error
	if v := s.Verdict; v != nil {
		r.Outcome, r.Consistency, r.Reason, r.Code = v.Outcome, v.Consistency, v.Reason, v.Code
		r.FrozenMs = v.FrozenMs
	} else {
		r.Outcome = run.OutcomeFailedDirty // nobody judged it
		if record.Cause != "" {
			r.Reason += ": " + record.Cause
		}
	}
	if s.Set != nil {
		r.SnapshotCallMs = s.Set.CallMs
		for _, m := range s.Set.Snapshots {
			r.Set = append(r.Set, m.ID)
		}
	}
	if s.Thaw != nil {
		r.Evidence = s.Thaw.Evidence
	}
	if s.Plan != nil {
		r.Warnings, r.Servers = s.Plan.Warnings, s.Plan.Servers
	}
}

// theCase lays before the oracle what the run says of itself: a set that is
// called held is judged as one.
func theCase(state run.State, s stage, contents *restored, acks []ledger.Ack) ledger.Case {
	c := ledger.Case{Asked: state.Verdict.Consistency, Volumes: contents.volumes, Acks: acks, Served: contents.served}
	c.Call = ledger.Span{Start: s.mono(state.Set.CallStartedAt), End: s.mono(state.Set.CallEndedAt)}
	if state.Verdict.Consistency.Rank() < run.Filesystem.Rank() || state.Plugin != nil {
		return c // of a window that the plug-in has held nobody has evidence
	}
	e := state.Thaw.Evidence
	if c.Window = ledger.WindowOf(e); !c.Window.IsZero() {
		c.Disks = contents.disks
	}
	if contents.holds && state.Verdict.Consistency == run.Application {
		// The server held its writers from here on, before any freeze, and to
		// the thaw at least.
		c.Window = ledger.Window{FrozenAt: e.Application.QuiescedAt.Mono, ThawAt: e.Thaw.At.Mono}
	}
	return c
}

// pause is the writer's longest wait around the run.
func pause(state run.State, s stage, acks []ledger.Ack) ledger.Span {
	if state.Plan == nil {
		return ledger.Span{}
	}
	over := ledger.Span{Start: s.mono(state.Plan.Record.EndedAt), End: s.mono(time.Now())}
	if state.Thaw != nil {
		over.End = s.mono(state.Thaw.Record.EndedAt)
	}
	return ledger.Pause(acks, over)
}

// told counts what reached the bus and the log.
func (a *account) told() telling {
	t := telling{calls: a.cloud.Calls(), events: map[string]int{}}
	for _, e := range a.cloud.Bus.Events() {
		if e.Source == events.Source {
			t.events[e.DetailType]++
		}
	}
	t.metrics, t.unreached = measured(&a.metrics), never(a.faults)
	return t
}

// measured names the metrics that the functions have logged.
func measured(log *emf.Capture) []string {
	seen := map[string]bool{}
	for _, m := range log.Metrics() {
		seen[m.Name] = true
	}
	return names(seen)
}

// never lists the planned faults that did not happen.
func never(plan *fault.Plan) (list []string) {
	for _, f := range plan.Unreached() {
		list = append(list, f.String())
	}
	return list
}

// named makes the name of an execution.
func named() string {
	name := "run-" + time.Now().UTC().Format("20060102-150405.000")
	return name[:19] + "-" + name[20:]
}
