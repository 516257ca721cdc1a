package local

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// documentary is a policy whose application a document of the user's holds.
func documentary(with ...func(*policy.Policy)) func(*policy.Policy) {
	return func(p *policy.Policy) {
		p.Application = policy.Application{Kind: policy.ByDocument, Document: ledgerDocument, TimeoutSeconds: 10}
		for _, w := range with {
			w(p)
		}
	}
}

func ourFreezeOff(p *policy.Policy) { p.Freeze.Enabled = false }

// answers lets a command of the document end as it is told, after it did its
// work or without; a code below 0 is its own.
func answers(command string, code int, works bool) func(*world) {
	return func(w *world) {
		w.sim.Document(ledgerDocument, func(ctx context.Context, p map[string]string) int {
			own := 0
			if works || p["command"] != command {
				own = w.writer.Document(ctx, p)
			}
			if p["command"] != command || code < 0 {
				return own
			}
			return code
		})
	}
}

// freezes is a document that freezes the filesystems itself, as published ones do.
func freezes(w *world) {
	w.sim.Document(ledgerDocument, func(ctx context.Context, p map[string]string) int {
		if p["command"] == "post-script" {
			for _, m := range w.mounts {
				_ = w.sim.Fsfreeze(ctx, m, false)
			}
			return w.writer.Document(ctx, p)
		}
		code := w.writer.Document(ctx, p)
		for i := len(w.mounts) - 1; i >= 0 && code == 0 && p["command"] == "pre-script"; i-- {
			if w.sim.Fsfreeze(ctx, w.mounts[i], true) != nil {
				return 201
			}
		}
		return code
	})
}

// documented are the ways of a run whose application a document holds.
var documented = []path{
	{
		name: "a document", policy: documentary(),
		states: whole + "Completed", outcome: run.OutcomeCompleted, consistency: run.Application,
		says: "the document Ledger-Quiesce said that the application was at rest",
	},
	{
		name: "a document without a freeze", policy: documentary(ourFreezeOff),
		states: whole + "Completed", outcome: run.OutcomeCompleted, consistency: run.Application, says: "without a freeze",
	},
	{
		name: "a document that freezes, and so does the policy", policy: documentary(), before: freezes,
		states: unfrozen + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Crash, code: "ForeignFreeze",
	},
	{
		name: "a document that freezes, and the policy leaves it to it", policy: documentary(ourFreezeOff), before: freezes,
		states: whole + "Completed", outcome: run.OutcomeCompleted, consistency: run.Application, says: "without a freeze",
	},
	{
		name: "a document's pre-script fails halfway", policy: documentary(), before: answers("pre-script", 201, true),
		states: unquiet + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Filesystem, code: "ScriptFailed", says: "201",
	},
	{
		name: "a document's pre-script fails, and less will not do", before: answers("pre-script", 201, true),
		policy:  documentary(func(p *policy.Policy) { p.OnFailure = policy.Fail }),
		states:  "Open Precheck Mode RunPrescript GoOnUnquiesced Thaw SetTaken Tag Outcome FailedClean",
		outcome: run.OutcomeFailedClean, code: "ScriptFailed",
	},
	{
		name: "a document's pre-script finds the application held", policy: documentary(), before: answers("pre-script", 204, true),
		states: unquiet + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Filesystem, code: "AlreadyFrozen",
	},
	{
		name: "a document's pre-script does not end", policy: documentary(),
		before: func(w *world) {
			w.sim.Document(ledgerDocument, func(ctx context.Context, p map[string]string) int {
				code := w.writer.Document(ctx, p)
				if p["command"] == "pre-script" {
					<-ctx.Done()
				}
				return code
			})
		},
		states: unquiet + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Filesystem, code: "ScriptTimedOut",
	},
	{
		name: "an application that is never ready", policy: documentary(func(p *policy.Policy) { p.Application.Retries = 1 }),
		before: answers("pre-script", 206, false),
		states: unquiet + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Filesystem, code: "ApplicationNotReady",
	},
	{
		name: "a document that lets go by itself", policy: documentary(), before: answers("post-script", 203, true),
		states: whole + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Filesystem, code: "HoldLost", says: "203",
	},
	{
		name: "a document that lets go by itself, without a freeze", policy: documentary(ourFreezeOff), before: answers("post-script", 203, true),
		states: whole + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Crash, code: "HoldLost", says: "203",
	},
	{
		name: "a document that somebody else has released", policy: documentary(),
		before: func(w *world) {
			w.sim.Document(ledgerDocument, func(ctx context.Context, p map[string]string) int {
				if p["command"] == "post-script" {
					w.writer.Document(ctx, p)
				}
				return w.writer.Document(ctx, p)
			})
		},
		states: whole + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Filesystem, code: "AlreadyThawed",
	},
	{
		name: "a document's post-script never succeeds", policy: documentary(), before: answers("post-script", 202, false),
		states: whole + "FailedDirty", outcome: run.OutcomeFailedDirty, consistency: run.Filesystem, code: "ScriptFailed",
		says: "post-script did not succeed", resting: true, alarm: true,
	},
	{
		name: "the helper dies in a document's window", policy: documentary(), faults: []string{"snapshot:kill-helper"},
		states: whole + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Crash, code: "HoldLost",
	},
	{
		name: "no set can be taken of a document's application", policy: documentary(), faults: []string{"snapshot:deny"},
		states: setless + "FailedClean", outcome: run.OutcomeFailedClean, code: "AccessDenied",
	},
}

