// Package consistency computes what was proved of a set from the facts that
// were recorded while it was taken. It has no opinion of its own: what no fact
// shows is not claimed.
package consistency

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/shared/atlas"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/step"
)

// Finding is what was proved, why not more, and the code of what prevented it.
// Consistency is empty when there is no whole set.
type Finding struct {
	Consistency run.Consistency
	Reason      string
	Code        fault.Code
}

// Judge weighs one run. Both higher levels need the snapshot call enclosed by
// the hold; application needs the filesystems too, unless the policy asked for
// no freeze.
func Judge(s run.State) Finding {
	if miss := set(s); miss != nil {
		return Finding{"", miss.reason, miss.code}
	}
	switch {
	case s.Plan.Policy.Mode == policy.ByVSS:
		return written(s)
	case s.Plan.Policy.Mode == policy.ByDiskshadow:
		return shadowed(s)
	case s.Plugin != nil:
		return told(s)
	}
	if miss := hold(s); miss != nil {
		return Finding{run.Crash, miss.reason, miss.code}
	}
	freeze := s.Plan.Policy.Freeze.Enabled
	app, fs := application(s), filesystems(s)
	switch {
	case app == nil && (fs == nil || !freeze):
		return Finding{run.Application, held(s) + ", " + frozen(s) + ", until the snapshot call had ended", ""}
	case fs == nil:
		return Finding{run.Filesystem, app.reason + "; " + frozen(s) + " until the snapshot call had ended", app.code}
	case freeze:
		return Finding{run.Crash, fs.reason, fs.code}
	}
	return Finding{run.Crash, app.reason, app.code}
}

// gap is a fact that is missing or speaks against a claim.
type gap struct {
	code   fault.Code
	reason string
}

func lacks(code fault.Code, format string, args ...any) *gap {
	return &gap{code, fmt.Sprintf(format, args...)}
}

// caught is the gap of a step that failed.
func caught(what string, f *run.Failure) *gap {
	sentence, _, _ := step.Explain(f.Error, f.Cause)
	if sentence != f.Error {
		sentence = f.Error + ": " + sentence
	}
	return &gap{fault.Code(f.Error), what + " failed: " + sentence}
}

// command names, for a sentence, what takes a set in another's place.
var command = map[policy.Mode]string{
	policy.Plugin: "the plug-in's command", policy.ByVSS: "the command of AWS's document", policy.ByDiskshadow: "the command of the shadow copies",
}

// set wants one snapshot of every planned volume, all completed.
func set(s run.State) *gap {
	switch {
	case s.Plan == nil && s.Failures.Precheck != nil:
		return caught("precheck", s.Failures.Precheck)
	case s.Plan == nil:
		return lacks(fault.Internal, "there is no plan")
	case s.Set == nil && s.Failures.Plugin != nil && s.Failures.Snapshot == nil:
		return caught(command[s.Plan.Policy.Mode], s.Failures.Plugin)
	case s.Set == nil && s.Plugin != nil && s.Failures.Snapshot == nil:
		return &gap{fault.Code(s.Plugin.Code), s.Plugin.Reason}
	case s.Set == nil:
		f := s.Failures
		for _, step := range []struct {
			name    string
			failure *run.Failure
		}{{"the snapshot call", f.Snapshot}, {"the freeze", f.Freeze}, {"the quiesce", f.RunPrescript}} {
			if step.failure != nil {
				return caught(step.name, step.failure)
			}
		}
		return lacks(fault.Internal, "no set was taken")
	case s.Status == nil && s.Failures.PollStatus != nil:
		return caught("asking for the set's state", s.Failures.PollStatus)
	case s.Status == nil:
		return lacks(fault.Internal, "nobody asked for the set's state")
	case s.Status.State == run.TimedOut:
		return lacks(fault.SnapshotTimedOut, "the set was not complete after %d minutes", s.Plan.Policy.Completion.TimeoutMinutes)
	case s.Status.State != run.Completed:
		return lacks(fault.SnapshotFailed, "the set's state is %s", s.Status.State)
	}
	var want, got []string
	for _, v := range s.Plan.Volumes {
		want = append(want, v.ID)
	}
	for _, m := range s.Status.Snapshots {
		got = append(got, m.VolumeID)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		return lacks(fault.SnapshotFailed, "the set covers %s, but was to cover %s", strings.Join(got, ", "), strings.Join(want, ", "))
	}
	return nil
}

