package local

import (
	"strings"
	"testing"

	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

func automatic(p *policy.Policy) {
	p.Application = policy.Application{Kind: policy.Auto, TimeoutSeconds: 10}
}

// serving puts a server on the first volume, which nobody can speak to.
func serving(w *world) {
	w.sim.Serve(protocol.Found{
		Kind: "mariadb", Program: "mariadbd", PID: 7, Apart: "it runs in another mount namespace",
		Folders: []protocol.Folder{{Path: w.mounts[0] + "/db", Device: w.deviceOf(w.mounts[0])}},
	})
}

// deviceOf is the number of a mounted filesystem, as the helper sees it.
func (w *world) deviceOf(mount string) string {
	w.Helper()
	for _, m := range w.sim.Mounted() {
		if m.Mount == mount {
			return m.Device
		}
	}
	w.Fatalf("nothing is mounted at %s", mount)
	return ""
}

func TestAutoPaths(t *testing.T) {
	for _, p := range []path{
		{
			name: "auto, and no server runs", policy: automatic,
			states: whole + "Completed", outcome: run.OutcomeCompleted, consistency: run.Filesystem, says: "no application was to be quiesced",
		},
		{
			name: "auto, and the server is in a container", policy: automatic, before: serving,
			states: unquiet + "Degraded", outcome: run.OutcomeDegraded, consistency: run.Filesystem, code: "ApplicationRefused", says: "another mount namespace",
		},
		{
			name: "auto, the server is in a container, and less will not do", before: serving,
			policy: func(p *policy.Policy) { automatic(p); p.OnFailure = policy.Fail },
			states: refused, outcome: run.OutcomeFailedClean, code: "ApplicationRefused", says: "mariadbd, process 7",
		},
	} {
		t.Run(p.name, p.run)
	}
}

// What runs on the set's volumes is found, asked and held without being named.
func TestRealAuto(t *testing.T) {
	for _, app := range []string{policy.MariaDB, policy.PostgreSQL, policy.Redis} {
		t.Run(app, func(t *testing.T) {
			serves(t, app)
			t.Parallel()
			r := runs(t, on(app, func(o *Options) {
				o.Tune = func(a *policy.Application) {
					*a = policy.Application{Kind: policy.Auto, OptionFile: a.OptionFile, TimeoutSeconds: a.TimeoutSeconds}
				}
			}))
			if r.Outcome != run.OutcomeCompleted || r.Consistency != run.Application {
				t.Errorf("got %s, %q: %s", r.Outcome, r.Consistency, r.Reason)
			}
			if a := r.Evidence.Application; a == nil || a.Kind != app || !a.Held || a.SessionID == "" {
				t.Errorf("evidence: %+v", a)
			}
			picked := 0
			for _, s := range r.Servers {
				if s.Picked {
					picked++
					if s.Kind != app || s.Version == "" || s.PID == 0 || len(s.Folders) == 0 || !strings.Contains(s.Why, "only server") {
						t.Errorf("picked %+v", s)
					}
				} else if s.OnSet {
					t.Errorf("another one is on the set: %+v", s)
				}
			}
			if picked != 1 {
				t.Errorf("%d were picked of %+v", picked, r.Servers)
			}
		})
	}
}
