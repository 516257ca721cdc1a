package fleet

import (
	"context"
	"encoding/json"
	"time"

	"github.com/quiesce/quiesce/functions/report"
	"github.com/quiesce/quiesce/functions/targets"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/step"
	"github.com/quiesce/quiesce/workflow/asl"
)

// function is one invocation: the fleet's own steps are the real ones, those
// of a run are the model's.
func (w *world) function(ctx context.Context, name string, input json.RawMessage) (json.RawMessage, error) {
	w.clock.Sleep(w.draw(Invocation))
	var answer any
	var err error
	switch name {
	case "resolve-targets":
		var in targets.Input
		if err = step.Decode(input, &in); err == nil {
			answer, err = targets.Do(ctx, w, w.clock.Now(), in)
		}
	case "report":
		var in report.Input
		if err = step.Decode(input, &in); err == nil {
			w.report, err = report.Do(ctx, w, nil, w.clock.Now(), in)
			answer = w.report
		}
	default:
		answer, err = w.model(name, input)
	}
	if err != nil {
		payload, _ := json.Marshal(map[string]string{"errorType": string(fault.CodeOf(err)), "errorMessage": err.Error()}) // two strings
		return nil, asl.LambdaError(payload)
	}
	return json.Marshal(answer)
}

// given is what the model reads of any step's input.
type given struct {
	Run     run.Run
	Request struct {
		InstanceID string
		Policy     policy.Policy
	}
	Plan     *run.Plan
	Freeze   *run.Freeze
	Set      *run.Set
	Status   *run.Status
	Failures map[string]*run.Failure
	Token    string
}

// model does what a step of a run does, as far as time and quotas know.
func (w *world) model(name string, input json.RawMessage) (any, error) {
	var in given
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, err
	}
	began := w.clock.Now()
	if name == "snapshot" {
		if err := w.create(in); err != nil {
			return nil, err
		}
	} else {
		for _, call := range Model[name].Calls {
			if err := w.insist(call); err != nil {
				return nil, err
			}
			if call == "ssm:SendCommand" {
				w.clock.Sleep(w.draw(Model[name].OnHost))
			}
		}
	}
	record := run.Record{StartedAt: began, EndedAt: w.clock.Now()}
	switch name {
	case "precheck":
		if w.broken[in.Request.InstanceID] {
			return nil, fault.New(fault.ScriptUnsafe, "planned: the pre-script is writable by others")
		}
		return plan(in, record), nil
	case "run-prescript":
		return run.Prescript{Quiesced: true, Record: record}, nil
	case "freeze":
		return run.Freeze{Hold: "hold-" + in.Plan.RunID, Mounts: 1, Record: record}, nil
	case "snapshot":
		return run.Set{Hold: in.Freeze.Hold, Snapshots: members(in, run.Pending), CallStartedAt: began, CallEndedAt: record.EndedAt,
			CallMs: float64(record.EndedAt.Sub(began).Milliseconds()), Record: record}, nil
	case "thaw":
		return run.Thaw{Evidence: &protocol.Evidence{FrozenMs: w.frozen(in)}, Published: true, Record: record}, nil
	case "poll-status":
		return w.poll(in, record), nil
	}
	return w.verdict(in, record), nil
}

// create makes the set, patiently: the instance is frozen meanwhile.
func (w *world) create(in given) error {
	began := w.clock.Now()
	for attempt := 0; ; attempt++ {
		asked := w.clock.Now()
		if w.call("ec2:CreateSnapshots") {
			w.waited = max(w.waited, asked.Sub(began))
			break
		}
		if attempt == len(patience) {
			return fault.New(fault.SnapshotThrottled, "Request limit exceeded.")
		}
		w.clock.Sleep(patience[attempt])
	}
	s := &set{}
	w.sets[in.Plan.RunID] = s
	w.clock.Go(func() { w.complete(s) })
	return nil
}

// complete is the set's completion and the event that tells of it.
func (w *world) complete(s *set) {
	w.clock.Sleep(w.draw(Completion))
	s.done = true
	w.clock.Sleep(time.Second + w.draw(Invocation)) // the event's way
	for _, call := range Model["wake"].Calls {
		if w.insist(call) != nil {
			return // the wait ends by itself
		}
	}
	if s.token != "" {
		_ = w.engine.Succeed(s.token, json.RawMessage("{}")) // one that is over has ended, which is what was asked for
	}
}

// wait is the state that waits for a set: it keeps the token, then looks.
func (w *world) wait(input json.RawMessage) (json.RawMessage, error) {
	var in struct{ Payload given }
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, err
	}
	w.clock.Sleep(w.draw(Invocation))
	s := w.sets[in.Payload.Plan.RunID]
	for i, call := range Model["await"].Calls {
		if err := w.insist(call); err != nil && i == 0 {
			return nil, asl.LambdaError([]byte(`{"errorType":"Throttled"}`))
		}
		s.token = in.Payload.Token
	}
	if s.done {
		_ = w.engine.Succeed(s.token, json.RawMessage("{}"))
	}
	return json.RawMessage(`{"StatusCode":200,"Payload":{"state":"pending"}}`), nil
}

func plan(in given, record run.Record) run.Plan {
	id := in.Request.InstanceID
	return run.Plan{
		RunID: in.Run.ID, Target: run.Target{Provider: "aws", Region: "eu-central-1", InstanceID: id}, Policy: in.Request.Policy,
		Volumes:     []run.Volume{{ID: "vol-0" + id[3:], Device: "/dev/sdf", SizeGiB: 100}},
		Filesystems: []protocol.Filesystem{{Mount: "/data", Device: "259:1"}}, Helper: run.Helper{SHA256: "f00d", Arch: "arm64"}, Record: record,
	}
}

func members(in given, state string) []run.Snapshot {
	return []run.Snapshot{{ID: "snap-0" + in.Plan.Target.InstanceID[3:], VolumeID: in.Plan.Volumes[0].ID, State: state}}
}

func (w *world) frozen(in given) float64 {
	if in.Freeze == nil {
		return 0
	}
	return float64(w.clock.Now().Sub(in.Freeze.Record.EndedAt).Milliseconds())
}

func (w *world) poll(in given, record run.Record) run.Status {
	s := run.Status{State: run.Pending, Polls: 1, WaitSeconds: 900, Record: record}
	if w.sets[in.Plan.RunID].done {
		s.State = run.Completed
	}
	if in.Status != nil {
		s.Polls, s.WaitSeconds = in.Status.Polls+1, 60
	}
	s.Snapshots = members(in, s.State)
	return s
}

// verdict judges by what failed alone: a model has no evidence to weigh.
func (w *world) verdict(in given, record run.Record) run.Verdict {
	v := run.Verdict{Outcome: run.OutcomeCompleted, Consistency: run.Filesystem, Reason: "modelled", Record: record}
	for _, name := range []string{"precheck", "runPrescript", "freeze", "snapshot", "thaw", "pollStatus"} {
		f := in.Failures[name]
		if f == nil {
			continue
		}
		if v.Outcome, v.Consistency = run.OutcomeDegraded, run.Crash; in.Set == nil {
			v.Outcome, v.Consistency = run.OutcomeFailedClean, ""
		}
		v.Code = f.Error
		v.Reason, _, _ = step.Explain(f.Error, f.Cause)
		if f.Error == string(fault.Throttled) || f.Error == string(fault.SnapshotThrottled) {
			w.starved[in.Run.ID] = true
		}
		break
	}
	return v
}