func TestDocumentPaths(t *testing.T) {
	for _, p := range documented {
		t.Run(p.name, p.run)
	}
}

// Whoever stops the execution in its window: the janitor sends the post-script.
func TestTheJanitorReleasesADocument(t *testing.T) {
	t.Parallel()
	inWorld(t, setting{faults: []string{"snapshot:stop-execution"}}, func(w *world) {
		asked := w.policy()
		documentary()(&asked)
		r := w.wait(w.start("run-1", w.request(asked)))
		if r.Status != "ABORTED" {
			t.Fatalf("the execution is %s", r.Status)
		}
		if !w.writes(30 * time.Second) { // far less than any deadline
			t.Error("the application is still at rest")
		}
		if got := w.janitors.Load(); got != 1 {
			t.Errorf("the janitor thawed %d times", got)
		}
	})
}

// The janitor's post-script may come before the pre-script has done its work:
// the step that sent that one sees it and sends another.
func TestAJanitorThatOvertakesADocument(t *testing.T) {
	t.Parallel()
	inWorld(t, setting{faults: []string{"run-prescript:stop-execution"}}, func(w *world) {
		var mu sync.Mutex
		var told []string
		w.sim.Document(ledgerDocument, func(ctx context.Context, p map[string]string) int {
			if p["command"] == "pre-script" {
				time.Sleep(5 * time.Second)
			}
			mu.Lock()
			told = append(told, p["command"])
			mu.Unlock()
			return w.writer.Document(ctx, p)
		})
		asked := w.policy()
		documentary()(&asked)
		if r := w.wait(w.start("run-1", w.request(asked))); r.Status != "ABORTED" {
			t.Fatalf("the execution is %s", r.Status)
		}
		time.Sleep(30 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if want := []string{"dry-run", "post-script", "pre-script", "post-script"}; !slices.Equal(told, want) {
			t.Errorf("the document was told %v, want %v", told, want)
		}
		if !w.writes(30 * time.Second) {
			t.Error("the application is still at rest")
		}
	})
}

// A run that another one keeps out leaves alone what that one holds.
func TestADocumentIsLeftToTheRunThatHoldsIt(t *testing.T) {
	t.Parallel()
	inWorld(t, setting{}, func(w *world) {
		asked := w.policy()
		documentary()(&asked)
		holds := make(chan struct{}, 1)
		w.sim.Document(ledgerDocument, func(ctx context.Context, p map[string]string) int {
			code := w.writer.Document(ctx, p)
			if p["command"] == "pre-script" {
				holds <- struct{}{}
				time.Sleep(5 * time.Second)
			}
			return code
		})
		one := w.start("run-1", w.request(asked))
		<-holds
		two := w.start("run-2", w.request(asked))
		first := w.wait(one)
		if v := first.State.Verdict; v == nil || v.Consistency != run.Application {
			t.Errorf("the first run: %+v", v)
		}
		other := w.wait(two)
		if v := other.State.Verdict; v == nil || v.Code != "RunInProgress" {
			t.Errorf("the second run: %+v", v)
		}
	})
}

// The deployed binaries, the real agent, and a document whose shell runs here.
func TestRealDocument(t *testing.T) {
	real(t)
	t.Run("runs", func(t *testing.T) {
		for _, c := range []struct {
			name        string
			with        func(*Options)
			outcome     run.Outcome
			consistency run.Consistency
			code        string
		}{
			{"held and frozen", func(*Options) {}, run.OutcomeCompleted, run.Application, ""},
			{"held, not frozen", func(o *Options) { o.NoFreeze = true }, run.OutcomeCompleted, run.Application, ""},
			{"the execution is stopped", faulty("snapshot:stop-execution"), run.OutcomeFailedDirty, "", ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				r := runs(t, on(Document, c.with))
				if r.Outcome != c.outcome || r.Consistency != c.consistency || r.Code != c.code {
					t.Errorf("got %s, %q %q, want %s, %q %q", r.Outcome, r.Consistency, r.Code, c.outcome, c.consistency, c.code)
				}
				for _, m := range []string{"PreScriptCompleted", "PostScriptCompleted"} {
					if !slices.Contains(r.Metrics, m) {
						t.Errorf("no metric %s among %v", m, r.Metrics)
					}
				}
			})
		}
	})
	for _, room := range rooms(t) {
		if owner(room) == os.Getpid() {
			t.Errorf("%s was left behind: %v", room, remains(room))
		}
	}
}
