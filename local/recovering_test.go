package local

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/shared/atlas"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// alive asks for copies that come to life.
func alive(q restore.Recover) restore.Request {
	return restore.Request{RunID: theSet, Mode: restore.Volumes, Recover: &q}
}

// placesOf is what a run notes of a filesystem on its snapshot.
func placesOf(mount string) string {
	return atlas.PlacesTag([]protocol.Place{{Type: "ext4", Path: mount}}, 128)
}

// located notes on the set's snapshots what a run does: where their filesystems
// were, and of which server they are.
func (w *world) located() {
	w.Helper()
	out, err := w.ec2.DescribeSnapshots(w.Context(), &awsec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}})
	w.must(err)
	for _, s := range out.Snapshots {
		i := slices.IndexFunc(w.volumes, func(m member) bool { return m.id == *s.VolumeId })
		_, err := w.ec2.CreateTags(w.Context(), &awsec2.CreateTagsInput{Resources: []string{*s.SnapshotId}, Tags: []types.Tag{
			{Key: aws.String(port.TagMounts), Value: aws.String(placesOf(w.mounts[i]))}, {Key: aws.String(port.TagKind), Value: aws.String(policy.MariaDB)},
		}})
		w.must(err)
	}
}

// mounted are the places below a folder at which something is mounted.
func (s *simStage) mounted(below string) (places []string) {
	for _, m := range s.sim.Mounted() {
		if strings.HasPrefix(m.Mount, below+"/") {
			places = append(places, m.Mount)
		}
	}
	slices.Sort(places)
	return places
}

const (
	lives   = "Open Plan Planned Create Created HowToGoOn Attach Attached Recover Recovered Report Outcome "
	cleared = "Open Plan Planned Unmount IsUnmounted Settle IsSettled Report Outcome Settled"
)

// The plan says what will be where; the copies come to life there beside an
// original that goes on, and are unmounted before they go.
func TestRestoreThatComesToLife(t *testing.T) {
	inRestore(t, nil, func(w *world) {
		w.located()
		asked := alive(restore.Recover{At: "/mnt/restored", Mounts: map[string]string{"/mnt/volume-b": "/srv/b"}})
		asked.DryRun = true
		dry := w.asks("dry", asked)
		v := dry.plan.Revival
		if dry.verdict.Outcome != restore.Planned || v == nil || v.Application != policy.MariaDB || len(v.Places) != 2 || v.Places[0].At != "/mnt/restored/mnt/volume-a" || v.Places[1].At != "/srv/b" {
			t.Fatalf("got %+v with %+v", dry.verdict, v)
		}
		if said := strings.Join(dry.plan.Steps, "; "); !strings.Contains(said, "at /mnt/restored/mnt/volume-a") || !strings.Contains(said, "a second mariadb") {
			t.Errorf("the plan says %s", said)
		}
		asked.DryRun = false
		r := w.asks("r", asked)
		if got := strings.Join(r.States, " "); got != lives+"Restored" {
			t.Fatalf("got %s: %+v", got, r.verdict)
		}
		if got := append(w.mounted("/mnt/restored"), w.mounted("/srv")...); !slices.Equal(got, []string{"/mnt/restored/mnt/volume-a", "/srv/b"}) {
			t.Errorf("mounted at %v", got)
		}
		reply := r.verdict.Recovery
		if reply == nil || reply.Server == nil || reply.Server.Kind != policy.MariaDB || len(reply.Filesystems) != 2 || !strings.Contains(r.verdict.Reason, "came to life") {
			t.Errorf("got %+v with %+v", r.verdict, reply)
		}
		told := w.published("r", events.TypeRestored)
		if len(told) != 1 || told[0]["recoverySeconds"] != reply.Seconds || len(w.metrics.Values(telemetry.RestoreRecovery)) != 1 {
			t.Errorf("told %v, counted %v", told, w.metrics.Values(telemetry.RestoreRecovery))
		}
		w.keeps("life")
		// While somebody works on a copy, nothing is taken away.
		w.sim.Use("/srv/b", true)
		busy := w.asks("busy", restore.Request{Action: restore.Cleanup, RunID: "r"})
		if busy.verdict.Outcome != restore.FailedClean || busy.verdict.Code != "VolumeBusy" || !strings.Contains(busy.verdict.Reason, "/srv/b") || len(busy.verdict.Next) == 0 || len(w.standing()) != 4 {
			t.Errorf("a cleanup of what is in use: %+v, and %v stands", busy.verdict, w.standing())
		}
		w.sim.Use("/srv/b", false)
		clean := w.asks("clean", restore.Request{Action: restore.Cleanup, RunID: "r"})
		if got := strings.Join(clean.States, " "); got != cleared {
			t.Errorf("got %s: %+v", got, clean.verdict)
		}
		if got := append(w.mounted("/mnt/restored"), w.mounted("/srv")...); len(got) > 0 || len(w.standing()) != 2 {
			t.Errorf("mounted at %v, and %v stands", got, w.standing())
		}
		w.keeps("cleanup")
	})
}

