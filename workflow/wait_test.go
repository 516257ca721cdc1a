package workflow

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
)

// The wait for the set: an event ends it, and without one it ends all the same.
func TestWait(t *testing.T) {
	const (
		waited = window + "SetTaken PollStatus Complete Wait PollStatus Complete Tag Outcome Completed"
		outed  = window + "SetTaken PollStatus Complete Wait WaitOut PollStatus Complete Tag Outcome Completed"
	)
	for _, c := range []struct {
		name   string
		event  time.Duration
		await  []reply
		path   string
		took   time.Duration
		awaits int
	}{
		{"an event", 40 * time.Second, nil, waited, 40 * time.Second, 1},
		{"an event after the first attempt", 905 * time.Second, nil, waited, 12*900*time.Second + 11*time.Second, 12}, // its token is replaced
		{"no event", -1, nil, waited, 12*900*time.Second + 11*time.Second, 12},
		{"a registration that fails once", 40 * time.Second, once(fails(fault.Throttled)), waited, 40 * time.Second, 2},
		{"a registration that is denied", 40 * time.Second, once(fails(fault.AccessDenied)), outed, 900 * time.Second, 1},
		{"a registration that hangs", -1, times(12, answers("{}").within(20*time.Minute)), waited, 12*900*time.Second + 11*time.Second, 12},
		{"an answer that comes before the function's own", 10 * time.Second, once(answers("{}").within(20 * time.Second)), waited, 10 * time.Second, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{event: c.event, plan: map[string][]reply{"poll-status": once(polled("pending", 900)), "await": c.await}}
				got := execute(t.Context(), machine(t), w, `{}`)
				if got.path() != c.path {
					t.Errorf("path\n got %s\nwant %s", got.path(), c.path)
				}
				// A retry of a failure is jittered.
				if late := got.took - c.took; late < 0 || late > 2*time.Second {
					t.Errorf("took %v, want %v", got.took, c.took)
				}
				if n := w.count("await"); n != c.awaits {
					t.Errorf("%d registrations, want %d", n, c.awaits)
				}
				for _, step := range w.unspent() {
					t.Errorf("%s: a planned reply never came", step)
				}
			})
		})
	}
}

// A poll is told of the one before, and a wait of the set and its own token.
func TestWaitIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{plan: map[string][]reply{"poll-status": once(polled("pending", 60))}}
		execute(t.Context(), machine(t), w, `{}`)
		if in := w.last("poll-status"); !strings.Contains(in, `"status":{"state":"pending","waitSeconds":60}`) {
			t.Errorf("a poll is not told of the one before: %s", in)
		}
		if in := w.last("await"); !strings.Contains(in, `"set":{"callMs":120,`) || !strings.Contains(in, `,"token":"`) {
			t.Errorf("a wait is told %s", in)
		}
	})
}
