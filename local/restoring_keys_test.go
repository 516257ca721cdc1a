package local

import (
	"slices"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/local/aws/kms"
	"github.com/quiesce/quiesce/shared/restore"
)

// A set that is encrypted is restored by whoever may use its key, and the disks
// are encrypted with it.
func TestRestoreOfWhatIsEncrypted(t *testing.T) {
	for name, c := range map[string]struct {
		key  kms.Key
		asks func(r *restore.Request)
		ends string
		code string
	}{
		"the account's own key":                {kms.Key{}, nil, "Attach Attached Report Outcome Restored", ""},
		"the key of AWS":                       {kms.Key{Managed: true}, nil, "Attach Attached Report Outcome Restored", ""},
		"a key for services alone":             {kms.Key{Service: true}, nil, "Open Plan Report Outcome FailedClean", "AccessDenied"},
		"a key for services alone, with a yes": {kms.Key{Service: true}, func(r *restore.Request) { r.AcceptUncheckedKeys = true }, "Attach Attached Report Outcome Restored", ""},
		"a key that the planner alone may use": {kms.Key{Denied: []string{"restore-create"}}, nil, "Create Uncreated Report Outcome FailedClean", "AccessDenied"},
		"in place, the same":                   {kms.Key{Denied: []string{"restore-create"}}, func(r *restore.Request) { r.Mode = restore.InPlace }, "StartAgain StartedAgain Forget Report Outcome FailedClean", "AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			inRestore(t, nil, func(w *world) {
				encrypted(c.key)(w)
				asked := restore.Request{RunID: "encrypted", Mode: restore.Volumes}
				if c.asks != nil {
					c.asks(&asked)
				}
				r := w.asks("r", asked)
				if got := strings.Join(r.States, " "); !strings.HasSuffix(got, c.ends) || r.verdict.Code != c.code {
					t.Errorf("got %s: %s %s, want ... %s and %q", got, r.verdict.Code, r.verdict.Reason, c.ends, c.code)
				}
				w.keeps(name)
				if c.code != "" {
					if now := w.standing(); len(now) != 2 || slices.Contains(r.States, "Stop") {
						t.Errorf("by %v there are %v", r.States, now)
					}
					return
				}
				locked := 0
				for _, d := range r.plan.Disks {
					if d.Key != "" {
						locked++
					}
				}
				if locked != 1 || len(r.verdict.Created) != 2 {
					t.Errorf("%d of %+v are encrypted, want 1 of 2", locked, r.plan.Disks)
				}
				w.cleans("r")
			})
		})
	}
}

// EC2 finds out about a key once it has answered: the disk is broken then. It
// stops nothing, and is taken away like every other.
func TestRestoreOfWhichADiskBreaks(t *testing.T) {
	inRestore(t, nil, func(w *world) {
		encrypted(kms.Key{Denied: []string{"restore-create", "restore-plan"}})(w)
		r := w.asks("r", restore.Request{RunID: "encrypted", Mode: restore.InPlace, AcceptUncheckedKeys: true})
		if r.verdict.Code != "RestoreRefused" || r.verdict.Outcome != restore.FailedClean || !strings.Contains(r.verdict.Reason, "key") || slices.Contains(r.States, "Stop") {
			t.Errorf("got %+v by %v", r.verdict, r.States)
		}
		w.lists(r.verdict)
		w.cleans("r")
	})
}