// Whatever does not come to life: the original is untouched, the copies are
// attached and listed, and the verdict says which it is and what to do.
func TestRestoreThatDoesNotComeToLife(t *testing.T) {
	for _, c := range []struct {
		name    string
		asked   restore.Recover
		prepare func(w *world)
		code    string
		says    string
	}{
		{"a damaged set", restore.Recover{}, func(w *world) { damages(w, theSet) }, "RecoveryFailed", "does not pass its check"},
		{"a place that is taken", restore.Recover{Mounts: map[string]string{"/mnt/volume-a": "/mnt/volume-b"}}, nil, "RestoreRefused", "/mnt/volume-b is taken"},
		{"a check that is not there", restore.Recover{Check: "/opt/none"}, nil, "ScriptUnsafe", "/opt/none"},
		{"a check that finds something", restore.Recover{Check: "/opt/check"}, func(w *world) {
			w.sim.Script("/opt/check", func(context.Context, session.Script) error { return errors.New("3 orders are missing") })
		}, "RecoveryFailed", "/opt/check ended with 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inRestore(t, nil, func(w *world) {
				w.located()
				if c.prepare != nil {
					c.prepare(w)
				}
				r := w.asks("r", alive(c.asked))
				v := r.verdict
				if got := strings.Join(r.States, " "); !strings.HasPrefix(got, strings.TrimSuffix(lives, "Recovered Report Outcome ")) || r.Error != "FailedClean" {
					t.Errorf("got %s: %s", got, r.Cause)
				}
				if v == nil || v.Code != c.code || !strings.Contains(v.Reason, c.says) || len(v.Created) != 2 || len(v.Next) < 2 {
					t.Fatalf("got %+v, want %s because of %q", v, c.code, c.says)
				}
				if told := w.published("r", events.TypeUnrestored); len(told) != 1 || c.code == "RecoveryFailed" && told[0]["problems"] == nil {
					t.Errorf("told %v", told)
				}
				w.keeps(c.name)
				w.lists(v)
				w.cleans("r")
			})
		})
	}
}

// What may be mounted goes only if somebody has seen to it; an instance that was
// stopped has nothing mounted.
func TestRestoreCleanupOfWhatMayBeMounted(t *testing.T) {
	cleanup := restore.Request{Action: restore.Cleanup, RunID: "r"}
	inRestore(t, nil, func(w *world) {
		w.located()
		w.asks("r", alive(restore.Recover{At: "/mnt/restored"}))
		w.cloud.SSM.SetOnline(instanceID, false)
		time.Sleep(20 * time.Minute) // it is noticed by then
		if c := w.asks("deaf", cleanup); c.verdict.Code != "AgentOffline" || !strings.Contains(c.verdict.Reason, "--unmounted") || len(w.standing()) != 4 {
			t.Errorf("an agent that does not answer: %+v, and %v stands", c.verdict, w.standing())
		}
		for _, at := range w.mounted("/mnt/restored") {
			w.must(w.sim.Unmount(at))
		}
		byHand := cleanup
		byHand.Unmounted = true
		if c := w.asks("by-hand", byHand); c.verdict.Outcome != restore.Settled || len(w.standing()) != 2 {
			t.Errorf("unmounted by hand: %+v, and %v stands", c.verdict, w.standing())
		}
	})
	inRestore(t, nil, func(w *world) {
		w.located()
		w.asks("r", alive(restore.Recover{At: "/mnt/restored"}))
		stops := w.halted
		w.halted = func() {
			stops()
			for _, at := range w.mounted("/mnt/restored") {
				w.must(w.sim.Unmount(at))
			}
		}
		_, err := w.ec2.StopInstances(w.Context(), &awsec2.StopInstancesInput{InstanceIds: []string{instanceID}})
		w.must(err)
		time.Sleep(time.Minute)
		c := w.asks("off", cleanup)
		if got := strings.Join(c.States, " "); strings.Contains(got, "Unmount") || c.verdict.Outcome != restore.Settled || len(w.standing()) != 2 {
			t.Errorf("got %s: %+v, and %v stands", got, c.verdict, w.standing())
		}
	})
}

// Whatever goes wrong once on the way to copies that live, in either cloud.
func TestRecoverySurvivesEverySingleFault(t *testing.T) {
	asked := alive(restore.Recover{At: "/mnt/restored"})
	var all []string
	inRestore(t, nil, func(w *world) {
		w.located()
		since := len(w.cloud.Calls())
		all = ofRecovery(troubles(w.asks("r", asked), w.cloud.Calls()[since:]))
	})
	if len(all) < 20 {
		t.Fatalf("found only %d faults", len(all))
	}
	for _, f := range thinned(all) {
		t.Run(f, func(t *testing.T) {
			t.Parallel()
			inRestore(t, []string{f}, func(w *world) {
				w.located()
				survives(w, f, asked)
				if got := w.mounted("/mnt/restored"); len(got) > 0 {
					w.Errorf("mounted after the cleanup: %v", got)
				}
			})
		})
	}
}

