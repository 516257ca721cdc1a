package local

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/ecs"
	"github.com/quiesce/quiesce/local/ledger"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
)

// away is the world of a restore in an account of the other cloud: a set was
// taken of a machine one of whose disks ends with it, and much was written
// since.
type away struct {
	*abroad
	taken ledger.Span  // the call that made the set
	acks  []ledger.Ack // once the machine was stopped
	ended int64        // when that was
}

func inRestoreAbroad(t *testing.T, faults []string, test func(w *away)) {
	t.Helper()
	inRestoreAbroadOf(t, setting{faults: faults}, nil, test)
}

// inRestoreAbroadOf is the same in a world of another kind, and of a set with
// other tags.
func inRestoreAbroadOf(t *testing.T, s setting, tags map[string]string, test func(w *away)) {
	t.Helper()
	s.completion = 5 * time.Second
	inAlibaba(t, s, func(a *abroad) {
		w := &away{abroad: a}
		w.there.halted = func() {
			w.there.halted = nil
			acks, err := w.simStage.acks(w.Context())
			w.must(err)
			w.acks, w.ended = acks, w.mono(time.Now())
			for _, at := range w.mounts {
				w.must(w.sim.Unmount(at))
			}
			w.mounts = nil
		}
		w.must(w.there.operator.Bind(w.Context(), aliyunInstance, map[string]bool{w.volumes[1].device: true}))
		w.takes(theSet, tags)
		test(w)
	})
}

// takes makes a set with the tags that a run gives it, or others.
func (w *away) takes(id string, others map[string]string) []string {
	w.Helper()
	tags := map[string]string{
		port.TagRun: id, port.TagHold: "h-" + id, port.TagInstance: aliyunInstance, port.TagMembers: strconv.Itoa(len(w.volumes)),
		port.TagConsistency: string(run.Filesystem), port.TagReason: "every filesystem was held",
	}
	for k, v := range others {
		tags[k] = v
	}
	spec := port.SetSpec{InstanceID: aliyunInstance, Tags: tags}
	for _, v := range w.volumes {
		spec.Include = append(spec.Include, v.id)
	}
	began := w.mono(time.Now())
	set, err := w.there.operator.CreateSet(w.Context(), spec)
	w.must(err)
	if id == theSet {
		w.taken = ledger.Span{Start: began, End: w.mono(time.Now())}
	}
	time.Sleep(20 * time.Second) // it is complete and listed, and more is written
	var ids []string
	for _, s := range set {
		ids = append(ids, s.ID)
	}
	return ids
}

// standing are all disks of the account but the system disk, as one line each.
func (w *away) standing() map[string]string {
	w.Helper()
	all := map[string]string{}
	for id, d := range w.there.cloud.ECS.Disks() {
		if id == systemDisk {
			continue
		}
		all[id] = "loose"
		if d.Instance != "" {
			all[id] = fmt.Sprintf("attached %s %t", d.Device, d.Ends)
		}
	}
	return all
}

// original is how the account stood before anything was restored.
func (w *away) original() map[string]string {
	return map[string]string{
		w.volumes[0].id: "attached " + w.volumes[0].device + " false",
		w.volumes[1].id: "attached " + w.volumes[1].device + " true",
	}
}

// asks lets the flow do what is asked for.
func (w *away) asks(name string, asked restore.Request) *restoring {
	w.Helper()
	r, err := w.there.restoreBy(w.Context(), name, asked)
	w.must(err)
	return r
}

// keeps wants the original disks as they were, and the machine running.
func (w *away) keeps(after string) {
	w.Helper()
	now := w.standing()
	for id, want := range w.original() {
		if now[id] != want {
			w.Errorf("%s: %s is %q, want %q", after, id, now[id], want)
		}
	}
	if state := w.there.cloud.ECS.State(aliyunInstance); state != "Running" {
		w.Errorf("%s: the instance is %s", after, state)
	}
	w.whole(after)
}

// whole wants everything on the original disks that was ever acknowledged. They
// were not touched while the machine ran.
func (w *away) whole(after string) {
	w.Helper()
	if w.acks == nil {
		return
	}
	if got := w.judged(w.volumes, ledger.Span{Start: w.ended, End: w.ended}); !got.Verified {
		w.Errorf("%s: THE ORIGINAL IS LOST: %+v", after, got)
	}
}

