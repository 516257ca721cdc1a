package main

import (
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local"
	"github.com/quiesce/quiesce/shared/cloud/awscloud/history"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// A line says what was done, not what the step is for.
func TestPassages(t *testing.T) {
	for _, c := range []struct {
		state string
		after run.State
		want  string
	}{
		{"RunPrescript", run.State{Prescript: &run.Prescript{}}, "no application"},
		{"RunPrescript", run.State{Prescript: &run.Prescript{Quiesced: true}}, "at rest"},
		{"Freeze", run.State{Freeze: &run.Freeze{}}, "no filesystem"},
		{"Freeze", run.State{Freeze: &run.Freeze{Hold: "h", Mounts: 2}}, "2 filesystems are frozen"},
		{"Snapshot", run.State{Set: &run.Set{}}, "one call"},
		{"Snapshot", run.State{Set: &run.Set{Found: true}}, "there already"},
		{"Thaw", run.State{Thaw: &run.Thaw{}}, "nothing was held"},
		{"Thaw", run.State{Thaw: &run.Thaw{Evidence: &protocol.Evidence{}}}, "released"},
		{"PollStatus", run.State{Status: &run.Status{State: run.Pending}}, "is pending"},
		{"PollStatus", run.State{Status: &run.Status{State: run.Completed}}, "is completed"},
	} {
		var out strings.Builder
		(&live{out: &out}).Passage(history.Passage{State: c.state, Type: "Task", Done: true, Took: time.Second, After: c.after})
		if got := out.String(); !strings.Contains(got, c.want) || !strings.Contains(got, "1000 ms") {
			t.Errorf("%s: got %q, want %q", c.state, got, c.want)
		}
	}
	var out strings.Builder
	(&live{out: &out}).Passage(history.Passage{State: "Freeze", Type: "Task", Done: true, Failed: "FreezeRefused"})
	if got := out.String(); !strings.Contains(got, "FreezeRefused") || strings.Contains(got, "frozen") {
		t.Errorf("got %q", got)
	}
}

func TestWindow(t *testing.T) {
	for _, c := range []struct {
		frozen, call float64
		want         string
	}{
		{0, 260, "none is known"}, {100, 260, "100 ms, less than the snapshot call of 260 ms"}, {300, 260, "300 ms, 40 ms beyond the snapshot call of 260 ms"},
	} {
		if got := window(&local.Report{FrozenMs: c.frozen, SnapshotCallMs: c.call}); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
