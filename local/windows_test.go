package local

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/windows"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud/history"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/vss"
)

// readied is a ready policy as its file says it, of which no two starts differ.
func readied(t *testing.T, name string) policy.Policy {
	t.Helper()
	file := "../policies/" + name + ".yaml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d, err := policy.Read(file, text)
	if err != nil {
		t.Fatal(err)
	}
	return d.Policy
}

// byDiskshadow is the ready policy for where AWS's components cannot be had.
func byDiskshadow(t *testing.T) policy.Policy {
	p := readied(t, "windows-vss")
	p.Mode, p.Shadow, p.Volumes.ExcludeBoot = policy.ByDiskshadow, policy.Shadow{}, true
	return p
}

// hasty shortens the wait for a command that nobody follows: the document is
// played within a minute, and the ledger writes all the while.
func hasty(definition string) string {
	return strings.Replace(definition, `"Seconds": 4500`, `"Seconds": 300`, 1)
}

// brief is a policy whose command is given up soon.
func brief(p *policy.Policy) { p.Shadow.TimeoutSeconds = 60 }

// onWindows runs a policy on the simulated instance.
func onWindows(t *testing.T, p policy.Policy, faults []string, check func(w *world, r *history.Record)) {
	t.Helper()
	inWorld(t, setting{windows: true, faults: faults, definition: hasty}, func(w *world) {
		r := w.wait(w.start("run-1", w.request(p)))
		check(w, r)
		for _, f := range w.faults.Unreached() {
			w.Errorf("%s was never reached", f)
		}
		if !w.writes(5 * time.Second) {
			w.Error("the application does not write any more")
		}
	})
}

// looped folds the looks at a command and at a set into one.
func looped(states []string) string {
	path := strings.Join(states, " ") + " "
	for _, loop := range []string{"WaitVss VssWaited WatchVss VssEnded ", "Wait PollStatus Complete "} {
		for strings.Contains(path, loop+loop) {
			path = strings.ReplaceAll(path, loop+loop, loop)
		}
	}
	return strings.TrimSpace(strings.ReplaceAll(path, "Wait PollStatus Complete ", ""))
}

const (
	vssSent   = "Open Precheck Mode StartVss WaitVss VssWaited WatchVss VssEnded "
	vssAgain  = "WaitVss VssWaited StartVss WaitVss VssWaited WatchVss VssEnded "
	vssKept   = "KeepVssSet SetTaken PollStatus Complete Tag Outcome "
	vssBare   = "GoOnWithoutVss SnapshotUnheld SetTaken PollStatus Complete Tag Outcome "
	shadowed  = "Open Precheck Mode MakeShadows SnapshotShadows DropShadows SetTaken PollStatus Complete Tag Outcome "
	shadeless = "Open Precheck Mode MakeShadows GoOnUnshadowed SnapshotShadows DropShadows SetTaken PollStatus Complete Tag Outcome "
)

