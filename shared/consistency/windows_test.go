package consistency_test

import (
	"testing"

	"github.com/quiesce/quiesce/shared/consistency"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// onWindows is a run in which everything went well.
func onWindows(mode policy.Mode) run.State {
	p := policy.Default()
	p.Mode, p.Application.Kind = mode, policy.VSS
	s := run.State{Plan: &run.Plan{RunID: "run-1", Policy: p, Volumes: []run.Volume{{ID: "vol-a"}, {ID: "vol-b"}}}}
	members := []run.Snapshot{{ID: "snap-a", VolumeID: "vol-a", State: run.Completed}, {ID: "snap-b", VolumeID: "vol-b", State: run.Completed}}
	s.Set = &run.Set{Snapshots: members}
	s.Status = &run.Status{State: run.Completed, Snapshots: members}
	s.Plugin = &run.Plugin{State: run.PluginTaken, Set: s.Set, Labels: []run.PluginLabel{{SnapshotID: "snap-a", Application: true}, {SnapshotID: "snap-b", Application: true}}}
	if mode == policy.ByDiskshadow {
		s.Plugin = &run.Plugin{State: run.PluginMade, Shadows: &run.Shadows{SetID: "set", Copies: make([]run.ShadowCopy, 2)}}
	}
	return s
}

// Each fact is taken away in turn: without it less is claimed.
func TestWindows(t *testing.T) {
	for _, c := range []struct {
		name string
		mode policy.Mode
		with func(*run.State)
		want run.Consistency
		code fault.Code
	}{
		{"AWS's word on every snapshot", policy.ByVSS, func(*run.State) {}, run.Application, ""},
		{"without the writers", policy.ByVSS, func(s *run.State) { s.Plan.Policy.Application.Kind = policy.None }, run.Filesystem, ""},
		{"not on one of them", policy.ByVSS, func(s *run.State) { s.Plugin.Labels[1].Application = false }, run.Crash, fault.VssUnproved},
		{"on one that nobody read", policy.ByVSS, func(s *run.State) { s.Plugin.Labels = s.Plugin.Labels[:1] }, run.Crash, fault.VssUnproved},
		{"on none", policy.ByVSS, func(s *run.State) { s.Plugin.Labels = nil }, run.Crash, fault.VssUnproved},
		{"on all, by a command that failed", policy.ByVSS, func(s *run.State) { s.Plugin.Code, s.Plugin.Reason = string(fault.VssTimedOut), "late" }, run.Crash, fault.VssTimedOut},
		{"on all of another set", policy.ByVSS, func(s *run.State) { s.Plugin.Set = nil; s.Plugin.Code = string(fault.VssFailed) }, run.Crash, fault.VssFailed},
		{"taken without the document", policy.ByVSS, func(s *run.State) { s.Plugin, s.Failures.Plugin = nil, &run.Failure{Error: "AccessDenied"} }, run.Crash, fault.AccessDenied},
		{"nobody sent it", policy.ByVSS, func(s *run.State) { s.Plugin = nil }, run.Crash, fault.Internal},
		{"a volume twice", policy.ByVSS, func(s *run.State) { s.Status.Snapshots[1].VolumeID = "vol-a" }, "", fault.SnapshotFailed},
		{"a snapshot too many", policy.ByVSS, func(s *run.State) {
			s.Status.Snapshots = append(s.Status.Snapshots, run.Snapshot{ID: "snap-c", VolumeID: "vol-a"})
		}, "", fault.SnapshotFailed},
		{"no set, and no reason but the document's", policy.ByVSS, func(s *run.State) {
			s.Set, s.Plugin = nil, &run.Plugin{State: run.PluginEnded, Code: string(fault.VssWriterFailed), Reason: "x"}
		}, "", fault.VssWriterFailed},
		{"no set, for our own call failed", policy.ByVSS, func(s *run.State) { s.Set, s.Failures.Snapshot = nil, &run.Failure{Error: "SnapshotRefused"} }, "", fault.SnapshotRefused},

		{"shadow copies in the set", policy.ByDiskshadow, func(*run.State) {}, run.Crash, ""},
		{"none", policy.ByDiskshadow, func(s *run.State) { s.Plugin, s.Failures.Plugin = nil, &run.Failure{Error: "VssWriterFailed"} }, run.Crash, fault.VssWriterFailed},
		{"none, and nobody says why", policy.ByDiskshadow, func(s *run.State) { s.Plugin = nil }, run.Crash, fault.ShadowFailed},
		{"an answer without copies", policy.ByDiskshadow, func(s *run.State) { s.Plugin.Shadows = nil }, run.Crash, fault.ShadowFailed},
		{"no set after them", policy.ByDiskshadow, func(s *run.State) { s.Set, s.Failures.Snapshot = nil, &run.Failure{Error: "SnapshotTooSoon"} }, "", fault.SnapshotTooSoon},
	} {
		s := onWindows(c.mode)
		c.with(&s)
		got := consistency.Judge(s)
		if got.Consistency != c.want || got.Code != c.code || got.Reason == "" {
			t.Errorf("%s: got %+v, want %q, %q", c.name, got, c.want, c.code)
		}
	}
}
