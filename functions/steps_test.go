package functions_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/functions/freeze"
	"github.com/quiesce/quiesce/functions/snapshot"
	"github.com/quiesce/quiesce/functions/tag"
	"github.com/quiesce/quiesce/functions/thaw"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/label"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

func aPlan() run.Plan {
	return run.Plan{
		RunID: "run-1", Policy: policy.Default(), Boot: "vol-0boot0000", Excluded: []string{"vol-0boot0000"},
		Target:      run.Target{Provider: "aws", Region: "eu-west-1", InstanceID: "i-0abc12345678def90"},
		Volumes:     []run.Volume{{ID: "vol-0aaaaaaaa"}, {ID: "vol-0bbbbbbbb"}},
		Filesystems: []protocol.Filesystem{{Mount: "/data", Device: "259:3"}, {Mount: "/log", Device: "259:4"}},
		Helper:      run.Helper{SHA256: "f00d", Arch: "arm64"},
	}
}

func frozen() *run.Freeze {
	return &run.Freeze{Hold: "hold-1", Record: run.Record{EndedAt: time.Now()}}
}

func TestFreezePublishesNothing(t *testing.T) {
	c := newCloud()
	got, err := do[run.Freeze](t, c, "freeze", freeze.Input{Plan: aPlan()})
	if err != nil || got.Hold != "hold-1" {
		t.Fatalf("got %+v, %v", got, err)
	}
	if slices.Contains(c.calls, "Publish") {
		t.Error("an event was published inside the window")
	}
	if c.sent[0].NotAfter.IsZero() {
		t.Error("the command would freeze however late it came")
	}
}

func TestFreezeWithoutAHoldIsNone(t *testing.T) {
	c := newCloud()
	c.helper = func(_ cloud.Command, r protocol.Request) protocol.Reply {
		reply := answer(r)
		reply.Evidence.Hold = ""
		return reply
	}
	_, err := do[run.Freeze](t, c, "freeze", freeze.Input{Plan: aPlan()})
	refused(t, err, fault.HoldLost, "")
}

