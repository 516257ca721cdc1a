package local

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/functions/edge"
	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/aliyun/ecs"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/local/sim"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/shared/history"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// abroad is the world of the paths in an account of the other cloud: the same
// machine in virtual time, the same handlers, that cloud's definition, provider
// and wire.
type abroad struct {
	*world // without its account
	there  *alibaba
	local  *runtimeapi.Local
}

func inAlibaba(t *testing.T, s setting, test func(w *abroad)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newAbroad(t, s)
		defer w.end()
		test(w)
	})
}

func newAbroad(t *testing.T, s setting) *abroad {
	t.Helper()
	plan, err := fault.New(s.faults...)
	stage, err2 := openSimulated(t.Context(), Defaults())
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	stage.sim = sim.New(sim.Config{Clock: func() time.Time { return time.Now().Add(s.skew) }})
	stage.monoAt, _ = stage.sim.Clock()
	stage.wallAt = time.Now()
	plan.Slowness, plan.Lateness = s.slowness, s.lateness
	if s.completion == 0 {
		s.completion = 100 * time.Millisecond
	}
	if s.unlisted == 0 {
		s.unlisted = time.Second
	}
	w := &abroad{world: &world{T: t, simStage: stage, setting: s, told: &hearing{Machine: stage.sim, verbs: map[string][]protocol.Verb{}}}}
	a := &alibaba{faults: plan, engine: engine.New(engine.Config{})}
	a.cloud = aliyun.New(aliyun.Config{
		Disks: stage.sim, Engine: a.engine, Faults: plan, Latency: s.latency,
		ECS: ecs.Config{Completion: s.completion, Visible: s.unlisted, Provision: s.provision, Stopped: a.halt},
	})
	for kind, do := range stage.hooks() {
		plan.On(kind, do)
	}
	w.there = a
	a.operator = alicloud.New(a.cloud.Client("operator"), alicloud.Options{AssetBucket: bucket})
	a.cloud.OSS.Put(bucket, "helper", []byte("the helper"))
	w.install()
	w.volumes, err = a.rent(t.Context(), overheard{stage, w.told}, 2)
	w.must(err)
	w.furnish()
	w.watch()
	time.Sleep(time.Second)
	return w
}

// install is what a deployment does, with the functions in process.
func (w *abroad) install() {
	w.local = &runtimeapi.Local{Handlers: map[string]runtimeapi.Handler{}, Timeouts: functions.Timeouts}
	for _, name := range functions.FlowNames {
		provider := alicloud.New(w.there.cloud.Client(name), alicloud.Options{
			AssetBucket: bucket, Bus: busName, Helpers: map[string]alicloud.Helper{"amd64": {Key: "helper", SHA256: checksum([]byte("the helper"))}},
			Flow: flowName, Janitor: janitorName, Verifier: verifierName, Restorer: restorerName, RestoreJanitor: restoreJanitor,
		})
		step := functions.Table(functions.Deps{Cloud: provider, Keeper: provider, Metrics: w.there.metrics.Writer(name)})[name]
		w.local.Handlers[name] = runtimeapi.Edge(edge.Flow(name, step, nil))
	}
	w.must(w.there.install(w.local))
}

func (w *abroad) end() {
	w.there.cloud.Close()
	w.there.engine.Close()
	w.local.Wait()
	w.unwatch()
	w.watched.Wait()
	w.must(w.simStage.close())
}

// record starts a run by the service's own API and reads it when it has ended.
func (w *abroad) record(p path) *history.Record {
	w.Helper()
	asked := w.policy()
	if p.policy != nil {
		p.policy(&asked)
	}
	input, err := json.Marshal(run.Request{InstanceID: aliyunInstance, Policy: asked})
	w.must(err)
	w.must(w.there.operator.StartExecution(w.Context(), flowName, "run-1", input))
	all, err := w.there.engine.List(flowName, engine.Running)
	w.must(err)
	_, err = w.there.engine.Wait(w.Context(), all[0].ARN)
	w.must(err)
	r, err := w.there.operator.Look(w.Context(), flowName, "run-1")
	w.must(err)
	p.leavesAbroad(w, r, time.Duration(asked.Freeze.DeadlineSeconds)*time.Second)
	return r
}

// leavesAbroad checks the world that the run left behind.
func (p path) leavesAbroad(w *abroad, r *history.Record, deadline time.Duration) {
	w.Helper()
	time.Sleep(deadline + time.Second)
	for _, m := range w.mounts {
		if w.sim.Frozen(m) {
			w.Errorf("%s is frozen", m)
		}
	}
	if got := time.Duration(w.frozen.Load()); got > deadline {
		w.Errorf("something stood frozen for %s, past the deadline of %s", got, deadline)
	}
	if got := w.writes(10 * time.Minute); got == p.resting {
		w.Errorf("the application writes: %v, want %v", got, !p.resting)
	}
	snapshots := w.there.cloud.ECS.All()
	if n := len(snapshots); n != 0 && n != len(w.volumes) {
		w.Errorf("there are %d snapshots of %d volumes", n, len(w.volumes))
	}
	want := ""
	if v := r.State.Verdict; v != nil {
		if want = string(v.Consistency); want == "" {
			want = "none"
		}
	}
	for id, tags := range snapshots {
		if tags[port.TagRun] != "run-1" || tags[port.TagConsistency] != want || (tags[port.TagApp] == "True") != (want == string(run.Application)) {
			w.Errorf("%s: got the tags %q, want consistency %q", id, tags, want)
		}
	}
	if v := r.State.Verdict; v != nil && !p.silent {
		told := 0
		for _, e := range w.there.cloud.EventBridge.Events() {
			if e.Type == finals[v.Outcome] {
				told++
			}
		}
		if told == 0 || told > 1 != p.twice {
			w.Errorf("%d events %q", told, finals[v.Outcome])
		}
	}
	if v := r.State.Verdict; v != nil && v.Consistency != "" {
		w.verify(r)
	}
	for _, f := range w.there.faults.Unreached() {
		w.Errorf("the fault %s never happened", f)
	}
}

