package consistency_test

import (
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/consistency"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

func at(n int64) protocol.Stamp {
	return protocol.Stamp{Mono: n, Wall: time.Unix(0, n)}
}

// proved is a run in which everything went as the policy asked.
func proved() run.State {
	p := policy.Default()
	p.Application.Kind = policy.Script
	fs := func(mount, device string) protocol.FilesystemEvidence {
		return protocol.FilesystemEvidence{
			Mount: mount, Device: device, Type: "ext4", Thaw: "ok",
			FreezeAt: at(20), FrozenAt: at(30), BlockedAt: at(40), HeldAt: at(50), ThawAt: at(60), ThawedAt: at(70),
		}
	}
	return run.State{
		Run: run.Run{ID: "r1"},
		Plan: &run.Plan{
			RunID: "r1", Policy: p,
			Volumes:     []run.Volume{{ID: "vol-a"}, {ID: "vol-b"}},
			Filesystems: []protocol.Filesystem{{Mount: "/a", Device: "7:1"}, {Mount: "/b", Device: "7:2"}},
		},
		Prescript: &run.Prescript{Quiesced: true},
		Freeze:    &run.Freeze{Hold: "h1"},
		Set:       &run.Set{Hold: "h1"},
		Thaw: &run.Thaw{Evidence: &protocol.Evidence{
			RunID: "r1", Hold: "h1",
			Application: &protocol.ApplicationEvidence{Kind: policy.Script, QuiesceAt: at(1), QuiescedAt: at(10), Held: true, ReleasedAt: at(80)},
			Filesystems: []protocol.FilesystemEvidence{fs("/a", "7:1"), fs("/b", "7:2")},
			Thaw:        &protocol.ThawEvidence{Reason: "snapshot-taken", CallEnded: "h1", At: at(45)},
		}},
		Status: &run.Status{State: run.Completed, Snapshots: []run.Snapshot{
			{ID: "snap-1", VolumeID: "vol-a", State: run.Completed}, {ID: "snap-2", VolumeID: "vol-b", State: run.Completed},
		}},
	}
}

// byDocument makes it a run whose application a document of the user's held.
func byDocument(s *run.State) {
	s.Plan.Policy.Application = policy.Application{Kind: policy.ByDocument, Document: "Ledger"}
	s.Prescript.Document, s.Thaw.Document = &run.Document{ExecutionID: "x"}, &run.Document{ExecutionID: "x"}
	s.Thaw.Evidence.Application = &protocol.ApplicationEvidence{Kind: policy.ByDocument, QuiesceAt: at(1)}
}

// TestJudge takes one fact at a time away from a run that was proved: each one
// must cost the claim that rests on it.
func TestJudge(t *testing.T) {
	evidence := func(s *run.State) *protocol.Evidence { return s.Thaw.Evidence }
	tests := []struct {
		name string
		with func(*run.State)
		want run.Consistency
		code fault.Code
	}{
		{"everything proved", func(*run.State) {}, run.Application, ""},

		{"no plan", func(s *run.State) { s.Plan = nil; s.Failures.Precheck = &run.Failure{Error: "AgentOffline"} }, "", fault.AgentOffline},
		{"no set", func(s *run.State) { s.Set = nil; s.Failures.Snapshot = &run.Failure{Error: "SnapshotRefused"} }, "", fault.SnapshotRefused},
		{"no set and nobody failed", func(s *run.State) { s.Set = nil }, "", fault.Internal},
		{"never polled", func(s *run.State) { s.Status = nil }, "", fault.Internal},
		{"polling failed", func(s *run.State) { s.Status = nil; s.Failures.PollStatus = &run.Failure{Error: "Unavailable"} }, "", fault.Unavailable},
		{"set in error", func(s *run.State) { s.Status.State = run.Failed }, "", fault.SnapshotFailed},
		{"set pending too long", func(s *run.State) { s.Status.State = run.TimedOut }, "", fault.SnapshotTimedOut},
		{"a member missing", func(s *run.State) { s.Status.Snapshots = s.Status.Snapshots[:1] }, "", fault.SnapshotFailed},
		{"two sets", func(s *run.State) { s.Status.Snapshots = append(s.Status.Snapshots, s.Status.Snapshots...) }, "", fault.SnapshotFailed},

		{"freeze failed", func(s *run.State) { s.Freeze = nil; s.Failures.Freeze = &run.Failure{Error: "FreezeTimedOut"} }, run.Crash, fault.FreezeTimedOut},
		{"set made without the hold's name", func(s *run.State) { s.Set.Hold = "" }, run.Crash, fault.HoldLost},
		{"set made under another hold", func(s *run.State) { s.Set.Hold = "h0" }, run.Crash, fault.HoldLost},
		{"thaw failed", func(s *run.State) { s.Thaw = nil; s.Failures.Thaw = &run.Failure{Error: "AgentOffline"} }, run.Crash, fault.AgentOffline},
		{"no evidence", func(s *run.State) { s.Thaw.Evidence = nil }, run.Crash, fault.NoSession},
		{"another run's evidence", func(s *run.State) { evidence(s).RunID = "r2" }, run.Crash, fault.HoldLost},
		{"another hold's evidence", func(s *run.State) { evidence(s).Hold = "h2" }, run.Crash, fault.HoldLost},
		{"thawed by the deadline", func(s *run.State) { evidence(s).AutoThawed = true }, run.Crash, fault.HoldLost},
		{"thawed by a janitor", func(s *run.State) { evidence(s).Thaw.CallEnded = "" }, run.Crash, fault.HoldLost},
		{"nobody's thaw", func(s *run.State) { evidence(s).Thaw = nil }, run.Crash, fault.HoldLost},
		{"a sign of loss", func(s *run.State) {
			evidence(s).Lost = []protocol.Loss{{Code: fault.HoldLost, Subject: "/b", Message: "got through"}}
		}, run.Crash, fault.HoldLost},
		{"a filesystem without evidence", func(s *run.State) { evidence(s).Filesystems = evidence(s).Filesystems[:1] }, run.Crash, fault.HoldLost},
		{"another device at the mount", func(s *run.State) { evidence(s).Filesystems[1].Device = "7:9" }, run.Crash, fault.HoldLost},
		{"a filesystem not frozen", func(s *run.State) { evidence(s).Filesystems[1].FrozenAt = protocol.Stamp{} }, run.Crash, fault.FreezeRefused},
		{"a guard fired", func(s *run.State) { evidence(s).Filesystems[0].GuardFired = true }, run.Crash, fault.HoldLost},
		{"a tripwire never seen blocked", func(s *run.State) { evidence(s).Filesystems[0].BlockedAt = protocol.Stamp{} }, run.Crash, fault.HoldLost},
		{"a tripwire not blocked to the end", func(s *run.State) { evidence(s).Filesystems[0].HeldAt = protocol.Stamp{} }, run.Crash, fault.HoldLost},
		{"a tripwire looked at after the thaw", func(s *run.State) { evidence(s).Filesystems[0].HeldAt = at(65) }, run.Crash, fault.HoldLost},
		{"found thawed", func(s *run.State) { evidence(s).Filesystems[0].Thaw = "not-frozen" }, run.Crash, fault.HoldLost},
		{"a mount left writable", func(s *run.State) { s.Plan.Unfrozen = []string{"/"} }, run.Crash, ""},
		{"a filesystem mounted on the set meanwhile", func(s *run.State) {
			s.Plan.Volumes[1].Serials = []string{"volb"}
			evidence(s).Newcomers = []protocol.Mount{{Mount: "/new", Device: "7:9", Disks: []protocol.Disk{{Name: "nvme3n1", Serial: "volb"}}}}
		}, run.Crash, fault.FreezeRefused},
		{"a filesystem mounted from a file on the set meanwhile", func(s *run.State) {
			evidence(s).Newcomers = []protocol.Mount{{Mount: "/new", Device: "7:9", On: "/a", Disks: []protocol.Disk{{Name: "loop9"}}}}
		}, run.Crash, fault.FreezeRefused},
		{"a filesystem mounted elsewhere meanwhile", func(s *run.State) {
			evidence(s).Newcomers = []protocol.Mount{{Mount: "/usb", Device: "8:1", Disks: []protocol.Disk{{Name: "sdz"}}}}
		}, run.Application, ""},
		{"nothing mounted", func(s *run.State) { s.Plan.Filesystems = nil }, run.Crash, ""},
		{"a read-only filesystem", func(s *run.State) {
			evidence(s).Filesystems[1] = protocol.FilesystemEvidence{Mount: "/b", Device: "7:2", ReadOnly: true}
		}, run.Application, ""},

		{"no application asked for", func(s *run.State) { s.Plan.Policy.Application.Kind = policy.None }, run.Filesystem, ""},
		{"quiesce failed", func(s *run.State) { s.Failures.RunPrescript = &run.Failure{Error: "ScriptTimedOut"} }, run.Filesystem, fault.ScriptTimedOut},
		{"application never at rest", func(s *run.State) { evidence(s).Application.QuiescedAt = protocol.Stamp{} }, run.Filesystem, fault.ScriptFailed},
		{"application's hold not proved", func(s *run.State) { evidence(s).Application.Held = false }, run.Filesystem, fault.HoldLost},
		{"application's hold lost", func(s *run.State) {
			evidence(s).Lost = []protocol.Loss{{Code: fault.HoldLost, Subject: "application", Message: "connection gone"}}
		}, run.Filesystem, fault.HoldLost},
		{"frozen before the application was at rest", func(s *run.State) { evidence(s).Application.QuiescedAt = at(25) }, run.Filesystem, fault.HoldLost},
		{"no evidence of the application", func(s *run.State) { evidence(s).Application = nil }, run.Filesystem, fault.NoSession},

		{"no freeze asked for, application held", func(s *run.State) {
			s.Plan.Policy.Freeze.Enabled, s.Plan.Filesystems, evidence(s).Filesystems = false, nil, nil
		}, run.Application, ""},
		{"no freeze asked for, a server held", func(s *run.State) {
			s.Plan.Policy.Freeze.Enabled, s.Plan.Filesystems, evidence(s).Filesystems = false, nil, nil
			s.Plan.Policy.Application.Kind = policy.MariaDB
		}, run.Crash, ""},
		{"no freeze asked for, application not held", func(s *run.State) {
			s.Plan.Policy.Freeze.Enabled, s.Plan.Filesystems, evidence(s).Filesystems = false, nil, nil
			evidence(s).Application.Held = false
		}, run.Crash, fault.HoldLost},
		{"a document's word", byDocument, run.Application, ""},
		{"a document's word, and no freeze of ours", func(s *run.State) {
			byDocument(s)
			s.Plan.Policy.Freeze.Enabled, s.Plan.Filesystems, evidence(s).Filesystems = false, nil, nil
		}, run.Application, ""},
		{"a document that let go by itself", func(s *run.State) {
			byDocument(s)
			s.Thaw.Document.Error = &protocol.Failure{Code: fault.HoldLost, Message: "203"}
		}, run.Filesystem, fault.HoldLost},
		{"a document that let go by itself, and no freeze of ours", func(s *run.State) {
			byDocument(s)
			s.Plan.Policy.Freeze.Enabled, s.Plan.Filesystems, evidence(s).Filesystems = false, nil, nil
			s.Thaw.Document.Error = &protocol.Failure{Code: fault.HoldLost, Message: "203"}
		}, run.Crash, fault.HoldLost},
		{"a post-script that found nothing held", func(s *run.State) {
			byDocument(s)
			s.Thaw.Document.Error = &protocol.Failure{Code: fault.AlreadyThawed, Message: "205"}
		}, run.Filesystem, fault.AlreadyThawed},
		{"no post-script", func(s *run.State) { byDocument(s); s.Thaw.Document = nil }, run.Filesystem, fault.HoldLost},
		{"another execution's post-script", func(s *run.State) { byDocument(s); s.Thaw.Document.ExecutionID = "y" }, run.Filesystem, fault.HoldLost},
		{"no pre-script", func(s *run.State) { byDocument(s); s.Prescript.Document = nil }, run.Filesystem, fault.ScriptFailed},
		{"a pre-script that found something frozen", func(s *run.State) {
			byDocument(s)
			s.Prescript, s.Failures.RunPrescript = nil, &run.Failure{Error: "AlreadyFrozen"}
		}, run.Filesystem, fault.AlreadyFrozen},
		{"a document that froze the filesystems itself", func(s *run.State) {
			byDocument(s)
			s.Freeze, s.Failures.Freeze = nil, &run.Failure{Error: "ForeignFreeze"}
		}, run.Crash, fault.ForeignFreeze},
		{"a document under a hold that was lost", func(s *run.State) {
			byDocument(s)
			evidence(s).Filesystems[0].HeldAt = protocol.Stamp{}
		}, run.Crash, fault.HoldLost},

		{"nothing asked for", func(s *run.State) {
			s.Plan.Policy.Freeze.Enabled, s.Plan.Policy.Application.Kind = false, policy.None
			s.Freeze.Hold, s.Set.Hold, s.Thaw.Evidence = "", "", nil
		}, run.Crash, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := proved()
			tt.with(&s)
			got := consistency.Judge(s)
			if got.Consistency != tt.want || got.Code != tt.code {
				t.Errorf("got %q (%s: %s), want %q (%s)", got.Consistency, got.Code, got.Reason, tt.want, tt.code)
			}
			if got.Reason == "" {
				t.Error("no reason is given")
			}
		})
	}
}

// TestJudgeSaysWhatWasHeld claims no rest of writers whom nothing stopped.
func TestJudgeSaysWhatWasHeld(t *testing.T) {
	for _, tt := range []struct{ kind, mode, want string }{
		{policy.MySQL, "ftwrl", "the application was at rest and held, "},
		{policy.MySQL, policy.LockInstance, "the server's files and definitions were held, from which it recovers to its last commit, "},
		{policy.PostgreSQL, "checkpoint", "the server had made a checkpoint and its session ran through, "},
	} {
		s := proved()
		s.Plan.Policy.Application.Kind = tt.kind
		s.Thaw.Evidence.Application.Kind, s.Thaw.Evidence.Application.Mode = tt.kind, tt.mode
		if got := consistency.Judge(s); !strings.HasPrefix(got.Reason, tt.want) {
			t.Errorf("%s in %s: got %q", tt.kind, tt.mode, got.Reason)
		}
	}
}