// endsOnWindows is every outcome that is documented of the two documents, with the
// path to it.
var endsOnWindows = []struct {
	name        string
	diskshadow  bool
	with        func(*policy.Policy)
	faults      []string
	outcome     run.Outcome
	consistency run.Consistency
	code        fault.Code
	states      string
}{
	{"all is well", false, nil, nil, run.OutcomeCompleted, run.Application, "", vssSent + vssKept + "Completed"},
	{"without the writers", false, func(p *policy.Policy) { p.Application.Kind = policy.None }, nil, run.OutcomeCompleted, run.Filesystem, "", vssSent + vssKept + "Completed"},
	{"a word is missing", false, nil, []string{"windows:vss-untagged"}, run.OutcomeDegraded, run.Crash, fault.VssUnproved, vssSent + vssKept + "Degraded"},
	{"a volume is missing", false, nil, []string{"windows:vss-partial"}, run.OutcomeFailedClean, "", fault.SnapshotFailed, vssSent + vssKept + "FailedClean"},
	{"the thaw comes too late", false, nil, []string{"windows:vss-thaw"}, run.OutcomeDegraded, run.Crash, fault.VssTimedOut, vssSent + vssKept + "Degraded"},
	{"the freeze does not come, once", false, nil, []string{"windows:vss-freeze"}, run.OutcomeCompleted, run.Application, "", vssSent + vssAgain + vssKept + "Completed"},
	{"the freeze never comes", false, nil, []string{"windows:vss-freeze", "windows:vss-freeze@2", "windows:vss-freeze@3"}, run.OutcomeDegraded, run.Crash, fault.VssTimedOut,
		vssSent + vssAgain + vssAgain + vssBare + "Degraded"},
	{"and nothing lesser is wanted", false, func(p *policy.Policy) { p.OnFailure = policy.Fail }, []string{"windows:vss-freeze", "windows:vss-freeze@2", "windows:vss-freeze@3"}, run.OutcomeFailedClean, "", fault.VssTimedOut,
		vssSent + vssAgain + vssAgain + "GoOnWithoutVss Tag Outcome FailedClean"},
	{"a writer fails", false, nil, []string{"windows:vss-writer"}, run.OutcomeDegraded, run.Crash, fault.VssWriterFailed, vssSent + vssBare + "Degraded"},
	{"the components cannot be installed", false, nil, []string{"windows:vss-components"}, run.OutcomeDegraded, run.Crash, fault.VssComponentsMissing, vssSent + vssBare + "Degraded"},
	{"the profile lacks the policy", false, nil, []string{"windows:vss-denied"}, run.OutcomeDegraded, run.Crash, fault.InstanceProfileMissing, vssSent + vssBare + "Degraded"},
	{"PowerShell is constrained", false, nil, []string{"windows:vss-language"}, run.OutcomeDegraded, run.Crash, fault.VssRefused, vssSent + vssBare + "Degraded"},
	{"EC2 throttles the instance", false, nil, []string{"windows:vss-throttled"}, run.OutcomeCompleted, run.Application, "", vssSent + vssAgain + vssKept + "Completed"},
	{"it fails of nobody knows what", false, nil, []string{"windows:vss-unknown"}, run.OutcomeDegraded, run.Crash, fault.VssFailed, vssSent + vssBare + "Degraded"},
	{"it never ends", false, brief, []string{"windows:vss-hang"}, run.OutcomeDegraded, run.Crash, fault.CommandTimedOut, vssSent + vssBare + "Degraded"},
	{"the agent is gone before it has the command", false, brief, []string{"start-vss:agent-offline"}, run.OutcomeDegraded, run.Crash, fault.AgentOffline, vssSent + vssBare + "Degraded"},
	{"the command runs twice", false, nil, []string{"start-vss:duplicate"}, run.OutcomeDegraded, run.Crash, fault.VssFailed, vssSent + vssKept + "Degraded"},
	{"the command's answer is lost", false, nil, []string{"start-vss:lost-reply"}, run.OutcomeCompleted, run.Application, "", vssSent + vssKept + "Completed"},
	{"the command is denied", false, nil, []string{"start-vss:deny"}, run.OutcomeDegraded, run.Crash, fault.AccessDenied, "Open Precheck Mode StartVss " + vssBare + "Degraded"},
	{"the sending step dies after it has sent", false, nil, []string{"start-vss:crash-after"}, run.OutcomeCompleted, run.Application, "", vssSent + vssKept + "Completed"},
	{"the watching step dies", false, nil, []string{"watch-vss:crash-before"}, run.OutcomeCompleted, run.Application, "", vssSent + vssKept + "Completed"},
	{"nobody may look at the command", false, nil, []string{"watch-vss:deny"}, run.OutcomeFailedDirty, "", fault.AccessDenied, "Open Precheck Mode StartVss WaitVss VssWaited WatchVss WaitOutVss Tag Outcome FailedDirty"},

	{"shadow copies", true, nil, nil, run.OutcomeCompleted, run.Crash, "", shadowed + "Completed"},
	{"no diskshadow", true, nil, []string{"windows:shadow-absent"}, run.OutcomeDegraded, run.Crash, fault.VssRefused, shadeless + "Degraded"},
	{"a volume of another kind", true, nil, []string{"windows:shadow-volume"}, run.OutcomeDegraded, run.Crash, fault.VolumeUnsupported, shadeless + "Degraded"},
	{"no copies", true, nil, []string{"windows:shadow-create"}, run.OutcomeDegraded, run.Crash, fault.ShadowFailed, shadeless + "Degraded"},
	{"a writer fails the copies", true, nil, []string{"windows:shadow-writer"}, run.OutcomeDegraded, run.Crash, fault.VssWriterFailed, shadeless + "Degraded"},
	{"a writer fails, and nothing lesser is wanted", true, func(p *policy.Policy) { p.OnFailure = policy.Fail }, []string{"windows:shadow-writer"}, run.OutcomeFailedClean, "", fault.VssWriterFailed,
		"Open Precheck Mode MakeShadows GoOnUnshadowed DropShadows SetTaken Tag Outcome FailedClean"},
	{"another run's copies", true, nil, []string{"windows:shadow-busy"}, run.OutcomeFailedClean, "", fault.RunInProgress, "Open Precheck Mode MakeShadows DropShadows SetTaken Tag Outcome FailedClean"},
	{"the copies never end, once", true, nil, []string{"windows:shadow-hang"}, run.OutcomeCompleted, run.Crash, "", shadowed + "Completed"},
	{"the copies' answer is lost", true, nil, []string{"make-shadows:lost-reply"}, run.OutcomeCompleted, run.Crash, "", shadowed + "Completed"},
	{"the copies are asked for twice", true, nil, []string{"make-shadows:duplicate"}, run.OutcomeCompleted, run.Crash, "", shadowed + "Completed"},
	{"the set's reply is lost", true, nil, []string{"snapshot:lost-reply"}, run.OutcomeCompleted, run.Crash, "", shadowed + "Completed"},
	{"the copies cannot be dropped", true, nil, []string{"drop-shadows:deny"}, run.OutcomeCompleted, run.Crash, "", shadowed + "Completed"},
}

