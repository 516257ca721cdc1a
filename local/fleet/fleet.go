// Package fleet runs the fleet machine over simulated instances in virtual
// time. Real are the definitions of fleet and run, their interpreter, the
// steps that resolve the targets and report, and the published request limits
// as the emulated account keeps them; the steps of each run are a model.
package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/quiesce/quiesce/local/clock"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/workflow"
	"github.com/quiesce/quiesce/workflow/asl"
)

// Options of a simulated fleet.
type Options struct {
	Instances      int
	Failures       int    // instances whose run fails
	MaxErrors      string // as a policy has it; empty: the default, they do not stop each other
	MaxConcurrency int    // 0: as many as the quotas let through
	Seed           uint64
}

// most is the service's limit on the children of one Map at once; a longer
// list is within its reach, but not within its limit on waiting in slots.
const most = 10_000

// Check refuses what cannot be simulated, by the flag's name.
func (o Options) Check() error {
	switch {
	case o.Instances < 1 || o.Instances > most:
		return fault.Input("--fleet", "wants 1-%d instances, got %d", most, o.Instances)
	case o.Failures < 0 || o.Failures > o.Instances:
		return fault.Input("--fleet-failures", "wants 0-%d, got %d", o.Instances, o.Failures)
	case o.MaxConcurrency < 0 || o.MaxConcurrency > most:
		return fault.Input("--max-concurrency", "wants 0-%d, got %d", most, o.MaxConcurrency)
	}
	if _, err := o.document(); err != nil {
		return fault.Input("--max-errors", "%v", err)
	}
	return nil
}

// document is the policy of the fleet.
func (o Options) document() (policy.Document, error) {
	d := policy.DefaultDocument()
	d.Name = "fleet"
	d.Targets.Tags = map[string]string{"fleet": "simulated"}
	d.MaxConcurrency = o.MaxConcurrency
	if o.MaxErrors != "" {
		text, err := json.Marshal(o.MaxErrors)
		if err == nil {
			err = json.Unmarshal(text, &d.MaxErrors)
		}
		if err != nil {
			return d, err
		}
	}
	return d, d.Check(epoch)
}

// epoch is when the simulation begins: at the same moment every time.
var epoch = time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)

// Names of the machines in the simulated account.
const (
	fleetMachine    = "quiesce-fleet"
	snapshotMachine = "quiesce-snapshot"
	groupMachine    = "quiesce-group"
)

// Run runs the fleet machine once.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	w, err := newWorld(o)
	if err != nil {
		return nil, err
	}
	return w.run(ctx)
}

func newWorld(o Options) (*world, error) {
	w := &world{
		options: o, clock: clock.New(epoch), random: rand.New(rand.NewPCG(o.Seed, 0)), objects: map[string][]byte{}, broken: map[string]bool{},
		sets: map[string]*set{}, calls: map[string]int{}, throttled: map[string]int{}, starved: map[string]bool{},
	}
	w.engine = engine.New(engine.Config{Clock: w.clock, Forgetful: true, Seed: o.Seed})
	w.rent()
	return w, w.deploy()
}

// input is what a schedule starts the fleet with.
func (w *world) input() (json.RawMessage, error) {
	document, err := w.options.document()
	if err != nil {
		return nil, err
	}
	return json.Marshal(run.FleetRequest{Policy: document, ScheduledTime: epoch})
}

func (w *world) run(ctx context.Context) (*Report, error) {
	input, err := w.input()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	var x engine.Execution
	interrupted := w.clock.Run(ctx, func() {
		if x, err = w.engine.Start(fleetMachine, "fleet-2026-03-01T0400", input); err == nil {
			x, err = w.engine.Wait(ctx, x.ARN)
		}
	})
	switch {
	case interrupted != nil:
		return nil, interrupted
	case err != nil:
		return nil, err
	case w.report == nil:
		return nil, fmt.Errorf("the fleet ended %s without a report: %s: %s", x.Status, x.Error, x.Cause)
	}
	return w.tell(x, time.Since(began)), nil
}

// rent makes the instances; those that are to fail lie evenly among them.
func (w *world) rent() {
	tags := map[string]string{cloud.TagOptIn: "true", "fleet": "simulated"}
	for i := range w.options.Instances {
		w.instances = append(w.instances, cloud.Found{ID: fmt.Sprintf("i-0%016x", i), Running: true, State: "running", Tags: tags})
	}
	for i := range w.options.Failures {
		w.broken[w.instances[(2*i+1)*w.options.Instances/(2*w.options.Failures)].ID] = true
	}
}

// deploy makes the machines from their definitions as they are.
func (w *world) deploy() error {
	lambda := func(step string) string { return "arn:aws:lambda:eu-central-1:123456789012:function:" + step }
	one, err := workflow.Machine("default", lambda)
	if err != nil {
		return err
	}
	group, err := workflow.GroupMachine(lambda)
	if err != nil {
		return err
	}
	all, err := workflow.FleetMachine(w.engine.MachineARN(snapshotMachine), w.engine.MachineARN(groupMachine), lambda)
	if err != nil {
		return err
	}
	for _, m := range []struct {
		name, definition string
		machine          *asl.Machine
	}{{snapshotMachine, workflow.Snapshot(), one}, {groupMachine, workflow.Group(), group}, {fleetMachine, workflow.Fleet(), all}} {
		w.engine.Deploy(m.name, []byte(m.definition), m.machine, w)
	}
	return nil
}

// tell makes the report of what was seen.
func (w *world) tell(x engine.Execution, took time.Duration) *Report {
	r := w.report
	f := Figures{
		Instances: r.Instances, Completed: r.Completed, Degraded: r.Degraded, Failed: r.Failed, NotStarted: r.NotStarted,
		PlannedFailures: w.options.Failures, FailedByThrottling: len(w.starved), FrozenWaitSeconds: w.waited.Seconds(),
		MakespanSeconds: x.StoppedAt.Sub(x.StartedAt).Seconds(), Calls: w.calls, ThrottledCalls: w.throttled,
	}
	bucket := limit("ec2", "CreateSnapshots")
	f.QuotaBoundSeconds = max(0, (float64(w.options.Instances)-bucket.Capacity)/bucket.Refill)
	if f.QuotaBoundSeconds > 0 {
		f.OverQuotaBound = f.MakespanSeconds / f.QuotaBoundSeconds
	}
	for _, name := range slices.Sorted(maps.Keys(w.throttled)) {
		f.Throttled += w.throttled[name]
	}
	return &Report{
		RunID: x.Name, Mode: "model", Status: string(x.Status), Outcome: r.Outcome, Reason: r.Reason, Fleet: f, Failures: r.Failures,
		Modelled: Modelled{
			Note:  "The definitions, their interpreter, resolve-targets, report and the request limits are the real ones. Each run's steps are modelled by their calls and durations.",
			Steps: Model, Completion: Completion, Invocation: Invocation,
		},
		WallSeconds: took.Seconds(), Switches: w.clock.Steps(),
	}
}