func TestSnapshot(t *testing.T) {
	tagged := func(hold string) func() ([]cloud.TaggedSnapshot, error) {
		return func() ([]cloud.TaggedSnapshot, error) {
			return []cloud.TaggedSnapshot{{Snapshot: run.Snapshot{ID: "snap-1", VolumeID: "vol-0aaaaaaaa"}, Tags: map[string]string{cloud.TagHold: hold}}}, nil
		}
	}
	unknown := func(cloud.SetSpec) ([]run.Snapshot, error) {
		return nil, fault.New(fault.SnapshotOutcomeUnknown, "the reply was lost")
	}
	tests := []struct {
		name    string
		with    func(*fakeCloud)
		in      func(*snapshot.Input)
		creates int
		finds   bool
		hold    string
		code    fault.Code
	}{
		{"the first attempt only calls", func(*fakeCloud) {}, func(*snapshot.Input) {}, 1, false, "hold-1", ""},
		{"a second attempt looks and finds", func(c *fakeCloud) { c.findSet = tagged("hold-1") }, func(in *snapshot.Input) { in.Attempt = 1 }, 0, true, "hold-1", ""},
		{"a second attempt looks and calls", func(*fakeCloud) {}, func(in *snapshot.Input) { in.Attempt = 1 }, 1, true, "hold-1", ""},
		{"a redriven first attempt looks", func(c *fakeCloud) { c.findSet = tagged("hold-1") }, func(in *snapshot.Input) { in.Freeze.Record.EndedAt = time.Now().Add(-time.Minute) }, 0, true, "hold-1", ""},
		{"without a freeze it looks", func(*fakeCloud) {}, func(in *snapshot.Input) { in.Freeze = nil }, 1, true, "", ""},
		{"a lost reply is looked up", func(c *fakeCloud) { c.createSet, c.findSet = unknown, tagged("hold-1") }, func(*snapshot.Input) {}, 1, true, "hold-1", ""},
		{"a lost reply that left nothing", func(c *fakeCloud) { c.createSet = unknown }, func(*snapshot.Input) {}, 1, true, "", fault.SnapshotOutcomeUnknown},
		{"a refusal", func(c *fakeCloud) {
			c.createSet = func(cloud.SetSpec) ([]run.Snapshot, error) { return nil, fault.New(fault.SnapshotRefused, "no") }
		}, func(*snapshot.Input) {}, 1, false, "", fault.SnapshotRefused},
		{"throttled once", func(c *fakeCloud) {
			create, n := c.createSet, 0
			c.createSet = func(s cloud.SetSpec) ([]run.Snapshot, error) {
				if n++; n == 1 {
					return nil, fault.New(fault.SnapshotThrottled, "slow down")
				}
				return create(s)
			}
		}, func(*snapshot.Input) {}, 2, false, "hold-1", ""},
		{"throttled for good", func(c *fakeCloud) {
			c.createSet = func(cloud.SetSpec) ([]run.Snapshot, error) {
				return nil, fault.New(fault.SnapshotThrottled, "slow down")
			}
		}, func(*snapshot.Input) {}, 3, false, "", fault.SnapshotThrottled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCloud()
				tt.with(c)
				var spec cloud.SetSpec
				create := c.createSet
				c.createSet = func(s cloud.SetSpec) ([]run.Snapshot, error) { spec = s; return create(s) }
				in := snapshot.Input{Plan: aPlan(), Freeze: frozen()}
				tt.in(&in)
				got, err := do[run.Set](t, c, "snapshot", in)
				if fault.CodeOf(err) != tt.code {
					t.Fatalf("got %v", err)
				}
				if got.Hold != tt.hold {
					t.Errorf("hold %q, want %q", got.Hold, tt.hold)
				}
				created := 0
				for _, call := range c.calls {
					if call == "CreateSet" {
						created++
					}
				}
				if created != tt.creates || slices.Contains(c.calls, "FindSet") != tt.finds {
					t.Errorf("calls %v, want %d CreateSet, FindSet %v", c.calls, tt.creates, tt.finds)
				}
				if slices.Contains(c.calls, "Publish") || slices.Contains(c.calls, "TagSnapshots") {
					t.Errorf("calls %v: the window is no time for that", c.calls)
				}
				if created > 0 && (spec.Tags[cloud.TagRun] != "run-1" || spec.Tags[cloud.TagInstance] == "" || spec.Tags[cloud.TagMembers] == "" || !spec.ExcludeBoot || len(spec.Exclude) != 0) {
					t.Errorf("asked for %+v", spec)
				}
			})
		})
	}
}

func TestSnapshotsOfTwoHoldsAreOfNone(t *testing.T) {
	c := newCloud()
	c.findSet = func() ([]cloud.TaggedSnapshot, error) {
		return []cloud.TaggedSnapshot{{Tags: map[string]string{cloud.TagHold: "hold-1"}}, {Tags: map[string]string{cloud.TagHold: "hold-0"}}}, nil
	}
	got, err := do[run.Set](t, c, "snapshot", snapshot.Input{Plan: aPlan(), Freeze: frozen(), Attempt: 1})
	if err != nil || got.Hold != "" {
		t.Errorf("hold %q, %v", got.Hold, err)
	}
}