// hold wants the snapshot call enclosed: made under the hold's name, which
// existed only once nothing got through, and thawed by somebody to whom the
// call had returned.
func hold(s run.State) *gap {
	switch {
	case s.Failures.Freeze != nil:
		return caught("the freeze", s.Failures.Freeze)
	case s.Freeze == nil || s.Freeze.Hold == "":
		return lacks("", "nothing was held: the policy asked for neither a quiesce nor a freeze")
	case s.Set.Hold != s.Freeze.Hold:
		return lacks(fault.HoldLost, "the set was not made under this run's hold")
	case s.Failures.Thaw != nil:
		return caught("the thaw", s.Failures.Thaw)
	case s.Thaw == nil || s.Thaw.Evidence == nil:
		return lacks(fault.NoSession, "the instance brought no evidence home")
	}
	e := s.Thaw.Evidence
	switch {
	case e.RunID != s.Plan.RunID:
		return lacks(fault.HoldLost, "the evidence is of the run %s", e.RunID)
	case lost(e, notTheApplication) != nil:
		return lost(e, notTheApplication)
	case e.AutoThawed:
		return lacks(fault.HoldLost, "the instance let go by itself")
	case e.Hold != s.Freeze.Hold:
		return lacks(fault.HoldLost, "the evidence is of another hold")
	case e.Thaw == nil || e.Thaw.CallEnded != e.Hold:
		return lacks(fault.HoldLost, "the hold was ended by somebody who did not know that the call had returned")
	}
	return nil
}

func theApplication(subject string) bool    { return subject == "application" }
func notTheApplication(subject string) bool { return !theApplication(subject) }

// lost is the first recorded sign that the hold of a subject broke.
func lost(e *protocol.Evidence, of func(subject string) bool) *gap {
	for _, l := range e.Lost {
		if of(l.Subject) {
			return lacks(l.Code, "the hold broke: %s: %s", l.Subject, l.Message)
		}
	}
	return nil
}

// filesystems wants each one frozen, seen blocked before the call and blocked
// still after it.
func filesystems(s run.State) *gap {
	if len(s.Plan.Unfrozen) > 0 {
		return lacks("", "%s stayed writable", strings.Join(s.Plan.Unfrozen, ", "))
	}
	if len(s.Plan.Filesystems) == 0 {
		return lacks("", "no filesystem is mounted on the set's volumes")
	}
	if m := newcomer(s); m != "" {
		return lacks(fault.FreezeRefused, "%s was mounted on a volume of the set after the plan was made, and was not held", m)
	}
	byMount := map[string]protocol.FilesystemEvidence{}
	for _, f := range s.Thaw.Evidence.Filesystems {
		byMount[f.Mount] = f
	}
	for _, planned := range s.Plan.Filesystems {
		f, ok := byMount[planned.Mount]
		switch {
		case !ok || f.Device != planned.Device:
			return lacks(fault.HoldLost, "%s: there is no evidence of it", planned.Mount)
		case f.ReadOnly:
			continue
		case f.FrozenAt.IsZero():
			return lacks(fault.FreezeRefused, "%s was not frozen", f.Mount)
		case f.GuardFired:
			return lacks(fault.HoldLost, "%s was thawed by its guard", f.Mount)
		case f.BlockedAt.IsZero() || f.BlockedAt.Mono < f.FrozenAt.Mono:
			return lacks(fault.HoldLost, "%s: its tripwire was not seen blocked", f.Mount)
		case f.HeldAt.IsZero() || f.HeldAt.Mono < f.BlockedAt.Mono || f.ThawAt.Mono < f.HeldAt.Mono:
			return lacks(fault.HoldLost, "%s: its tripwire was not blocked to the end", f.Mount)
		case f.Thaw != "ok":
			return lacks(fault.HoldLost, "%s: the thaw found it %s", f.Mount, f.Thaw)
		}
	}
	return nil
}

