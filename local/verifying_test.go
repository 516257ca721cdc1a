package local

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/fault"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/verify"
)

const (
	theTest   = "t"
	testCheck = "/opt/quiesce/check"
	nightly   = "nightly"
)

// inTest is inRestore for a set of a policy.
func inTest(t *testing.T, faults []string, test func(w *world)) {
	t.Helper()
	inTesting(t, setting{faults: faults}, test)
}

// inTesting is inTest in a world of another kind.
func inTesting(t *testing.T, s setting, test func(w *world)) {
	t.Helper()
	inRestoreOf(t, s, func(w *world) {
		w.relabel(theSet, port.TagPolicy, nightly)
		test(w)
	})
}

// relabel writes a tag on a set behind everybody's back.
func (w *world) relabel(set, key, value string) {
	w.Helper()
	for id, tags := range w.snapshots() {
		if tags[port.TagRun] != set {
			continue
		}
		_, err := w.ec2.CreateTags(w.Context(), &awsec2.CreateTagsInput{Resources: []string{id}, Tags: []types.Tag{{Key: &key, Value: &value}}})
		w.must(err)
	}
}

// testingWorld is a world in which a set is tested, of either cloud.
type testingWorld interface {
	testing.TB
	asked(change ...func(*verify.Request)) verify.Request
	tests(name string, asked verify.Request) *verifying
	stopAll()
	sweeps(r *verifying)                // whoever cleans up after one that broke off
	untold(f string, r *verifying) bool // nobody can tell of this end
	leaves(after string)                // the account as it was before
	snapshots() map[string]map[string]string
	relabel(set, key, value string) // behind everybody's back
	script(path string, do func(context.Context, session.Script) error)
	spoil(snapshot string)
	published(runID, detailType string) []map[string]any
	measured() []string
	calls() []wire.Record
	unreached() []fault.Fault
}

// inCloud lets a test run in a world of one cloud.
type inCloud func(t *testing.T, s setting, test func(w testingWorld))

func here(t *testing.T, s setting, test func(w testingWorld)) {
	t.Helper()
	inTesting(t, s, func(w *world) { test(w) })
}

// tested is what a schedule asks for.
func tested(change ...func(*verify.Request)) verify.Request {
	r := verify.Request{Policy: policy.DefaultDocument()}
	r.Policy.Name = nightly
	r.Policy.RestoreTest = policy.RestoreTest{Instance: instanceID}
	for _, c := range change {
		c(&r)
	}
	return r
}

func (w *world) asked(change ...func(*verify.Request)) verify.Request { return tested(change...) }
func (w *world) calls() []wire.Record                                 { return w.cloud.Calls() }
func (w *world) script(path string, do func(context.Context, session.Script) error) {
	w.sim.Script(path, do)
}
func (w *world) spoil(snapshot string) { w.must(w.sim.Damage(snapshot)) }

// tests lets the workflow test what is asked for.
func (w *world) tests(name string, asked verify.Request) *verifying {
	w.Helper()
	r, err := w.verifyBy(w.Context(), name, asked, nil)
	w.must(err)
	return r
}

// says is what stands on a set of its last test.
func says(w testingWorld, set string) (verdict, by, recovery string) {
	for _, tags := range w.snapshots() {
		if tags[port.TagRun] == set {
			verdict, by, recovery = tags[port.TagTest], tags[port.TagTestRun], tags[port.TagRecovery]
		}
	}
	return verdict, by, recovery
}

// damages spoils a set where it is kept.
func damages(w testingWorld, set string) {
	for id, tags := range w.snapshots() {
		if tags[port.TagRun] == set {
			w.spoil(id)
		}
	}
}

func succeeded(r *verifying) bool { return strings.EqualFold(r.Status, "succeeded") }

const theWay = "Open Choose Plan Planned Mark Create Created Attach Attached Recover IsRecovered CleanUp IsClean Report Outcome "

func TestRestoreTestOfAGoodSet(t *testing.T) { inTest(t, nil, func(w *world) { passes(w) }) }

func passes(w testingWorld) {
	w.Helper()
	r := w.tests(theTest, w.asked())
	v := r.state.Verdict
	if got := strings.Join(r.States, " "); got != theWay+"Successful" || v == nil || v.Result != retention.Successful || v.RecoverySeconds <= 0 || v.Seconds < v.RecoverySeconds || v.Recovery == nil {
		w.Fatalf("got %s, %+v: %s", got, v, r.Cause)
	}
	w.leaves("test")
	verdict, by, recovery := says(w, theSet)
	if verdict != "SUCCESSFUL" || by != theTest || recovery == "" {
		w.Errorf("the set says %s, %s, %s", verdict, by, recovery)
	}
	told := w.published(theTest, events.TypeTest)
	if len(told) != 1 || told[0]["verdict"] != "SUCCESSFUL" || told[0]["setId"] != theSet || told[0]["policy"] != nightly || told[0]["recoverySeconds"] != v.RecoverySeconds {
		w.Errorf("told %v", told)
	}
}

