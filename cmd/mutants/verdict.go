package main

// ofVerdict are bugs of what is computed, written on the snapshots and told.
var ofVerdict = []Mutant{
	{
		Name: "verdict-from-the-exit-code",
		File: "shared/consistency/consistency.go",
		Old: `	case !a.Held && a.Error != nil:
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
`,
		New: `	}
	return nil
`,
		Danger: "an application that was brought to rest counts as held, whatever came of it in the window",
		Near:   "kill-session",
	},
	{
		Name: "verdict-from-the-freeze-call",
		File: "shared/consistency/consistency.go",
		Old: `	case lost(e, notTheApplication) != nil:
		return lost(e, notTheApplication)
	case e.AutoThawed:
		return lacks(fault.HoldLost, "the instance let go by itself")
	case e.Hold != s.Freeze.Hold:
		return lacks(fault.HoldLost, "the evidence is of another hold")
	case e.Thaw == nil || e.Thaw.CallEnded != e.Hold:
		return lacks(fault.HoldLost, "the hold was ended by somebody who did not know that the call had returned")
`,
		New: "",
		And: []Edit{{`		case f.GuardFired:
			return lacks(fault.HoldLost, "%s was thawed by its guard", f.Mount)
		case f.BlockedAt.IsZero() || f.BlockedAt.Mono < f.FrozenAt.Mono:
			return lacks(fault.HoldLost, "%s: its tripwire was not seen blocked", f.Mount)
		case f.HeldAt.IsZero() || f.HeldAt.Mono < f.BlockedAt.Mono || f.ThawAt.Mono < f.HeldAt.Mono:
			return lacks(fault.HoldLost, "%s: its tripwire was not blocked to the end", f.Mount)
		case f.Thaw != "ok":
			return lacks(fault.HoldLost, "%s: the thaw found it %s", f.Mount, f.Thaw)
`, ""}},
		Danger: "that the freeze call succeeded is taken for a hold to the end",
		Near:   "snapshot,foreign,kill-guard,kill-helper",
	},
	{
		Name:   "failed-polls-forgiven",
		File:   "shared/consistency/consistency.go",
		Old:    "	case s.Status.State != run.Completed:\n",
		New:    "	case s.Status.State == \"\":\n",
		Danger: "a set in error is called a backup",
		Near:   ":error",
	},
	{
		Name:   "tag-upgrades",
		File:   "functions/tag/tag.go",
		Old:    "	level := string(consistency)\n",
		New:    "	level := policyOf(s).Asked()\n",
		Danger: "snapshots carry what was asked for, not what was proved",
		Near:   "freeze",
	},
	{
		Name:   "tag-says-filesystem",
		File:   "functions/tag/tag.go",
		Old:    "consistency.Rank() >= run.Filesystem.Rank()",
		New:    "consistency.Rank() >= run.Crash.Rank()",
		Danger: "a crash-consistent set carries FsConsistent:True, and other tools believe it",
		Near:   "freeze",
	},
	{
		Name:   "tag-says-application",
		File:   "functions/tag/tag.go",
		Old:    "cloud.TagApp:         boolTag(consistency == run.Application)",
		New:    "cloud.TagApp:         boolTag(consistency != \"\")",
		Danger: "every set carries AppConsistent:True, and other tools believe it",
		Near:   "freeze,run-prescript",
	},
	{
		Name:   "degraded-told-as-completed",
		File:   "functions/tag/tag.go",
		Old:    "	case v.Consistency.Rank() < asked.Rank():\n",
		New:    "	case v.Consistency.Rank() < asked.Rank() && v.Consistency == \"none\":\n",
		Danger: "a set of lower consistency raises no alarm",
		Near:   "freeze",
	},
	{
		Name:   "strays-left-unlabelled",
		File:   "functions/tag/strays.go",
		Old:    "	if s.Set != nil || s.Failures.Snapshot == nil && !adrift(s) {\n",
		New:    "	if s.Set != nil || s.Failures.Snapshot != nil {\n",
		Danger: "what a lost call has made looks like a backup that nobody labelled",
		Near:   "snapshot",
	},
	{
		Name:   "strays-not-waited-for",
		File:   "functions/tag/strays.go",
		Old:    "	wait := cloud.Settle\n",
		New:    "	wait := time.Duration(0)\n",
		Danger: "what a lost call has made is not seen yet, and the run ends clean",
		Near:   "snapshot",
	},
	{
		Name:   "outcome-not-told",
		File:   "functions/tag/tag.go",
		Old:    "	return append(list, events.Event{Type: final, Time: now,",
		New:    "	return append(list[:0:0], events.Event{Type: events.TypeStep, Time: now,",
		Danger: "no event tells how a run ended",
	},
}
