package functions_test

import (
	"testing"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/run"
)

func TestTheJanitorConcludesARunThatBrokeOff(t *testing.T) {
	for ended, concludes := range map[string]bool{
		`{"status":"ABORTED"}`:                         true,
		`{"status":"TIMED_OUT"}`:                       true,
		`{"status":"FAILED","error":"States.Runtime"}`: true,
		`{"status":"FAILED","error":"FailedDirty"}`:    false,
	} {
		c := newCloud()
		c.findSet = func() ([]cloud.TaggedSnapshot, error) {
			return []cloud.TaggedSnapshot{{Snapshot: run.Snapshot{ID: "snap-9"}}}, nil
		}
		_, err := do[run.Thaw](t, c, "thaw", `{"run":{"id":"run-1"},"request":{"instanceId":"i-0abc12345678def90"},"plan":null,"ended":`+ended+`}`)
		if err != nil {
			t.Fatal(err)
		}
		finals := 0
		for _, e := range c.bus {
			if e.Type == events.TypeFailed {
				finals++
			}
		}
		if labelled := c.tags["snap-9"][cloud.TagConsistency] == "none"; labelled != concludes || (finals == 1) != concludes {
			t.Errorf("%s: %d final events, tags %v", ended, finals, c.tags)
		}
	}
}

func TestTheJanitorLeavesAVerdictAlone(t *testing.T) {
	c := newCloud()
	c.findSet = func() ([]cloud.TaggedSnapshot, error) {
		return []cloud.TaggedSnapshot{{Snapshot: run.Snapshot{ID: "snap-9"}, Tags: map[string]string{cloud.TagConsistency: "application"}}}, nil
	}
	_, err := do[run.Thaw](t, c, "thaw", `{"run":{"id":"run-1"},"request":{"instanceId":"i-0abc12345678def90"},"plan":null,"ended":{"status":"ABORTED"}}`)
	if err != nil || len(c.tags) != 0 {
		t.Errorf("tags %v, %v", c.tags, err)
	}
}