// ofRecovery are the faults of what a restore does not do without it.
func ofRecovery(all []string) []string {
	return slices.DeleteFunc(all, func(f string) bool {
		return !strings.HasPrefix(f, "restore-recover") && !strings.HasPrefix(f, "restore-plan/")
	})
}

// The cleanup fails once, at any step: it may be asked for again, and leaves
// neither mount nor disk.
func TestCleanupOfALivingRestoreSurvivesEverySingleFault(t *testing.T) {
	asked := alive(restore.Recover{At: "/mnt/restored"})
	var all []string
	add := func(target string, n int, kinds ...fault.Kind) {
		for _, kind := range kinds {
			all = append(all, fault.Fault{Target: target, Kind: kind, N: n}.String())
		}
	}
	inRestore(t, nil, func(w *world) {
		w.located()
		w.asks("r", asked)
		before := map[string]int{}
		for _, c := range w.cloud.Calls() {
			before[c.Step+"/"+c.Action]++
		}
		since, seen := len(w.cloud.Calls()), map[string]bool{}
		w.asks("clean", restore.Request{Action: restore.Cleanup, RunID: "r"})
		add("restore-recover", 2, fault.Fail, fault.Hang, fault.CrashBefore, fault.CrashAfter, fault.StopExecution)
		for _, c := range w.cloud.Calls()[since:] {
			target := c.Step + "/" + c.Action
			if c.Step == "restore-recover" && !seen[target] && slices.Contains(fault.APIs, c.Action) {
				seen[target] = true
				add(target, before[target]+1, fault.Deny, fault.LostReply, fault.Throttle)
			}
		}
	})
	if len(all) < 10 {
		t.Fatalf("found only %v", all)
	}
	for _, f := range thinned(all) {
		t.Run(f, func(t *testing.T) {
			t.Parallel()
			inRestore(t, []string{f}, func(w *world) {
				w.located()
				w.asks("r", asked)
				first := w.asks("first", restore.Request{Action: restore.Cleanup, RunID: "r"})
				for _, never := range w.unreached() {
					w.Errorf("the fault %s never happened", never)
				}
				if v := first.verdict; v != nil && v.Outcome != restore.Settled && (v.Outcome != restore.FailedClean || len(v.Next) == 0) {
					w.Errorf("got %+v by %v", v, first.States)
				}
				w.keeps(f)
				w.cleans("r")
				if got := w.mounted("/mnt/restored"); len(got) > 0 {
					w.Errorf("mounted after the cleanup: %v", got)
				}
			})
		})
	}
}

// Abroad it comes to life in the same states, survives the same faults, and goes
// without a trace.
func TestRestoreAbroadThatComesToLife(t *testing.T) {
	asked := alive(restore.Recover{At: "/mnt/restored"})
	var all []string
	inRestoreAbroad(t, nil, func(w *away) {
		w.located()
		since := len(w.there.cloud.Calls())
		r := w.asks("r", asked)
		if got := strings.Join(r.States, " "); got != lives+"Restored" {
			w.Fatalf("got %s: %+v", got, r.verdict)
		}
		if got := w.mounted("/mnt/restored"); len(got) != 2 || r.verdict.Recovery.Server == nil {
			t.Errorf("mounted at %v: %+v", got, r.verdict.Recovery)
		}
		all = ofRecovery(troubles(r, w.there.cloud.Calls()[since:]))
		clean := w.asks("clean", restore.Request{Action: restore.Cleanup, RunID: "r"})
		if got := strings.Join(clean.States, " "); got != cleared || len(w.mounted("/mnt/restored")) > 0 || len(w.standing()) != 2 {
			t.Errorf("got %s: %+v, and %v stands", got, clean.verdict, w.standing())
		}
	})
	if len(all) < 20 {
		t.Fatalf("found only %d faults", len(all))
	}
	for _, f := range thinned(all) {
		t.Run(f, func(t *testing.T) {
			t.Parallel()
			inRestoreAbroad(t, []string{f}, func(w *away) {
				w.located()
				survives(w, f, asked)
				if got := w.mounted("/mnt/restored"); len(got) > 0 {
					w.Errorf("mounted after the cleanup: %v", got)
				}
			})
		})
	}
}

// located notes on the set's snapshots what a run does.
func (w *away) located() {
	w.Helper()
	set, err := w.there.operator.FindSet(w.Context(), theSet)
	w.must(err)
	for _, s := range set {
		i := slices.IndexFunc(w.volumes, func(m member) bool { return m.id == s.VolumeID })
		w.must(w.there.operator.TagSnapshots(w.Context(), []string{s.ID}, map[string]string{port.TagMounts: placesOf(w.mounts[i]), port.TagKind: policy.PostgreSQL}))
	}
	if len(set) != len(w.volumes) {
		w.Fatalf("%d snapshots of the set are listed", len(set))
	}
}