// isTheSet wants disks to hold what the set does, no more and no less.
func (w *away) isTheSet(of []member, after string) {
	w.Helper()
	if got := w.judged(of, w.taken); !got.Verified || got.Records == 0 {
		w.Errorf("%s: the disks do not hold the set: %+v", after, got)
	}
	if got := w.judged(of, ledger.Span{Start: w.ended, End: w.ended}); got.Verified {
		w.Errorf("%s: the disks hold what was written after the set", after)
	}
}

// judged lets the oracle judge disks that nothing writes to.
func (w *away) judged(of []member, call ledger.Span) ledger.Result {
	w.Helper()
	list := make([]member, len(of))
	for i, v := range of {
		list[i] = member{v.id, w.there.cloud.ECS.Path(v.id)}
	}
	contents, err := w.simStage.read(w.Context(), list, run.Crash)
	w.must(err)
	for _, v := range contents.volumes {
		w.must(w.sim.Unmount(v.Name))
	}
	return ledger.Verify(ledger.Case{Asked: run.Crash, Volumes: contents.volumes, Acks: w.acks, Call: call})
}

// exists wants the original, on its disks or in what was kept of them.
func (w *away) exists(after string) {
	w.Helper()
	now := w.standing()
	for id := range w.original() {
		if now[id] == "" {
			w.Errorf("%s: THE ORIGINAL %s IS LOST", after, id)
		}
	}
}

// lists wants everything that is not the original's in the verdict.
func (w *away) lists(v *restore.Verdict) {
	w.Helper()
	for id := range w.standing() {
		listed := slices.ContainsFunc(v.Created, func(m restore.Made) bool { return m.ID == id })
		if _, first := w.original()[id]; !first && !listed {
			w.Errorf("%s was created, and the verdict does not list it", id)
		}
	}
	for _, id := range w.keptNow() {
		if !slices.ContainsFunc(v.Kept, func(k restore.Kept) bool { return k.ID == id }) {
			w.Errorf("%s was kept, and the verdict does not list it", id)
		}
	}
}

