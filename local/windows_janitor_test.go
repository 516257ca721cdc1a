package local

import (
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	port "github.com/quiesce/quiesce/shared/cloud"
)

// A run after shadow copies that was stopped has none of them left on the
// instance, whatever came in its janitor's way; or its end says that they are.
func TestTheJanitorDropsShadowCopies(t *testing.T) {
	const window = "snapshot:stop-execution"
	for _, c := range []struct {
		faults []string
		within time.Duration // after the execution was stopped
		left   int
		says   string
	}{
		{[]string{"make-shadows:stop-execution"}, time.Minute, 0, "no shadow copy of the run is left"},
		{[]string{window}, 30 * time.Second, 0, "no shadow copy of the run is left"},
		{[]string{"drop-shadows:stop-execution"}, 30 * time.Second, 0, "no shadow copy of the run is left"},
		{[]string{window, "thaw:fail"}, 100 * time.Second, 0, "no shadow copy of the run is left"},
		{[]string{window, "thaw:crash-before"}, 100 * time.Second, 0, "no shadow copy of the run is left"},
		{[]string{window, "thaw:duplicate"}, 30 * time.Second, 0, "no shadow copy of the run is left"},
		{[]string{window, "thaw:late"}, 5 * time.Minute, 0, "may stay on the instance until its next one"},
		{[]string{window, "thaw/SendCommand:throttle"}, time.Minute, 0, "no shadow copy of the run is left"},
		{[]string{window, "thaw/SendCommand:lost-reply"}, time.Minute, 0, "no shadow copy of the run is left"},
		{[]string{window, "thaw/SendCommand:deny"}, 100 * time.Second, 0, "may stay on the instance until its next one"},
		{[]string{window, "thaw:agent-offline"}, 20 * time.Minute, 2, "may stay on the instance until its next one"},
	} {
		t.Run(strings.Join(c.faults, " "), func(t *testing.T) {
			t.Parallel()
			p := byDiskshadow(t)
			inWorld(t, setting{windows: true, faults: c.faults, definition: hasty}, func(w *world) {
				if r := w.wait(w.start("run-1", w.request(p))); r.Status != "ABORTED" {
					w.Fatalf("the execution is %s", r.Status)
				}
				time.Sleep(c.within)
				if got := w.agent().Shadows(); got != c.left {
					w.Errorf("%d shadow copies are on the instance, want %d", got, c.left)
				}
				told := w.published("run-1", events.TypeFailed)
				if len(told) != 1 {
					w.Fatalf("the end was told %d times: %v", len(told), told)
				}
				if said, _ := told[0]["reason"].(string); !strings.Contains(said, c.says) {
					w.Errorf("told %q, want %q", said, c.says)
				}
				if n := len(w.published("run-1", events.TypeThawFailed)); n != 0 {
					w.Error("a person was called to thaw a Windows that lets go by itself")
				}
				for id, tags := range w.snapshots() {
					if tags[port.TagConsistency] != "none" {
						w.Errorf("%s is labelled %q", id, tags[port.TagConsistency])
					}
				}
				if !w.writes(5 * time.Second) {
					w.Error("the application does not write any more")
				}
				for _, f := range w.faults.Unreached() {
					w.Errorf("%s was never reached", f)
				}
			})
		})
	}
}

// What a stopped run has left is in nobody's way: the next run makes its own
// copies at once.
func TestTheNextRunAfterAJanitorMakesItsOwnShadowCopies(t *testing.T) {
	t.Parallel()
	p := byDiskshadow(t)
	inWorld(t, setting{windows: true, faults: []string{"snapshot:stop-execution"}, definition: hasty}, func(w *world) {
		if r := w.wait(w.start("run-1", w.request(p))); r.Status != "ABORTED" {
			w.Fatalf("the execution is %s", r.Status)
		}
		time.Sleep(time.Minute)
		r := w.wait(w.start("run-2", w.request(p)))
		if v := r.State.Verdict; v == nil || v.Outcome != "completed" {
			w.Fatalf("got %+v of %v", v, r.States)
		}
		if got := w.agent().Shadows(); got != 0 {
			w.Errorf("%d shadow copies are left", got)
		}
	})
}