// Ends other than the good one. Whatever it is, nothing of the test is left and
// nothing of the original is touched.
func TestRestoreTestEnds(t *testing.T) { endsAsItMust(t, here, strings.NewReplacer()) }

// ending is one that a test can have.
type ending struct {
	name    string
	setting setting
	asked   func(*verify.Request)
	prepare func(w testingWorld)
	states  string // begin so
	verdict retention.Test
	code    string
	says    string
	label   string // on the set
}

func endsAsItMust(t *testing.T, in inCloud, theirs *strings.Replacer) {
	t.Helper()
	const before = "Open Choose Plan Planned Mark Create Created Attach Attached Recover "
	for _, c := range []ending{
		{
			name: "a damaged set", prepare: func(w testingWorld) { damages(w, theSet) },
			states: before, verdict: retention.TestFailed, code: "RestoreTestFailed", says: "does not pass its check", label: "FAILED",
		},
		{
			name: "a server is started", asked: func(r *verify.Request) {
				r.Policy.Application = policy.Application{Kind: policy.MariaDB, TimeoutSeconds: 10}
			},
			states: before, verdict: retention.Successful, says: "mariadb recovered and checked", label: "SUCCESSFUL",
		},
		{
			name: "the user's own check passes", asked: checks, prepare: func(w testingWorld) {
				w.script(testCheck, func(context.Context, session.Script) error { return nil })
			},
			states: before, verdict: retention.Successful, says: "own check passed", label: "SUCCESSFUL",
		},
		{
			name: "the user's own check fails", asked: checks, prepare: func(w testingWorld) {
				w.script(testCheck, func(context.Context, session.Script) error { return errors.New("3 orders are missing") })
			},
			states: before, verdict: retention.TestFailed, code: "RestoreTestFailed", says: "3 orders are missing", label: "FAILED",
		},
		{
			name: "the user's own check hangs", asked: checks, prepare: func(w testingWorld) {
				w.script(testCheck, func(ctx context.Context, _ session.Script) error { <-ctx.Done(); return ctx.Err() })
			},
			states: before, verdict: retention.TimedOut, code: "RestoreTimedOut", says: "was not done after", label: "TIMED_OUT",
		},
		{
			name: "the user's own check is not there", asked: checks,
			states: before, verdict: verify.NotTested, code: "ScriptUnsafe", says: "does not exist", label: "SUCCESSFUL", // as before
			prepare: func(w testingWorld) { w.relabel(theSet, port.TagTest, "SUCCESSFUL") },
		},
		{
			name: "the agent is cut off", setting: setting{faults: []string{"verify-recover/SendCommand:agent-offline"}},
			states: before, verdict: retention.TimedOut, code: "CommandTimedOut", label: "TIMED_OUT",
		},
		{
			name: "disks that are not made in time", asked: func(r *verify.Request) { r.Policy.RestoreTest.TimeLimitMinutes = 5 },
			setting: setting{provision: 8 * time.Minute},
			states:  "Open Choose Plan Planned Mark Create Created WaitCreated", verdict: retention.TimedOut, code: "RestoreTimedOut", says: "in the making", label: "TIMED_OUT",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for i, f := range c.setting.faults {
				c.setting.faults[i] = theirs.Replace(f)
			}
			in(t, c.setting, c.ends)
		})
	}
}

func (c ending) ends(w testingWorld) {
	w.Helper()
	if c.prepare != nil {
		c.prepare(w)
	}
	change := c.asked
	if change == nil {
		change = func(*verify.Request) {}
	}
	r := w.tests(theTest, w.asked(change))
	v := r.state.Verdict
	if v == nil || v.Result != c.verdict || v.Code != c.code || !strings.Contains(v.Reason, c.says) || !strings.HasPrefix(strings.Join(r.States, " "), c.states) {
		w.Fatalf("got %v, %+v: %s", r.States, v, r.Cause)
	}
	if good := c.verdict == retention.Successful; good != succeeded(r) || !good && r.Error != "FailedClean" {
		w.Errorf("it is %s, %s", r.Status, r.Error)
	}
	w.leaves(c.name)
	if label, _, _ := says(w, theSet); label != c.label {
		w.Errorf("the set says %q, want %q", label, c.label)
	}
	if told := w.published(theTest, events.TypeTest); len(told) != 1 || told[0]["verdict"] != string(c.verdict) {
		w.Errorf("told %v", told)
	}
	if got := w.measured(); !slices.Contains(got, counted[c.verdict]) {
		w.Errorf("measured %v, want %s", got, counted[c.verdict])
	}
}