// keptNow are the snapshots that a restore's way back stands on.
func (w *away) keptNow() (ids []string) {
	for id, tags := range w.there.cloud.ECS.All() {
		if tags[port.TagRestore] != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// cleans lets everything that a restore has made be deleted, and wants nothing
// but the original and the sets left.
func (w *away) cleans(of string) {
	w.Helper()
	w.there.cloud.Assistant.SetOnline(aliyunInstance, true) // one that was cut off is back
	time.Sleep(time.Minute)
	w.asks(of+"-cleanup", restore.Request{Action: restore.Cleanup, RunID: of}) // refused where it made nothing
	if now := w.standing(); len(now) != len(w.original()) {
		w.Errorf("left after the cleanup: %v", now)
	}
	if kept := w.keptNow(); len(kept) > 0 {
		w.Errorf("kept after the cleanup: %v", kept)
	}
	for id, d := range w.there.cloud.ECS.Disks() {
		for _, mark := range []string{port.TagContent, port.TagReplaced} {
			if d.Tags[mark] != "" {
				w.Errorf("%s still says %s: %s", id, mark, d.Tags[mark])
			}
		}
	}
	w.keeps("cleanup")
}

// In place what is on the disks is kept, then the set takes its place on the
// same disks; the way back leads to what was kept.
func TestRestoreAbroadInPlace(t *testing.T) {
	inRestoreAbroad(t, nil, func(w *away) {
		r := w.asks("r", restore.Request{RunID: theSet, Mode: restore.InPlace})
		if want := "Open Plan Planned Create Created HowToGoOn Stop Stopped Swap Swapped Start Started Report Outcome Restored"; strings.Join(r.States, " ") != want {
			t.Fatalf("got %v: %+v, want %s", r.States, r.verdict, want)
		}
		if now := w.standing(); len(now) != 2 || len(r.verdict.Created) > 0 || len(r.verdict.Old) > 0 || len(r.verdict.Kept) != 2 || !r.plan.Resets {
			t.Errorf("got %+v, and %v stands", r.verdict, now)
		}
		w.isTheSet(w.volumes, "in place")
		if again := w.asks("r2", restore.Request{Action: restore.Cleanup, RunID: "r"}); !strings.Contains(again.verdict.Reason, "roll back first") {
			t.Errorf("a cleanup before the confirmation: %+v", again.verdict)
		}
		if twice := w.asks("r3", restore.Request{RunID: theSet, Mode: restore.InPlace}); !strings.Contains(twice.verdict.Reason, "has not ended") {
			t.Errorf("a second restore before the confirmation: %+v", twice.verdict)
		}
		back := w.asks("back", restore.Request{Action: restore.Rollback, RunID: "r"})
		if back.verdict.Outcome != restore.RolledBack {
			t.Fatalf("the way back: %v %+v", back.States, back.verdict)
		}
		w.keeps("rollback")
		if c := w.asks("confirm", restore.Request{Action: restore.Confirm, RunID: "r"}); c.verdict.Code != "InvalidInput" {
			t.Errorf("a confirmation after the way back: %+v", c.verdict)
		}
		w.cleans("r")
	})
}

// Once it is confirmed, what was kept is gone and nothing goes back.
func TestRestoreAbroadIsConfirmed(t *testing.T) {
	inRestoreAbroad(t, nil, func(w *away) {
		w.asks("r", restore.Request{RunID: theSet, Mode: restore.InPlace})
		c := w.asks("c", restore.Request{Action: restore.Confirm, RunID: "r"})
		if c.verdict.Outcome != restore.Settled || len(c.verdict.Kept) > 0 || len(w.keptNow()) > 0 {
			t.Fatalf("got %v %+v, and %v is kept", c.States, c.verdict, w.keptNow())
		}
		w.isTheSet(w.volumes, "confirmed")
		for _, action := range []string{restore.Rollback, restore.Cleanup, restore.Confirm} {
			if late := w.asks("late-"+action, restore.Request{Action: action, RunID: "r"}); late.verdict.Code != "InvalidInput" || late.verdict.Outcome != restore.FailedClean {
				t.Errorf("%s after the confirmation: %+v", action, late.verdict)
			}
		}
		if again := w.asks("again", restore.Request{RunID: theSet, Mode: restore.InPlace}); again.verdict.Outcome != restore.Restored {
			t.Errorf("a second time: %+v", again.verdict)
		}
	})
}

// Beside the original, disks of the set come under names that are free.
func TestRestoreAbroadBeside(t *testing.T) {
	inRestoreAbroad(t, nil, func(w *away) {
		r := w.asks("r", restore.Request{RunID: theSet, Mode: restore.Volumes})
		if r.verdict.Outcome != restore.Restored || len(r.verdict.Created) != 2 || len(r.verdict.Kept) > 0 {
			t.Fatalf("got %v %+v", r.States, r.verdict)
		}
		for _, d := range r.plan.Disks {
			if !strings.HasPrefix(d.Device, "/dev/xvd") || d.Kind != "cloud_essd" || r.plan.Zone != "cn-hangzhou-h" || strings.Contains(r.plan.CostHint, "gp3") {
				t.Errorf("got %+v in %s, %s", d, r.plan.Zone, r.plan.CostHint)
			}
		}
		w.keeps("volumes")
		w.cleans("r")
	})
}

func TestRestoreAbroadDryRun(t *testing.T) {
	inRestoreAbroad(t, nil, func(w *away) {
		for _, mode := range []restore.Mode{restore.Volumes, restore.InPlace} {
			r := w.asks("dry-"+string(mode), restore.Request{RunID: theSet, Mode: mode, DryRun: true})
			if r.verdict.Outcome != restore.Planned || len(r.plan.Disks) != 2 || r.plan.CostHint == "" || len(r.plan.Steps) < 3 || r.plan.Stops != (mode == restore.InPlace) {
				t.Errorf("%s: got %+v", mode, r.verdict)
			}
			w.keeps("dry run")
		}
		if now := w.standing(); len(now) != 2 || len(w.keptNow()) > 0 {
			t.Errorf("created %v, kept %v", now, w.keptNow())
		}
	})
}

// Bad input is refused before anything is created or stopped.
func TestRestoreAbroadRefuses(t *testing.T) {
	volumes := restore.Request{RunID: theSet, Mode: restore.Volumes}
	place := restore.Request{RunID: theSet, Mode: restore.InPlace}
	with := func(r restore.Request, change func(*restore.Request)) restore.Request { change(&r); return r }
	change := func(how func(*ecs.Instance)) func(*away) {
		return func(w *away) { w.there.cloud.ECS.Change(aliyunInstance, how) }
	}
	inRestoreAbroad(t, nil, func(w *away) {
		last := w.takes("gone", nil)
		w.must(w.there.operator.DeleteSnapshot(w.Context(), last[0]))
		w.takes("crash", map[string]string{port.TagConsistency: "crash", port.TagReason: "the hold was lost"})
		nothing := func(*away) {}
		for _, c := range []struct {
			name         string
			asked        restore.Request
			before, then func(*away)
			code, says   string
		}{
			{"an unknown set", with(volumes, func(r *restore.Request) { r.RunID = "nobody" }), nothing, nothing, "SetNotRestorable", "no snapshot"},
			{"an incomplete set", with(place, func(r *restore.Request) { r.RunID = "gone" }), nothing, nothing, "SetNotRestorable", "1 of 2"},
			{"crash-consistent, without a yes", with(place, func(r *restore.Request) { r.RunID = "crash" }), nothing, nothing, "InvalidInput", "the hold was lost"},
			{"another zone", with(volumes, func(r *restore.Request) { r.Zone = "cn-hangzhou-i" }), nothing, nothing, "InvalidInput", "request.zone"},
			{"an instance of another account", with(volumes, func(r *restore.Request) { r.InstanceID = "i-bp1234567890abcdef99" }), nothing, nothing, "InstanceNotFound", ""},
			{"in place elsewhere", with(place, func(r *restore.Request) { r.InstanceID = "i-bp1234567890abcdef99" }), nothing, nothing, "InvalidInput", "request.instanceId"},
			{"a device that is taken", with(volumes, func(r *restore.Request) { r.Devices = map[string]string{w.volumes[0].id: systemDevice} }), nothing, nothing, "InvalidInput", "is taken by"},
			{"a locked instance", place, change(func(i *ecs.Instance) { i.Locked = "security" }), change(func(i *ecs.Instance) { i.Locked = "" }), "RestoreRefused", "locked"},
			{
				"stopped in economical mode", place, change(func(i *ecs.Instance) { i.State, i.Mode = "Stopped", "StopCharging" }),
				change(func(i *ecs.Instance) { i.State, i.Mode = "Running", "KeepCharging" }), "RestoreRefused", "economical mode",
			},
			{
				"of a scaling group", place, change(func(i *ecs.Instance) { i.Tags["acs:autoscaling:scalingGroupId"] = "asg-1" }),
				change(func(i *ecs.Instance) { delete(i.Tags, "acs:autoscaling:scalingGroupId") }), "InvalidInput", "asg-1",
			},
			{"a rollback of nothing", restore.Request{Action: restore.Rollback, RunID: "nobody"}, nothing, nothing, "InvalidInput", "nothing can go back"},
		} {
			c.before(w)
			r := w.asks(strings.NewReplacer(" ", "-", ",", "").Replace(c.name), c.asked)
			c.then(w)
			if r.verdict == nil || r.verdict.Code != c.code || r.verdict.Outcome != restore.FailedClean || !strings.Contains(r.verdict.Reason, c.says) {
				t.Errorf("%s: got %+v, want %s because of %q", c.name, r.verdict, c.code, c.says)
			}
			if got := strings.Join(r.States, " "); got != "Open Plan Report Outcome FailedClean" {
				t.Errorf("%s: got the path %s", c.name, got)
			}
			if now := w.standing(); len(now) != 2 || len(w.keptNow()) > 0 {
				t.Errorf("%s: created %v", c.name, now)
			}
			w.keeps(c.name)
		}
	})
}