// Every outcome that is documented of the two documents, in whole runs of the
// ready policy.
func TestEveryOutcomeOnWindows(t *testing.T) {
	for _, c := range endsOnWindows {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := readied(t, "windows-vss")
			if c.diskshadow {
				p = byDiskshadow(t)
			}
			if c.with != nil {
				c.with(&p)
			}
			onWindows(t, p, c.faults, func(w *world, r *history.Record) {
				v := r.State.Verdict
				if v == nil {
					w.Fatalf("no verdict: %s %s", r.Error, r.Cause)
				}
				if v.Outcome != c.outcome || v.Consistency != c.consistency || v.Code != string(c.code) {
					w.Errorf("got %s, %q, %q (%s), want %s, %q, %q", v.Outcome, v.Consistency, v.Code, v.Reason, c.outcome, c.consistency, c.code)
				}
				if got := looped(r.States); got != c.states {
					w.Errorf("path\n got %s\nwant %s", got, c.states)
				}
				w.labelled(r)
				w.toldOf(r)
				left := w.agent().Shadows()
				if dropped := !slices.Contains(c.faults, "drop-shadows:deny"); dropped != (left == 0) {
					w.Errorf("%d shadow copies are left on the instance", left)
				}
			})
		})
	}
}

// agent is the simulated instance.
func (w *world) agent() *windows.Machine { return w.account.played }

// become replaces the instance by another of the same id.
func (w *world) become(i ec2.Instance) {
	i.ID, i.RootDevice, i.Platform = instanceID, rootDevice, "windows"
	if i.Tags == nil {
		i.Tags = map[string]string{port.TagOptIn: "true"}
	}
	w.cloud.EC2.AddInstance(i)
}

// pass lets seconds go by.
func (w *world) pass(seconds int) { time.Sleep(time.Duration(seconds) * time.Second) }

// labelled wants every snapshot of the account judged, by the very verdict, and
// the reserved tags overwritten by what was proved.
func (w *world) labelled(r *history.Record) {
	w.Helper()
	v := r.State.Verdict
	level := string(v.Consistency)
	if level == "" {
		level = "none"
	}
	all := w.snapshots()
	if len(all) == 0 && v.Consistency != "" {
		w.Error("a set without snapshots")
	}
	for id, tags := range all {
		if tags[port.TagRun] != "run-1" || tags[port.TagConsistency] != level {
			w.Errorf("%s is labelled %v, want %s", id, tags, level)
		}
		if want := map[bool]string{true: "True", false: "False"}[v.Consistency == run.Application]; tags[port.TagApp] != want {
			w.Errorf("%s says AppConsistent=%s, want %s", id, tags[port.TagApp], want)
		}
		if !strings.HasPrefix(tags["Name"], "windows-vss "+instanceID+" ") {
			w.Errorf("%s has the name %q", id, tags["Name"])
		}
		if p := r.State.Plugin; p != nil && p.Shadows != nil && r.State.Set != nil && (tags[port.TagShadows] != p.Shadows.SetID || !strings.HasPrefix(tags[port.TagSignature], "gpt:")) {
			w.Errorf("%s does not say how to go back: %v", id, tags)
		}
	}
}