var counted = map[retention.Test]string{
	retention.Successful: "RestoreTestSuccessful", retention.TestFailed: "RestoreTestFailed", retention.TimedOut: "RestoreTestTimedOut", verify.NotTested: "RestoreTestNotDone",
}

func checks(r *verify.Request) { r.Policy.RestoreTest.Check = testCheck }

func (w *world) measured() []string { return measured(&w.metrics) }

// leaves wants the account as it was before the test.
func (w *world) leaves(after string) {
	w.Helper()
	w.keeps(after)
	if now := w.standing(); len(now) != len(w.original()) {
		w.Errorf("%s: left %v", after, now)
	}
}

// refusedTest is refused before anything is made or marked.
type refusedTest struct {
	name  string
	asked func(*verify.Request)
	code  string
	says  string
}

func (c refusedTest) isRefused(w testingWorld) {
	w.Helper()
	r := w.tests(strings.ReplaceAll(c.name, " ", "-"), w.asked(c.asked))
	v := r.state.Verdict
	if v == nil || v.Code != c.code || v.Result != verify.NotTested || v.Outcome != verify.FailedClean || !strings.Contains(v.Reason, c.says) {
		w.Errorf("%s: got %+v, want %s because of %q; %s", c.name, v, c.code, c.says, r.Cause)
	}
	if got := strings.Join(r.States, " "); !strings.HasSuffix(got, " Report Outcome FailedClean") || strings.Contains(got, "Mark") {
		w.Errorf("%s: got the path %s", c.name, got)
	}
	w.leaves(c.name)
}

func TestRestoreTestRefuses(t *testing.T) {
	inTest(t, nil, func(w *world) {
		w.takes("other", map[string]string{port.TagPolicy: "other", port.TagTest: "VALIDATING", port.TagTestRun: "somebody"})
		w.takes("doomed", map[string]string{port.TagPolicy: "doomed", port.TagDeleting: "2026-01-01T00:00:00Z"})
		w.archives(w.takes("cold", map[string]string{port.TagPolicy: "cold"}))
		w.takes("gone", map[string]string{port.TagPolicy: "gone", port.TagMembers: "3"})
		w.cloud.EC2.AddInstance(ec2.Instance{ID: "i-0123456789abcdef5"})
		w.cloud.EC2.AddInstance(ec2.Instance{ID: "i-0123456789abcdef6", State: "stopped", Tags: map[string]string{port.TagOptIn: "true"}})
		w.cloud.EC2.AddInstance(ec2.Instance{ID: "i-0123456789abcdef7", Tags: map[string]string{port.TagOptIn: "true"}})
		for _, c := range []refusedTest{
			{"no restore test", func(r *verify.Request) { r.Policy.RestoreTest = policy.RestoreTest{} }, "InvalidInput", "request.policy.restoreTest"},
			{"a run and an instance", func(r *verify.Request) { r.RunID, r.InstanceID = theSet, instanceID }, "InvalidInput", "request.instanceId"},
			{"a bad policy", func(r *verify.Request) { r.Policy.RestoreTest.Check = "check" }, "InvalidInput", "restoreTest.check"},
			{"more than it may cost", func(r *verify.Request) {
				r.Policy.RestoreTest.CostLimit, r.Policy.RestoreTest.PricePerGiBMonth, r.Policy.RestoreTest.TimeLimitMinutes = 0.01, 100, 360
			}, "InvalidInput", "request.policy.restoreTest.costLimit"},
			{"an instance of nobody", func(r *verify.Request) { r.Policy.RestoreTest.Instance = "i-0123456789abcdef9" }, "InstanceNotFound", ""},
			{"one that did not opt in", func(r *verify.Request) { r.Policy.RestoreTest.Instance = "i-0123456789abcdef5" }, "InstanceNotOptedIn", ""},
			{"one that is stopped", func(r *verify.Request) { r.Policy.RestoreTest.Instance = "i-0123456789abcdef6" }, "InstanceNotRunning", "stopped"},
			{"one without an agent", func(r *verify.Request) { r.Policy.RestoreTest.Instance = "i-0123456789abcdef7" }, "AgentOffline", ""},
			{"a policy without sets", func(r *verify.Request) { r.Policy.Name = "nobody" }, "SetNotRestorable", "there is no good set"},
			{"an instance without sets", func(r *verify.Request) { r.InstanceID = "i-0123456789abcdef9" }, "SetNotRestorable", "no good set of i-"},
			{"a set that is not there", func(r *verify.Request) { r.RunID = "nobody" }, "SetNotRestorable", "no snapshot"},
			{"a set that is under test", func(r *verify.Request) { r.RunID = "other" }, "RunInProgress", "under test"},
			{"the newest is under test", func(r *verify.Request) { r.Policy.Name = "other" }, "RunInProgress", "under test"},
			{"a set that is being deleted", func(r *verify.Request) { r.RunID = "doomed" }, "SetNotRestorable", "deletion"},
			{"a policy whose set is being deleted", func(r *verify.Request) { r.Policy.Name = "doomed" }, "SetNotRestorable", "there is no good set"},
			{"an archived set", func(r *verify.Request) { r.RunID = "cold" }, "SetNotRestorable", "the set of cold is archived"},
			{"a policy of which all is archived", func(r *verify.Request) { r.Policy.Name = "cold" }, "SetNotRestorable", "1 that are"},
			{"an incomplete set", func(r *verify.Request) { r.RunID = "gone" }, "SetNotRestorable", "2 of 3"},
		} {
			c.isRefused(w)
		}
		for set, want := range map[string]string{theSet: "", "other": "VALIDATING somebody"} {
			if verdict, by, _ := says(w, set); strings.TrimSpace(verdict+" "+by) != want {
				t.Errorf("%s says %s, %s", set, verdict, by)
			}
		}
	})
}

