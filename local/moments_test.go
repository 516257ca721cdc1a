package local

import (
	"fmt"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/run"
)

// A disturbance strikes at one moment of a run. Broken tells that a hold which
// stands then is over.
var disturbances = []struct {
	name   string
	broken bool
	strike func(*world)
}{
	{"the helper is killed", true, func(w *world) { w.sim.KillHelper() }},
	{"somebody else thaws", true, func(w *world) { _ = w.sim.Fsfreeze(w.Context(), w.mounts[1], false) }},
	{"somebody else thaws and freezes", true, func(w *world) {
		if w.sim.Fsfreeze(w.Context(), w.mounts[0], false) == nil {
			w.foreignFreeze(w.Context(), w.mounts[0])
		}
	}},
	{"the execution is stopped", false, func(w *world) { w.stopAll() }},
	{"the agent is cut off", false, func(w *world) { w.cloud.SSM.SetOnline(instanceID, false) }},
	{"the agent is away for a while", false, func(w *world) {
		w.cloud.SSM.SetOnline(instanceID, false)
		time.AfterFunc(20*time.Second, func() { w.cloud.SSM.SetOnline(instanceID, true) })
	}},
}

// Whatever strikes, and whenever: nothing stays frozen, nobody claims what was
// not held, and the application goes on.
func TestEveryMoment(t *testing.T) {
	const runLasts, apart = 2400 * time.Millisecond, 300 * time.Millisecond
	for i, d := range disturbances {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			for at := time.Duration(i+1) * 40 * time.Millisecond; at < runLasts; at += apart {
				inWorld(t, setting{}, func(w *world) {
					asked := w.policy()
					asked.Freeze.DeadlineSeconds = 10
					arn := w.start("run-1", w.request(asked))
					struck := time.Now().Add(at)
					time.AfterFunc(at, func() { d.strike(w) })
					r := w.wait(arn)
					p := path{name: fmt.Sprintf("after %s", at)}
					v := r.State.Verdict
					if v != nil {
						p.outcome, p.alarm = v.Outcome, v.Outcome == run.OutcomeFailedDirty
						if v.Consistency == run.Application && d.broken && struck.After(lastFrozen(r.State)) && struck.Before(r.State.Set.CallEndedAt) {
							t.Errorf("%s, %s: the set is called application-consistent", d.name, p.name)
						}
					} else if r.Status != "ABORTED" {
						t.Errorf("%s, %s: the run is %s without a verdict", d.name, p.name, r.Status)
					}
					time.Sleep(foreignHold)
					p.leaves(w, r, asked)
					if t.Failed() {
						t.Fatalf("%s, %s: %v %+v", d.name, p.name, r.States, v)
					}
				})
			}
		})
	}
}

func lastFrozen(s run.State) (last time.Time) {
	for _, f := range s.Thaw.Evidence.Filesystems {
		if f.FrozenAt.Wall.After(last) {
			last = f.FrozenAt.Wall
		}
	}
	return last
}
