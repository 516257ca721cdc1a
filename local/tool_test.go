package local

import (
	"strings"
	"testing"

	"github.com/quiesce/quiesce/local/plugin"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// The stand-in on this host: its scripts are run, the filesystems of the run are
// frozen by the kernel, and what it took is restored and checked like any set.
func TestRealPlugin(t *testing.T) {
	real(t)
	const taken = "Open Precheck Mode StartPlugin WaitPlugin WatchPlugin PluginEnded KeepSet PollStatus Complete Tag Outcome "
	for _, c := range []struct {
		name        string
		with        func(*Options)
		outcome     run.Outcome
		consistency run.Consistency
		code        string
		states      string
	}{
		{"ext4", func(*Options) {}, run.OutcomeCompleted, run.Application, "", taken + "Completed"},
		{"a silent degrade", faulty("plugin:degrade"), run.OutcomeDegraded, run.Filesystem, "ScriptUnsafe", taken + "Degraded"},
		{"the thaw fails", func(o *Options) { o.Faults, o.Deadline = []string{"plugin:exit-12"}, 5 }, run.OutcomeFailedDirty, run.Crash, "ThawFailed", taken + "FailedDirty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := runs(t, func(o *Options) { o.Cloud, o.Mode = Aliyun, string(policy.Plugin); c.with(o) })
			if r.Outcome != c.outcome || r.Consistency != c.consistency || r.Code != c.code {
				t.Errorf("got %s, %q %q (%s), want %s, %q %q", r.Outcome, r.Consistency, r.Code, r.Reason, c.outcome, c.consistency, c.code)
			}
			if got := impatient(strings.Join(r.States, " ")); got != impatient(c.states) {
				t.Errorf("took %s, want %s", got, c.states)
			}
			if r.Tool != plugin.Label {
				t.Errorf("the stand-in is called %q", r.Tool)
			}
			if r.LeftFrozen > 0 || r.Oracle == nil || !r.Oracle.Verified {
				t.Errorf("%d filesystems are left frozen, the oracle says %+v", r.LeftFrozen, r.Oracle)
			}
		})
	}
}

func TestModeIsOfOneCloud(t *testing.T) {
	o := Defaults()
	o.Mode = string(policy.Plugin)
	if err := o.Check(); err == nil || !strings.Contains(err.Error(), "--mode") {
		t.Errorf("got %v", err)
	}
	o.Cloud = Aliyun
	if err := o.Check(); err != nil {
		t.Error(err)
	}
}