func TestThaw(t *testing.T) {
	full := func() thaw.Input {
		p := aPlan()
		return thaw.Input{Plan: &p, Prescript: &run.Prescript{}, Freeze: frozen(), Set: &run.Set{Hold: "hold-1"}}
	}
	t.Run("tells that the call had ended, and the events only after", func(t *testing.T) {
		c := newCloud()
		got, err := do[run.Thaw](t, c, "thaw", full())
		if err != nil || got.Evidence == nil || !got.Published {
			t.Fatalf("got %+v, %v", got, err)
		}
		if c.sent[0].Thaw.CallEnded != "hold-1" {
			t.Errorf("sent %+v", c.sent[0].Thaw)
		}
		if !c.sent[0].NotAfter.IsZero() {
			t.Error("a thaw must never be too late")
		}
		if slices.Index(c.calls, "Publish") < slices.Index(c.calls, "Send:thaw") {
			t.Errorf("calls %v", c.calls)
		}
		var steps []string
		for _, e := range c.bus {
			steps = append(steps, e.Detail.(events.Step).Step)
		}
		if !slices.Equal(steps, []string{"run-prescript", "freeze", "snapshot", "thaw"}) {
			t.Errorf("events of %v", steps)
		}
	})
	t.Run("without a set claims no end of a call", func(t *testing.T) {
		c := newCloud()
		in := full()
		in.Set, in.Failures.Snapshot = nil, &run.Failure{Error: "SnapshotRefused", Cause: "no"}
		if _, err := do[run.Thaw](t, c, "thaw", in); err != nil {
			t.Fatal(err)
		}
		if got := c.sent[0].Thaw; got.CallEnded != "" || got.Reason != "failure" {
			t.Errorf("sent %+v", got)
		}
	})
	t.Run("a bus that is down does not fail it", func(t *testing.T) {
		c := newCloud()
		c.publish = func([]events.Event) error { return fault.New(fault.Unavailable, "down") }
		got, err := do[run.Thaw](t, c, "thaw", full())
		if err != nil || got.Published {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("an instance that knows nothing of the run is let go", func(t *testing.T) {
		c := newCloud()
		c.refuse(protocol.Thaw, protocol.Failure{Code: fault.NoSession, Message: "unknown run"})
		if got, err := do[run.Thaw](t, c, "thaw", full()); err != nil || got.Evidence != nil {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("a hold that was lost is evidence, not a failed thaw", func(t *testing.T) {
		c := newCloud()
		c.refuse(protocol.Thaw, protocol.Failure{Code: fault.HoldLost, Message: "/data: got through"})
		if got, err := do[run.Thaw](t, c, "thaw", full()); err != nil || got.Evidence == nil {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("a thaw that failed is an error", func(t *testing.T) {
		c := newCloud()
		c.refuse(protocol.Thaw, protocol.Failure{Code: fault.ThawFailed, Message: "/data: input/output error"})
		_, err := do[run.Thaw](t, c, "thaw", full())
		refused(t, err, fault.ThawFailed, "")
	})
	t.Run("a janitor needs a run and its instance", func(t *testing.T) {
		c := newCloud()
		_, err := do[run.Thaw](t, c, "thaw", `{"run":{"id":"run-1"},"request":{"instanceId":"i-0abc12345678def90"},"plan":null}`)
		if err != nil || c.sent[0].Thaw.Reason != "janitor" || c.sent[0].RunID != "run-1" {
			t.Errorf("sent %+v, %v", c.sent, err)
		}
		if slices.Contains(c.calls, "FindSet") {
			t.Error("a janitor who was not told that the run broke off judged it")
		}
		_, err = do[run.Thaw](t, c, "thaw", `{"plan":null}`)
		refused(t, err, fault.InvalidInput, "")
	})
	t.Run("a janitor commands no instance that did not opt in", func(t *testing.T) {
		c := newCloud()
		c.instance.Tags = nil
		_, err := do[run.Thaw](t, c, "thaw", `{"run":{"id":"run-1"},"request":{"instanceId":"i-0abc12345678def90"},"plan":null}`)
		refused(t, err, fault.InstanceNotOptedIn, "")
		if len(c.sent) > 0 {
			t.Errorf("sent %+v", c.sent)
		}
	})
}

func TestTag(t *testing.T) {
	state := func() tag.Input {
		p := aPlan()
		p.Policy.Freeze.Enabled = false
		request := run.Typed(`{"instanceId":"i-0abc12345678def90"}`)
		return tag.Input{State: run.State{
			Run: run.Run{ID: "run-1"}, Request: request, Plan: &p, Prescript: &run.Prescript{}, Freeze: &run.Freeze{},
			Set:    &run.Set{Snapshots: []run.Snapshot{{ID: "snap-1", VolumeID: "vol-0aaaaaaaa"}, {ID: "snap-2", VolumeID: "vol-0bbbbbbbb"}}},
			Status: &run.Status{State: run.Completed, Snapshots: []run.Snapshot{{ID: "snap-1", VolumeID: "vol-0aaaaaaaa"}, {ID: "snap-2", VolumeID: "vol-0bbbbbbbb"}}},
			Thaw:   &run.Thaw{Published: true},
		}}
	}
	asks := func(in *tag.Input) { in.Plan.Policy.Freeze.Enabled = true }
	for _, tt := range []struct {
		name    string
		with    func(*tag.Input)
		outcome run.Outcome
		final   string
		thaw    bool
	}{
		{"what was asked", func(*tag.Input) {}, run.OutcomeCompleted, events.TypeCompleted, false},
		{"less than was asked", asks, run.OutcomeDegraded, events.TypeDegraded, false},
		{"no plan", func(in *tag.Input) {
			in.State = run.State{Run: in.Run, Request: in.Request, Failures: run.Failures{Precheck: &run.Failure{Error: "AgentOffline"}}}
		}, run.OutcomeFailedClean, events.TypeFailed, false},
		{"no set", func(in *tag.Input) {
			in.Set, in.Status, in.Failures.Snapshot = nil, nil, &run.Failure{Error: "SnapshotRefused"}
		}, run.OutcomeFailedClean, events.TypeFailed, false},
		{"not known to be thawed", func(in *tag.Input) { in.Thaw, in.Failures.Thaw = nil, &run.Failure{Error: "AgentOffline"} }, run.OutcomeFailedDirty, events.TypeFailed, true},
		{"an application that was not released", func(in *tag.Input) {
			in.Thaw.Evidence = &protocol.Evidence{Application: &protocol.ApplicationEvidence{Kind: policy.Script, QuiesceAt: protocol.Stamp{Mono: 1}}}
		}, run.OutcomeFailedDirty, events.TypeFailed, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud()
			in := state()
			tt.with(&in)
			got, err := do[run.Verdict](t, c, "tag", in)
			if err != nil || got.Outcome != tt.outcome {
				t.Fatalf("got %+v, %v", got, err)
			}
			finals, thaws := 0, 0
			for _, e := range c.bus {
				switch e.Type {
				case events.TypeStep:
				case events.TypeThawFailed:
					thaws++
				default:
					finals++
					if e.Type != tt.final {
						t.Errorf("published %s", e.Type)
					}
				}
			}
			if finals != 1 || thaws > 0 != tt.thaw {
				t.Errorf("%d final events, %d of a failed thaw", finals, thaws)
			}
			if in.Set != nil && c.tags["snap-2"][cloud.TagConsistency] != string(got.Consistency) {
				t.Errorf("tagged %v", c.tags)
			}
		})
	}
	t.Run("each snapshot tells where its volume was mounted", func(t *testing.T) {
		c := newCloud()
		in := state()
		in.Plan.Volumes = []run.Volume{{ID: "vol-0aaaaaaaa", Mounts: "ext4:/data"}, {ID: "vol-0bbbbbbbb"}}
		got, err := do[run.Verdict](t, c, "tag", in)
		if err != nil || c.tags["snap-1"][cloud.TagMounts] != "ext4:/data" || c.tags["snap-1"][cloud.TagConsistency] != string(got.Consistency) {
			t.Errorf("tags %v, %v", c.tags, err)
		}
		if _, told := c.tags["snap-2"][cloud.TagMounts]; told {
			t.Errorf("tags %v", c.tags)
		}
	})
	t.Run("each snapshot has the label of its backup", func(t *testing.T) {
		c := newCloud()
		in := state()
		files := protocol.Files{"backup_label": "START WAL LOCATION: 0/4000028 (file 000000010000000000000004)\nCHECKPOINT LOCATION: 0/4000060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\n" +
			"START TIME: 2026-11-28 08:46:12 UTC\nLABEL: quiesce\nSTART TIMELINE: 1\n", "tablespace_map": "16384 /srv/far\n"}
		in.Thaw.Evidence = &protocol.Evidence{Application: &protocol.ApplicationEvidence{Kind: policy.PostgreSQL, QuiesceAt: protocol.Stamp{Mono: 1}, ReleasedAt: protocol.Stamp{Mono: 2}, Files: files}}
		if _, err := do[run.Verdict](t, c, "tag", in); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"snap-1", "snap-2"} {
			if got := label.Files(c.tags[id][cloud.TagLabel], c.tags[id][cloud.TagSpaces]); !maps.Equal(got, files) {
				t.Errorf("%s: got %q of %v", id, got, c.tags[id])
			}
		}
	})
	t.Run("snapshots that a lost call left are labelled as none", func(t *testing.T) {
		c := newCloud()
		c.findSet = func() ([]cloud.TaggedSnapshot, error) {
			return []cloud.TaggedSnapshot{{Snapshot: run.Snapshot{ID: "snap-9"}}}, nil
		}
		in := state()
		in.Set, in.Status, in.Failures.Snapshot = nil, nil, &run.Failure{Error: "SnapshotOutcomeUnknown"}
		got, err := do[run.Verdict](t, c, "tag", in)
		if err != nil || got.Outcome != run.OutcomeFailedDirty || c.tags["snap-9"][cloud.TagConsistency] != "none" {
			t.Errorf("got %+v, tags %v, %v", got, c.tags, err)
		}
	})
	t.Run("a request that was refused is not refused again", func(t *testing.T) {
		c := newCloud()
		got, err := do[run.Verdict](t, c, "tag", `{"run":{"id":"run-1"},"request":{"instanceid":7,"polcy":1,"policy":{"nme":"x"}},"failures":{"precheck":{"Error":"InvalidInput","Cause":"nme: unknown field"}}}`)
		if err != nil || got.Outcome != run.OutcomeFailedClean || got.Code != string(fault.InvalidInput) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("a dead bus is insisted on, then let be", func(t *testing.T) {
		c := newCloud()
		c.publish = func([]events.Event) error { return fault.New(fault.Unavailable, "down") }
		in := state()
		if _, err := do[run.Verdict](t, c, "tag", in); fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("got %v", err)
		}
		in.Attempt = 3
		if got, err := do[run.Verdict](t, c, "tag", in); err != nil || got.Outcome != run.OutcomeCompleted {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("steps that died silently are told of", func(t *testing.T) {
		c := newCloud()
		in := state()
		in.Failures.PollStatus = &run.Failure{Error: "Sandbox.Timedout", Cause: "Task timed out after 60.00 seconds"}
		if _, err := do[run.Verdict](t, c, "tag", in); err != nil {
			t.Fatal(err)
		}
		if s, ok := c.bus[0].Detail.(events.Step); !ok || s.Step != "poll-status" || !strings.Contains(s.Reason, "timed out") {
			t.Errorf("published %+v", c.bus[0])
		}
	})
}

func TestAPanicBecomesAFault(t *testing.T) {
	c := newCloud()
	c.createSet = func(cloud.SetSpec) ([]run.Snapshot, error) { panic(errors.New("boom")) }
	_, err := do[run.Set](t, c, "snapshot", snapshot.Input{Plan: aPlan(), Freeze: frozen()})
	refused(t, err, fault.Internal, "")
}

// TestEveryStepRefusesAnEmptyInput: strict decoding sees what is too much, not
// what is missing.
func TestEveryStepRefusesAnEmptyInput(t *testing.T) {
	for _, name := range functions.Names {
		c := newCloud()
		_, err := do[json.RawMessage](t, c, name, `{}`)
		refused(t, err, fault.InvalidInput, "")
		if calls := slices.DeleteFunc(c.calls, func(s string) bool { return s == "Publish" }); len(calls) > 0 {
			t.Errorf("%s called %v", name, calls)
		}
	}
}
