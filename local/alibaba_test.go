package local

import (
	"slices"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/disk"
	"github.com/quiesce/quiesce/shared/run"
)

// The same machine, disks and oracle, in an account of the other cloud: its
// definition, its functions in the binary that is deployed, its wire protocols.
func TestRealAlibaba(t *testing.T) {
	real(t)
	const whole = "Open Precheck Mode RunPrescript Freeze Snapshot Thaw SetTaken PollStatus Complete Wait PollStatus Complete Tag Outcome "
	for _, c := range []struct {
		name        string
		with        func(*Options)
		outcome     run.Outcome
		consistency run.Consistency
		code        string
		states      string
	}{
		{"ext4", func(*Options) {}, run.OutcomeCompleted, run.Application, "", whole + "Completed"},
		{"xfs, nobody brings the application to rest", func(o *Options) { o.FS, o.App = disk.XFS, None }, run.OutcomeCompleted, run.Filesystem, "", whole + "Completed"},
		{"the set's reply is lost", faulty("snapshot:lost-reply"), run.OutcomeCompleted, run.Application, "", whole + "Completed"},
		{"somebody else thaws and freezes", faulty("snapshot:foreign-thaw"), run.OutcomeDegraded, run.Crash, "HoldLost", whole + "Degraded"},
		{"the execution is stopped", func(o *Options) { o.Faults, o.Deadline = []string{"snapshot:stop-execution"}, 5 }, run.OutcomeFailedDirty, "", "",
			"Open Precheck Mode RunPrescript Freeze Snapshot"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := runs(t, func(o *Options) { o.Cloud = Aliyun; c.with(o) })
			if r.Outcome != c.outcome || r.Consistency != c.consistency || r.Code != c.code {
				t.Errorf("got %s, %q %q, want %s, %q %q", r.Outcome, r.Consistency, r.Code, c.outcome, c.consistency, c.code)
			}
			if got := impatient(strings.Join(r.States, " ")); got != impatient(c.states) {
				t.Errorf("took %s, want %s", got, c.states)
			}
			if broke := c.outcome == run.OutcomeFailedDirty; broke && r.Events[events.TypeFailed] != 1 {
				t.Errorf("the janitor told %v", r.Events)
			}
			if c.outcome == run.OutcomeCompleted && (r.Events[events.TypeCompleted] != 1 || !slices.Contains(r.Metrics, "FrozenWindow")) {
				t.Errorf("told %v and %v", r.Events, r.Metrics)
			}
			for _, call := range r.InWindow {
				if strings.HasPrefix(call.Action, "Put") || call.Action == "TagResources" {
					t.Errorf("%s was called while the filesystems were frozen", call.Action)
				}
			}
		})
	}
}

// impatient is a path without its waits: how often a real run looks before the
// set or the plug-in is done depends on how busy the host is.
func impatient(path string) string {
	for _, wait := range []string{"Wait PollStatus Complete ", "WaitPlugin WatchPlugin PluginEnded "} {
		path = strings.ReplaceAll(path, wait, "")
	}
	return path
}
