package local

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/ledger"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud/history"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/workflow"
)

// path is one run: what goes wrong in, what becomes of it out.
type path struct {
	name    string
	setting setting
	faults  []string
	policy  func(*policy.Policy)
	before  func(*world) // the run

	states      string
	outcome     run.Outcome // empty: nobody judged it
	consistency run.Consistency
	code        string
	says        string // in the verdict's reason

	resting bool   // the application stays at rest until somebody looks after it
	alarm   bool   // Thaw Failed is published
	silent  bool   // the bus takes nothing at all
	untold  string // the step whose own event the bus did not take
	twice   bool   // the outcome is published twice
}

// Ways through the definition.
const (
	opening   = "Open Precheck Mode RunPrescript Freeze Snapshot Thaw SetTaken "
	finding   = "PollStatus Complete Tag Outcome "
	whole     = opening + finding
	unquiet   = "Open Precheck Mode RunPrescript GoOnUnquiesced Freeze Snapshot Thaw SetTaken " + finding
	unfrozen  = "Open Precheck Mode RunPrescript Freeze GoOnUnfrozen Snapshot Thaw SetTaken " + finding
	setless   = opening + "Tag Outcome "
	refused   = "Open Precheck Tag Outcome FailedClean"
	unlabeled = "Tag Planned PublishFailure FailedUnlabelled"
)

func (p path) run(t *testing.T) {
	t.Parallel()
	s := p.setting
	s.faults = p.faults
	inWorld(t, s, func(w *world) {
		asked := w.policy()
		if p.policy != nil {
			p.policy(&asked)
		}
		if p.before != nil {
			p.before(w)
		}
		record := w.wait(w.start("run-1", w.request(asked)))
		p.ends(w, record)
		p.leaves(w, record, asked)
	})
}

// ends checks how the run went.
func (p path) ends(w *world, r *history.Record) {
	w.Helper()
	if got := folded(r.States); got != p.states {
		w.Errorf("path\n got %s\nwant %s", got, p.states)
	}
	end := r.States[len(r.States)-1]
	status := map[string]string{"Completed": "SUCCEEDED", "Degraded": "SUCCEEDED"}[end]
	if status == "" {
		status = "FAILED"
	}
	if r.Status != status {
		w.Errorf("the execution is %s: %s %s, want %s", r.Status, r.Error, r.Cause, status)
	}
	v := r.State.Verdict
	if v == nil {
		v = &run.Verdict{Reason: r.Cause}
	}
	if v.Outcome != p.outcome || v.Consistency != p.consistency || v.Code != p.code || !strings.Contains(v.Reason, p.says) {
		w.Errorf("got %q %q %q because %q, want %q %q %q because of %q", v.Outcome, v.Consistency, v.Code, v.Reason,
			p.outcome, p.consistency, p.code, p.says)
	}
	if status == "FAILED" && r.Cause != v.Reason {
		w.Errorf("the execution fails because %q, its verdict says %q", r.Cause, v.Reason)
	}
	for _, f := range w.faults.Unreached() {
		w.Errorf("the fault %s never happened", f)
	}
}

// folded is a path in which waiting again and again for the set counts once:
// how often that is, is the definition's own business.
func folded(states []string) string {
	const again = "Complete Wait PollStatus "
	path := strings.Join(states, " ") + " "
	for strings.Contains(path, again+again) {
		path = strings.ReplaceAll(path, again+again, again)
	}
	return strings.TrimSpace(path)
}

// leaves checks the world that the run left behind.
func (p path) leaves(w *world, r *history.Record, asked policy.Policy) {
	w.Helper()
	deadline := time.Duration(asked.Freeze.DeadlineSeconds) * time.Second
	time.Sleep(deadline + time.Second)
	for _, m := range w.mounts {
		if w.sim.Frozen(m) {
			w.Errorf("%s is frozen", m)
		}
	}
	if got := time.Duration(w.frozen.Load()); got > deadline {
		w.Errorf("something stood frozen for %s, past the deadline of %s", got, deadline)
	}
	// A session ends by itself after its scripts' time, its window and two minutes.
	if got := w.writes(2*asked.Application.Limit() + deadline + 2*time.Minute); got == p.resting {
		w.Errorf("the application writes: %v, want %v", got, !p.resting)
	}
	if heard := w.told.heard(r.RunID); p.states == refused && slices.Contains(heard, protocol.Begin) || p.code == "InstanceNotOptedIn" && len(heard) > 0 {
		w.Errorf("the instance was told %q", heard)
	}
	w.labels(r)
	w.tells(p, r)
	if v := r.State.Verdict; v != nil && v.Consistency != "" {
		w.verify(r)
	}
	if problems := w.metrics.Problems(); len(problems) > 0 {
		w.Errorf("metrics that CloudWatch would drop: %q", problems)
	}
}

