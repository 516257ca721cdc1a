package local

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/disk"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// serves skips a test where the server cannot be run.
func serves(t *testing.T, app string) {
	t.Helper()
	real(t)
	if missing := servers[app].missing(); missing != "" {
		t.Skip("SKIP needs " + missing)
	}
}

func on(app string, flags ...func(*Options)) func(*Options) {
	return func(o *Options) {
		o.App = app
		for _, f := range flags {
			f(o)
		}
	}
}

func TestRealMariaDB(t *testing.T) {
	serves(t, policy.MariaDB)
	impatient := func(o *Options) {
		o.Tune = func(a *policy.Application) { a.FTWRLWaitThreshold = 1 }
	}
	for _, c := range []struct {
		name        string
		with        func(*Options)
		outcome     run.Outcome
		consistency run.Consistency
		code        string
		says        string
	}{
		{"stages", on(policy.MariaDB), run.OutcomeCompleted, run.Application, "", "at rest and held"},
		{"read lock, xfs", on(policy.MariaDB, func(o *Options) {
			o.FS, o.Tune = disk.XFS, func(a *policy.Application) { a.Mode = "ftwrl" }
		}), run.OutcomeCompleted, run.Application, "", "at rest and held"},
		{"its session is killed in the window", on(policy.MariaDB, faulty("snapshot:kill-session")),
			run.OutcomeDegraded, run.Filesystem, "HoldLost", "on the server has ended"},
		{"the helper is killed in the window", on(policy.MariaDB, faulty("snapshot:kill-helper")),
			run.OutcomeDegraded, run.Crash, "HoldLost", "helper"},
		{"a long statement, and less will do", on(policy.MariaDB, impatient, faulty("run-prescript:long-query")),
			run.OutcomeDegraded, run.Filesystem, "ApplicationBusy", "the INSERT of connection"},
		{"a long statement, and less will not do", on(policy.MariaDB, impatient, faulty("run-prescript:long-query"), func(o *Options) {
			o.OnFailure = string(policy.Fail)
		}), run.OutcomeFailedClean, "", "ApplicationBusy", "the INSERT of connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := runs(t, c.with) // which also wants the set verified and nothing left frozen
			if r.Outcome != c.outcome || r.Consistency != c.consistency || r.Code != c.code || !strings.Contains(r.Reason, c.says) {
				t.Errorf("got %s, %q %q (%s), want %s, %q %q", r.Outcome, r.Consistency, r.Code, r.Reason, c.outcome, c.consistency, c.code)
			}
			a := r.Evidence.Application
			if a == nil || a.Kind != policy.MariaDB || a.ReleasedAt.IsZero() {
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
			t.Logf("pause %.0f ms, recovery %.0f ms, %v", r.ApplicationPauseMs, r.RecoveryMs, r.Notes)
		})
	}
}

// What Ctrl-C ends in the window leaves no server, no mount and no device.
func TestRealMariaDBInterrupted(t *testing.T) {
	serves(t, policy.MariaDB)
	t.Parallel()
	for _, by := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		c := intoTheWindow(t, "--app", "mariadb")
		if err := c.Process.Signal(by); err != nil {
			t.Fatal(err)
		}
		<-c.rest
		_ = c.Wait() // it was ended by a signal
		if by == syscall.SIGKILL {
			if _, err := disk.Sweep(""); err != nil { // as the next run does
				t.Fatal(err)
			}
		}
		gone(t, c.room)
	}
}

func TestAServerNeedsThisHost(t *testing.T) {
	o := Defaults()
	o.App, o.Simulate = policy.MariaDB, true
	if _, err := Run(t.Context(), o, quiet{t}); err == nil || !strings.Contains(err.Error(), "--app") {
		t.Errorf("got %v", err)
	}
	o = Defaults()
	o.App, o.NoFreeze = policy.MariaDB, true
	if err := o.Check(); err == nil || !strings.Contains(err.Error(), "freeze.enabled") {
		t.Errorf("got %v", err)
	}
	if !slices.Contains(names(servers), policy.MariaDB) {
		t.Error("there is no MariaDB")
	}
}