// newcomer names a filesystem on the set's volumes that the plan knew nothing of.
func newcomer(s run.State) string {
	where := atlas.New(s.Plan.Volumes, s.Thaw.Evidence.Newcomers)
	for _, m := range s.Thaw.Evidence.Newcomers {
		onPlanned := slices.ContainsFunc(s.Plan.Filesystems, func(f protocol.Filesystem) bool { return f.Mount == m.On })
		if onPlanned || len(where.Volumes(m)) > 0 {
			return m.Mount
		}
	}
	return ""
}

// application wants it quiesced before the hold and proved held after it.
func application(s run.State) *gap {
	if s.Plan.Policy.Application.Kind == policy.None {
		return lacks("", "no application was to be quiesced")
	}
	if app := s.Plan.Policy.Application; app.NeedsFreeze() && !s.Plan.Policy.Freeze.Enabled {
		return lacks("", "what %s wrote need not have been on its volumes, which were not frozen", app.Kind)
	}
	if s.Failures.RunPrescript != nil {
		return caught("the quiesce", s.Failures.RunPrescript)
	}
	if s.Plan.Policy.Application.Kind == policy.ByDocument {
		return document(s)
	}
	a := s.Thaw.Evidence.Application
	if a == nil {
		return lacks(fault.NoSession, "the instance brought no evidence of the application home")
	}
	switch {
	case a.QuiescedAt.IsZero():
		return lacks(fault.ScriptFailed, "the application was not quiesced")
	case !a.Held && a.Error != nil:
		return lacks(a.Error.Code, "the application's hold is not proved: %s", a.Error.Message)
	case !a.Held:
		return lacks(fault.HoldLost, "the application's hold is not proved")
	}
	for _, f := range s.Thaw.Evidence.Filesystems {
		if !f.FrozenAt.IsZero() && f.FreezeAt.Mono < a.QuiescedAt.Mono {
			return lacks(fault.HoldLost, "%s was frozen before the application was at rest", f.Mount)
		}
	}
	return lost(s.Thaw.Evidence, theApplication)
}

// document wants the pre-script to have succeeded before the hold was begun, and
// the post-script, sent by whoever ended the hold, to have found it held still
// and let it go. That is a document's word, as a script's is: no session of ours
// proves it, and what it froze itself was seen by nobody.
func document(s run.State) *gap {
	pre, post := (*run.Document)(nil), s.Thaw.Document
	if s.Prescript != nil {
		pre = s.Prescript.Document
	}
	switch {
	case pre == nil || pre.Error != nil:
		return lacks(fault.ScriptFailed, "the application was not quiesced")
	case post == nil:
		return lacks(fault.HoldLost, "the application's hold is not proved: the document's post-script was not run")
	case post.Error != nil:
		return lacks(post.Error.Code, "the application's hold is not proved: %s", post.Error.Message)
	case post.ExecutionID != pre.ExecutionID:
		return lacks(fault.HoldLost, "the post-script was that of the execution %s", post.ExecutionID)
	}
	return lost(s.Thaw.Evidence, theApplication)
}

// held says how the application was, for a sentence. PostgreSQL has no lock that
// stops its writers and needs none for a frozen set, which must not be said of
// it; nor of MySQL, where the lock is one that lets writers go on.
func held(s run.State) string {
	switch app := s.Plan.Policy.Application; app.Kind {
	case policy.PostgreSQL:
		return "the server had made a checkpoint and its session ran through"
	case policy.ByDocument:
		return "the document " + app.Document + " said that the application was at rest and held"
	}
	if a := s.Thaw.Evidence.Application; a != nil && a.Mode == policy.LockInstance {
		return "the server's files and definitions were held, from which it recovers to its last commit"
	}
	return "the application was at rest and held"
}

// frozen says what was frozen, for a sentence.
func frozen(s run.State) string {
	n := len(s.Plan.Filesystems)
	switch {
	case !s.Plan.Policy.Freeze.Enabled:
		return "without a freeze"
	case n == 1:
		return "its filesystem frozen"
	}
	return fmt.Sprintf("its %d filesystems frozen", n)
}