// labels wants no more than one set, each of its snapshots tagged with its run
// and with what the verdict says of it.
func (w *world) labels(r *history.Record) {
	w.Helper()
	all := w.snapshots()
	if n := len(all); n != 0 && n != len(w.volumes) {
		w.Errorf("there are %d snapshots of %d volumes", n, len(w.volumes))
	}
	for id, tags := range all {
		want := "none"
		if v := r.State.Verdict; v == nil {
			want = ""
			if r.Status == "ABORTED" { // the tag step goes on alone
				want = tags[port.TagConsistency]
			}
		} else if v.Consistency != "" {
			want = string(v.Consistency)
		}
		if tags[port.TagRun] != r.RunID || tags[port.TagConsistency] != want {
			w.Errorf("%s: got the tags %q, want run %q and consistency %q", id, tags, r.RunID, want)
		}
		if app := tags[port.TagApp]; want != "" && (app == "True") != (want == string(run.Application)) {
			w.Errorf("%s: %s is %s, of consistency %q", id, port.TagApp, app, want)
		}
	}
}

var finals = map[run.Outcome]string{
	run.OutcomeCompleted: events.TypeCompleted, run.OutcomeDegraded: events.TypeDegraded,
	run.OutcomeFailedClean: events.TypeFailed, run.OutcomeFailedDirty: events.TypeFailed, "": events.TypeFailed,
}

// tells wants one final event of the right type, and an event of every step.
func (w *world) tells(p path, r *history.Record) {
	w.Helper()
	if r.Status == "ABORTED" {
		return // past every state that tells
	}
	for _, kind := range []string{events.TypeCompleted, events.TypeDegraded, events.TypeFailed, events.TypeThawFailed} {
		want := 0
		if kind == finals[p.outcome] || kind == events.TypeThawFailed && p.alarm {
			want = 1
		}
		if p.twice {
			want *= 2
		}
		if p.silent {
			want = 0
		}
		if got := len(w.published(r.RunID, kind)); got != want {
			w.Errorf("%d events %q, want %d", got, kind, want)
		}
	}
	told := map[any]bool{}
	for _, d := range w.published(r.RunID, events.TypeStep) {
		told[d["step"]] = true
	}
	for state, step := range map[string]string{"Precheck": "precheck", "RunPrescript": "run-prescript", "Freeze": "freeze",
		"Snapshot": "snapshot", "Thaw": "thaw", "PollStatus": "poll-status", "Tag": "tag"} {
		dead := step == "tag" && p.outcome == "" // which is told of by the definition itself
		if slices.Contains(r.States, state) && !told[step] && !p.silent && !dead && step != p.untold {
			w.Errorf("no event tells of the step %s", step)
		}
	}
}

// verify restores the set and lets the oracle judge it by what it is called.
func (w *world) verify(r *history.Record) {
	w.Helper()
	acks, err := w.acks(w.Context())
	w.must(err)
	restored, err := w.restore(w.Context(), r.RunID, w.volumes)
	w.must(err)
	contents, err := w.simStage.read(w.Context(), restored, run.Crash)
	w.must(err)
	if got := ledger.Verify(theCase(r.State, w.simStage, contents, acks)); !got.Verified {
		w.Errorf("the set is called %s, and the oracle finds %+v", r.State.Verdict.Consistency, got)
	}
}

func TestPaths(t *testing.T) {
	for _, p := range thinned(slices.Concat(ends, faults)) {
		t.Run(p.name, p.run)
	}
}

// A path that is never taken is a promise that nobody has tried.
func TestEveryStateIsOnAPath(t *testing.T) {
	var definition struct {
		States map[string]struct{ Type string }
	}
	if err := json.Unmarshal([]byte(workflow.Snapshot()), &definition); err != nil {
		t.Fatal(err)
	}
	for _, p := range slices.Concat(ends, faults) {
		for _, s := range strings.Fields(p.states) {
			delete(definition.States, s)
		}
	}
	for _, c := range endsOnWindows {
		for _, s := range strings.Fields(c.states) {
			delete(definition.States, s)
		}
	}
	for name, s := range definition.States {
		t.Errorf("no path comes through the %s state %s", s.Type, name)
	}
}