// A plan without a touch, by name and by policy.
func TestRestoreTestDryRun(t *testing.T) {
	inTest(t, nil, func(w *world) {
		for _, run := range []string{"", theSet} {
			r := w.tests("dry-"+run, tested(func(r *verify.Request) { r.RunID, r.DryRun = run, true; r.Policy.RestoreTest.PricePerGiBMonth = 0.1 }))
			v := r.state.Verdict
			if v == nil || v.Outcome != verify.Planned || v.Choice.SetID != theSet || len(v.Plan.Disks) != 2 || v.Choice.Cost <= 0 || !strings.Contains(v.Choice.CostHint, "2 GiB") {
				t.Fatalf("got %+v: %s", v, r.Cause)
			}
			w.leaves("dry run")
		}
		if verdict, by, _ := says(w, theSet); verdict != "" || by != "" {
			t.Errorf("the set says %s, %s", verdict, by)
		}
		if told := w.published("dry-", events.TypeTest); len(told) != 0 {
			t.Errorf("told %v", told)
		}
	})
}

// archives puts snapshots where they must be brought back from first.
func (w *world) archives(ids []string) {
	w.Helper()
	for _, id := range ids {
		_, err := w.ec2.ModifySnapshotTier(w.Context(), &awsec2.ModifySnapshotTierInput{SnapshotId: &id, StorageTier: types.TargetStorageTierArchive})
		w.must(err)
	}
	time.Sleep(2 * time.Minute)
}

// The newest good one is picked, and of several instances each has its turn.
func TestRestoreTestPicksTheNewestGoodSet(t *testing.T) {
	inTest(t, nil, func(w *world) {
		w.takes("run-2", map[string]string{port.TagPolicy: nightly})
		w.takes("run-3", map[string]string{port.TagPolicy: nightly, port.TagConsistency: "none"})
		w.takes("run-4", map[string]string{port.TagPolicy: nightly, port.TagTest: "FAILED"})
		w.takes("run-5", map[string]string{port.TagPolicy: "other"})
		w.archives(w.takes("run-8", map[string]string{port.TagPolicy: nightly}))
		r := w.tests("first", tested())
		if r.state.Verdict.Choice.SetID != "run-2" || r.state.Verdict.Result != retention.Successful {
			t.Errorf("got %+v", r.state.Verdict)
		}
		w.takes("run-6", map[string]string{port.TagPolicy: nightly, port.TagInstance: "i-0123456789abcdef8"})
		w.takes("run-7", map[string]string{port.TagPolicy: nightly})
		for _, want := range []string{"run-6", "run-7", "run-6"} {
			r := w.tests("turn-"+want+time.Now().Format("150405"), tested())
			if v := r.state.Verdict; v.Choice == nil || v.Choice.SetID != want {
				t.Errorf("got %+v, want %s", v.Choice, want)
			}
			time.Sleep(time.Minute)
		}
	})
}
