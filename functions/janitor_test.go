package functions_test

import (
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
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

// A run whose end is never told looks as if it went on. The janitor tells it
// though it could not do its work, and calls a person where that is unknown.
func TestTheJanitorTellsWhatItCouldNotDo(t *testing.T) {
	resting := func(_ cloud.Command, r protocol.Request) protocol.Reply {
		reply := answer(r, mounts...)
		reply.Evidence.Application = &protocol.ApplicationEvidence{Kind: "script", QuiesceAt: protocol.Stamp{Mono: 1, Wall: time.Now()}}
		reply.Error = &protocol.Failure{Code: fault.ScriptFailed, Message: "exit status 1"}
		return reply
	}
	for _, c := range []struct {
		name   string
		before func(*fakeCloud)
		fails  fault.Code // the function, so that it is tried again
		alarm  bool
		says   string
	}{
		{"the instance does not answer", func(c *fakeCloud) {
			c.refuse(protocol.Thaw, protocol.Failure{Code: fault.ThawFailed, Message: "/data hangs"})
		}, fault.ThawFailed, true, "not known whether the instance was let go"},
		{"the instance is gone", func(c *fakeCloud) { c.instance.ID = "i-0fff12345678def90" }, fault.InstanceNotFound, true, "not known"},
		{"the instance may not be commanded", func(c *fakeCloud) { c.instance.Tags = nil }, fault.InstanceNotOptedIn, false, "was not"},
		{"the application was not released", func(c *fakeCloud) { c.helper = resting }, "", true, "may still be at rest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := newCloud()
			fake.findSet = func() ([]cloud.TaggedSnapshot, error) {
				return []cloud.TaggedSnapshot{{Snapshot: run.Snapshot{ID: "snap-9"}}}, nil
			}
			c.before(fake)
			_, err := do[run.Thaw](t, fake, "thaw", `{"run":{"id":"run-1"},"request":{"instanceId":"i-0abc12345678def90"},"plan":null,"ended":{"status":"ABORTED"}}`)
			if got := fault.CodeOf(err); got != c.fails {
				t.Errorf("got %v, want %q", err, c.fails)
			}
			told := map[string]int{}
			for _, e := range fake.bus {
				if told[e.Type]++; e.Type == events.TypeFailed {
					if d := e.Detail.(events.Outcome); !strings.Contains(d.Reason, c.says) || d.Outcome != string(run.OutcomeFailedDirty) {
						t.Errorf("told %+v", d)
					}
				}
			}
			if alarmed := told[events.TypeThawFailed] == 1; told[events.TypeFailed] != 1 || alarmed != c.alarm {
				t.Errorf("told %v", told)
			}
			if fake.tags["snap-9"][cloud.TagConsistency] != "none" {
				t.Errorf("tags %v", fake.tags)
			}
		})
	}
}

// A plug-in lets go by itself, and no helper is there that could be asked to.
func TestTheJanitorCommandsNothingOfAPlugin(t *testing.T) {
	c := newAliyun()
	c.findSet = func() ([]cloud.TaggedSnapshot, error) {
		return []cloud.TaggedSnapshot{{Snapshot: run.Snapshot{ID: "s-bp1a"}}}, nil
	}
	_, err := do[run.Thaw](t, c, "thaw", `{"run":{"id":"run-1"},"request":`+pluginRequest+`,"plan":null,"ended":{"status":"Stopped"}}`)
	if err != nil || len(c.sent) != 0 || len(c.runs) != 0 {
		t.Errorf("it sent %v and %v, %v", c.sent, c.runs, err)
	}
	if got := c.tags["s-bp1a"]; got[cloud.TagConsistency] != "none" || !strings.Contains(got[cloud.TagReason], "plug-in goes on") {
		t.Errorf("the snapshot is tagged %v", got)
	}
}