// toldOf wants one end of the run told, with what to do about its code, and none
// of a thaw, for there is none to fail.
func (w *world) toldOf(r *history.Record) {
	w.Helper()
	v := r.State.Verdict
	kind := map[run.Outcome]string{run.OutcomeCompleted: events.TypeCompleted, run.OutcomeDegraded: events.TypeDegraded}[v.Outcome]
	if kind == "" {
		kind = events.TypeFailed
	}
	for _, other := range []string{events.TypeCompleted, events.TypeDegraded, events.TypeFailed} {
		if n := len(w.published("run-1", other)); n != map[bool]int{true: 1, false: 0}[other == kind] {
			w.Errorf("%d events %s", n, other)
		}
	}
	if n := len(w.published("run-1", events.TypeThawFailed)); n != 0 {
		w.Error("a person was called to thaw a Windows that lets go by itself")
	}
	if told := w.published("run-1", kind); len(told) == 1 && v.Code != "" && told[0]["nextMove"] != fault.Code(v.Code).NextMove() {
		w.Errorf("the event says %v", told[0])
	}
}

// Whatever is planned for the steps of the two modes, one at a time: every run
// ends and is judged, no set is called more than was written on it, and nothing is
// left at rest or unlabelled.
func TestEverySingleFaultOnWindows(t *testing.T) {
	steps := map[policy.Mode][]string{
		policy.ByVSS:        {"precheck", "start-vss", "watch-vss", "poll-status", "await", "tag"},
		policy.ByDiskshadow: {"make-shadows", "snapshot", "drop-shadows", "tag"},
	}
	kinds := []string{"fail", "hang", "crash-before", "crash-after", "throttle", "slow", "oversize", "lost-reply", "deny", "bus-down"}
	for mode, names := range steps {
		for _, step := range names {
			for _, kind := range kinds {
				if step == "await" && kind == "bus-down" || testing.Short() && kind != "lost-reply" {
					continue
				}
				f := step + ":" + kind
				t.Run(f, func(t *testing.T) {
					t.Parallel()
					p := readied(t, "windows-vss")
					if mode == policy.ByDiskshadow {
						p = byDiskshadow(t)
					}
					inWorld(t, setting{windows: true, faults: []string{f}, definition: hasty}, func(w *world) {
						r := w.wait(w.start("run-1", w.request(p)))
						if r.Status == "TIMED_OUT" || r.Error == "States.Runtime" {
							w.Fatalf("ended %s by %s: %v", r.Status, r.Error, r.States)
						}
						v := r.State.Verdict
						if v == nil {
							if f != "tag:deny" && f != "tag:oversize" {
								w.Fatalf("nobody judged it: %v", r.States)
							}
							return
						}
						if v.Consistency == run.Application && (mode != policy.ByVSS || r.State.Plugin == nil || slices.ContainsFunc(r.State.Plugin.Labels, func(l run.PluginLabel) bool { return !l.Application })) {
							w.Errorf("called application-consistent: %+v", r.State.Plugin)
						}
						if v.Outcome == run.OutcomeCompleted && mode == policy.ByVSS && v.Consistency != run.Application {
							w.Errorf("completed as %s", v.Consistency)
						}
						w.labelled(r)
						if left := w.agent().Shadows(); left != 0 && step != "drop-shadows" {
							w.Errorf("%d shadow copies are left", left)
						}
						if !w.writes(5 * time.Second) {
							w.Error("the application does not write any more")
						}
					})
				})
			}
		}
	}
}

// What can be told beforehand is refused before any command, by its field and with
// what to do.
func TestWindowsIsLookedAtFirst(t *testing.T) {
	for _, c := range []struct {
		name string
		mode policy.Mode
		with func(w *world)
		code fault.Code
		says string
	}{
		{"a Linux", policy.ByVSS, func(w *world) { w.agent().Reported.Platform, w.agent().Reported.Name = "Linux", "Amazon Linux" }, fault.InvalidInput, "policy.mode: is vss, which is for Windows"},
		{"a Linux, by diskshadow", policy.ByDiskshadow, func(w *world) { w.agent().Reported.Platform, w.agent().Reported.Name = "Linux", "Amazon Linux" }, fault.InvalidInput, "policy.mode: is diskshadow, which is for Windows"},
		{"an old Windows", policy.ByVSS, func(w *world) { w.agent().Reported.Name = "Microsoft Windows Server 2012 R2 Standard" }, fault.VssRefused, "instanceId: runs Microsoft Windows Server 2012 R2 Standard"},
		{"a Windows for desks", policy.ByDiskshadow, func(w *world) { w.agent().Reported.Name = "Microsoft Windows 11 Pro" }, fault.VssRefused, "Windows 11"},
		{"an old agent", policy.ByVSS, func(w *world) { w.agent().Reported.Agent = "3.0.356.0" }, fault.VssRefused, "instanceId: has SSM Agent \"3.0.356.0\""},
		{"a size too small", policy.ByVSS, func(w *world) { w.become(ec2.Instance{Type: "t3.micro", Profile: "p"}) }, fault.VssRefused, "instanceId: is a t3.micro"},
		{"no profile", policy.ByVSS, func(w *world) { w.become(ec2.Instance{}) }, fault.InstanceProfileMissing, "AWSEC2VssSnapshotPolicy"},
		{"no opt-in", policy.ByVSS, func(w *world) { w.become(ec2.Instance{Profile: "p", Tags: map[string]string{"x": "y"}}) }, fault.InstanceNotOptedIn, port.TagOptIn},
		{"an agent that is away", policy.ByVSS, func(w *world) { w.cloud.SSM.SetOnline(instanceID, false); w.pass(20 * 60) }, fault.AgentOffline, "last heard of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, setting{windows: true}, func(w *world) {
				w.agent().Reported = w.agent().System()
				c.with(w)
				p := readied(t, "windows-vss")
				if c.mode == policy.ByDiskshadow {
					p = byDiskshadow(t)
				}
				r := w.wait(w.start("run-1", w.request(p)))
				v := r.State.Verdict
				if v == nil || v.Outcome != run.OutcomeFailedClean || v.Code != string(c.code) || !strings.Contains(v.Reason, c.says) {
					w.Errorf("got %+v, want %s and %q", v, c.code, c.says)
				}
				if n := w.cloud.Count("SendCommand") + w.cloud.Count("CreateSnapshots"); n != 0 {
					w.Errorf("%d calls were made all the same", n)
				}
			})
		})
	}
}

