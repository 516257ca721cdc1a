package local

import (
	"strings"
	"testing"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/disk"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// Runs of servers other than MariaDB, each of which has its own ways to be lost.
func TestRealServers(t *testing.T) {
	patient := func(o *Options) { o.Timeout = 10 }
	for _, c := range []struct {
		app, name   string
		with        func(*Options)
		outcome     run.Outcome
		consistency run.Consistency
		code        string
		says        string
	}{
		{policy.PostgreSQL, "checkpoint", nil, run.OutcomeCompleted, run.Application, "", "made a checkpoint"},
		{policy.PostgreSQL, "backup, three volumes of xfs", func(o *Options) {
			o.FS, o.Volumes, o.Tune = disk.XFS, 3, func(a *policy.Application) { a.Mode = "backup" }
		}, run.OutcomeCompleted, run.Application, "", "made a checkpoint"},
		{policy.PostgreSQL, "its session is terminated in the window", faulty("snapshot:kill-session"),
			run.OutcomeDegraded, run.Filesystem, "HoldLost", "does not answer"},
		{policy.PostgreSQL, "the helper is killed in the window", faulty("snapshot:kill-helper"),
			run.OutcomeDegraded, run.Crash, "HoldLost", "helper"},
		{policy.PostgreSQL, "a checkpoint that does not end", faulty("run-prescript:long-query"),
			run.OutcomeDegraded, run.Filesystem, "ApplicationBusy", "making a checkpoint"},
		{policy.PostgreSQL, "a checkpoint that does not end, and less will not do", func(o *Options) {
			faulty("run-prescript:long-query")(o)
			o.OnFailure = string(policy.Fail)
		}, run.OutcomeFailedClean, "", "ApplicationBusy", "making a checkpoint"},
		{policy.Redis, "paused", nil, run.OutcomeCompleted, run.Application, "", "at rest and held"},
		{policy.Redis, "paused, xfs", func(o *Options) { o.FS = disk.XFS }, run.OutcomeCompleted, run.Application, "", ""},
		{policy.Redis, "its session is killed in the window", faulty("snapshot:kill-session"),
			run.OutcomeDegraded, run.Filesystem, "HoldLost", "does not answer"},
		{policy.Redis, "the helper is killed in the window", faulty("snapshot:kill-helper"),
			run.OutcomeDegraded, run.Crash, "HoldLost", "helper"},
		{policy.Redis, "a rewrite that does not end", faulty("run-prescript:long-query"),
			run.OutcomeDegraded, run.Filesystem, "ApplicationBusy", "being rewritten"},
	} {
		t.Run(c.app+", "+c.name, func(t *testing.T) {
			serves(t, c.app)
			t.Parallel()
			r := runs(t, on(c.app, patient, func(o *Options) {
				if c.with != nil {
					c.with(o)
				}
			}))
			if r.Outcome != c.outcome || r.Consistency != c.consistency || r.Code != c.code || !strings.Contains(r.Reason, c.says) {
				t.Errorf("got %s, %q %q (%s), want %s, %q %q", r.Outcome, r.Consistency, r.Code, r.Reason, c.outcome, c.consistency, c.code)
			}
			a := r.Evidence.Application
			if a == nil || a.Kind != c.app || a.ReleasedAt.IsZero() {
				t.Fatalf("the application was not released: %+v", a)
			}
			if proved := c.consistency == run.Application; a.Held != proved || proved && (a.SessionID == "" || a.Version == "") {
				t.Errorf("evidence: %+v", a)
			}
			if r.Changed != "" {
				t.Errorf("settings were left changed: %s", r.Changed)
			}
			if c.outcome == run.OutcomeDegraded && r.Events[events.TypeDegraded] != 1 {
				t.Errorf("published %v", r.Events)
			}
			if r.Consistency != "" && r.RecoveryMs == 0 {
				t.Error("no restored server was started")
			}
			t.Logf("%s: pause %.0f ms, recovery %.0f ms, %v", r.Reason, r.ApplicationPauseMs, r.RecoveryMs, r.Notes)
		})
	}
}