// verify restores the set and lets the oracle judge it by what it is called.
func (w *abroad) verify(r *history.Record) {
	w.Helper()
	acks, err := w.acks(w.Context())
	w.must(err)
	restored, err := w.there.restore(w.Context(), r.RunID, w.volumes)
	w.must(err)
	contents, err := w.simStage.read(w.Context(), restored, run.Crash)
	w.must(err)
	if got := ledger.Verify(theCase(r.State, w.simStage, contents, acks)); !got.Verified {
		w.Errorf("the set is called %s, and the oracle finds %+v", r.State.Verdict.Consistency, got)
	}
}

// theirs are the other cloud's names for what the paths plan.
var theirs = strings.NewReplacer(
	"CreateSnapshots", "CreateSnapshotGroup", "SendCommand", "RunCommand", "GetCommandInvocation", "DescribeInvocationResults",
	"CreateTags", "TagResources", "DescribeVolumes", "DescribeDisks",
)

// elsewhere are the paths that an account of the other cloud is put on by its
// own levers, and those that it goes differently, with why.
var elsewhere = map[string]func(*path, *func(*abroad)){
	"the instance has not opted in": func(_ *path, before *func(*abroad)) {
		*before = func(w *abroad) { w.there.cloud.ECS.Change(aliyunInstance, func(i *ecs.Instance) { clear(i.Tags) }) }
	},
	"the instance is stopped": func(_ *path, before *func(*abroad)) {
		*before = func(w *abroad) {
			w.there.cloud.ECS.Change(aliyunInstance, func(i *ecs.Instance) { i.State = "Stopped" })
		}
	},
	"the agent is gone": func(_ *path, before *func(*abroad)) {
		*before = func(w *abroad) {
			w.there.cloud.Assistant.SetOnline(aliyunInstance, false)
			time.Sleep(12 * time.Minute)
		}
	},

	// Cloud Assistant delivers for a minute, where the other agent was given
	// half of it.
	"freeze comes too late":        late,
	"run-prescript comes too late": late,

	// A function that died is not told from one that hung, which nobody asks
	// again inside the window.
	"freeze dies":            unasked,
	"freeze dies at its end": unasked,
	"every answer of the snapshot function is lost": func(p *path, _ *func(*abroad)) {
		p.faults, p.code = p.faults[:2], "FC.Unknown"
	},
	"every answer of the snapshot function is lost, and lists lag behind": func(p *path, _ *func(*abroad)) {
		p.faults, p.code = p.faults[:2], "FC.Unknown"
	},

	// A rule of CloudFlow cannot say that nothing is to be tried again: once is
	// the least.
	"the right to thaw is missing": func(p *path, _ *func(*abroad)) { p.faults = append(slices.Clone(p.faults), "thaw:deny@2") },

	// What a Fail says is fixed there.
	"the set cannot be labelled":    func(p *path, _ *func(*abroad)) { p.says = "The tag step failed" },
	"neither precheck nor tag work": func(p *path, _ *func(*abroad)) { p.says = "The tag step failed" },
}

func late(p *path, _ *func(*abroad)) { p.setting.lateness = 70 * time.Second }

func unasked(p *path, _ *func(*abroad)) {
	p.states, p.outcome, p.consistency, p.code = unfrozen+"Degraded", run.OutcomeDegraded, run.Crash, "FC.Unknown"
}

// The paths of a run are those of the other cloud too: for the same trouble the
// same states, the same end, and the same world left behind.
func TestPathsAbroad(t *testing.T) {
	for _, p := range thinned(slices.Concat(ends, faults)) {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			before := func(w *abroad) {
				if p.before != nil {
					p.before(w.world)
				}
			}
			if change := elsewhere[p.name]; change != nil {
				change(&p, &before)
			}
			s := p.setting
			for _, f := range p.faults {
				s.faults = append(s.faults, theirs.Replace(f))
			}
			inAlibaba(t, s, func(w *abroad) {
				before(w)
				r := w.record(p)
				states := slices.DeleteFunc(slices.Clone(r.States), func(s string) bool { return s == "WaitOn" })
				if got := folded(states); got != p.states {
					w.Errorf("path\n got %s\nwant %s", got, p.states)
				}
				v := r.State.Verdict
				if v == nil {
					v = &run.Verdict{Reason: r.Cause}
				}
				if v.Outcome != p.outcome || v.Consistency != p.consistency || v.Code != p.code || !strings.Contains(v.Reason, p.says) {
					w.Errorf("got %q %q %q because %q, want %q %q %q because of %q", v.Outcome, v.Consistency, v.Code, v.Reason, p.outcome, p.consistency, p.code, p.says)
				}
			})
		})
	}
}