// What AWS's document is sent is all of its parameters, once.
func TestWhatAWSsDocumentIsSent(t *testing.T) {
	p := readied(t, "windows-vss")
	p.Shadow = policy.Shadow{CopyOnly: true, SaveMetadata: true, CollectLogs: true, Version: "2.5.1", Description: "nightly of db", TimeoutSeconds: 120}
	p.Volumes.ExcludeBoot = true
	onWindows(t, p, nil, func(w *world, r *history.Record) {
		var sent []map[string]any
		for _, e := range w.cloud.Bus.Events() {
			if e.DetailType == "EC2 Command Invocation Status-change Notification" && strings.Contains(string(e.Detail), `"Success"`) && strings.Contains(string(e.Detail), vss.Document) {
				sent = append(sent, map[string]any{"detail": string(e.Detail)})
			}
		}
		if len(sent) != 1 || w.cloud.Count("SendCommand") != 1 {
			w.Fatalf("sent %d times", len(sent))
		}
		for _, want := range []string{
			"ExcludeBootVolume", "NoWriters", "CopyOnly", "SaveVssMetadata", "CollectDiagnosticLogs", "CreateAmi", "VssVersion", "description", "executionTimeout", "tags",
			"nightly of db", "2.5.1", `[\\\"120\\\"]`, "Key=quiesce:run,Value=run-1", "Key=quiesce:instance,Value=" + instanceID, "Key=quiesce:members,Value=2",
		} {
			if !strings.Contains(fmt.Sprint(sent[0]), strings.ReplaceAll(want, `\\\"`, `\"`)) {
				w.Errorf("it was not told %s: %v", want, sent[0])
			}
		}
		if v := r.State.Verdict; len(v.SnapshotIDs) != 2 {
			w.Errorf("the boot volume was not left out: %v", v.SnapshotIDs)
		}
	})
}

// The same by the binary that is deployed, over sockets: the oracle agrees with
// what was read off the snapshots.
func TestWindowsByTheBinary(t *testing.T) {
	for mode, want := range map[policy.Mode]run.Consistency{policy.ByVSS: run.Application, policy.ByDiskshadow: run.Crash} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			o := Defaults()
			o.Mode, o.Binaries, o.Completion = string(mode), binariesOf(t), 200*time.Millisecond
			r, err := Run(t.Context(), o, quiet{t})
			if err != nil {
				t.Fatal(err)
			}
			if r.Outcome != run.OutcomeCompleted || r.Consistency != want || r.Mode != Simulated || r.Tool != windows.Label || !r.Good() {
				t.Errorf("got %+v", r)
			}
		})
	}
	for field, with := range map[string]func(*Options){
		"--app":                   func(o *Options) { o.App = policy.MariaDB },
		"--mode":                  func(o *Options) { o.Cloud = Aliyun },
		"policy.freeze.enabled":   func(o *Options) { o.NoFreeze = true },
		"policy.application.kind": func(o *Options) { o.App, o.Mode = None, string(policy.ByDiskshadow) },
	} {
		o := Defaults()
		o.Mode = string(policy.ByVSS)
		if with(&o); o.Check() == nil || !strings.Contains(o.Check().Error(), field) {
			t.Errorf("%s: got %v", field, o.Check())
		}
	}
}
