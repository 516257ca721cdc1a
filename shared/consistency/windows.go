package consistency

import (
	"fmt"
	"strings"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// written takes AWS's component at its word, which is what it wrote on every
// snapshot: it is not known to write it on one that was not frozen, and a command
// that failed proves nothing whatever is written. Without the applications'
// writers its word is about filesystems alone.
func written(s run.State) Finding {
	p := s.Plugin
	switch {
	case s.Failures.Plugin != nil:
		gap := caught(command[policy.ByVSS], s.Failures.Plugin)
		return Finding{run.Crash, gap.reason + "; the set was taken without it", gap.code}
	case p == nil:
		return Finding{run.Crash, "AWS's document was not sent", fault.Internal}
	case p.Set == nil:
		return Finding{run.Crash, p.Reason + "; the set was taken without it", fault.Code(p.Code)}
	case p.Code != "":
		return Finding{run.Crash, p.Reason, fault.Code(p.Code)}
	}
	labelled := map[string]bool{}
	for _, l := range p.Labels {
		labelled[l.SnapshotID] = l.Application
	}
	var bare []string
	for _, m := range s.Status.Snapshots {
		if !labelled[m.ID] {
			bare = append(bare, m.ID)
		}
	}
	switch {
	case len(bare) > 0:
		return Finding{run.Crash, "AWS's document ended well, and its component did not write AppConsistent on " + strings.Join(bare, ", "), fault.VssUnproved}
	case s.Plan.Policy.Application.Kind == policy.VSS:
		return Finding{run.Application, "AWS's component wrote AppConsistent on every snapshot", ""}
	}
	return Finding{run.Filesystem, "AWS's component wrote AppConsistent on every snapshot, the applications' writers left out", ""}
}

// shadowed says what a set after shadow copies is: as it is, it was taken while
// everybody wrote. What its shadow copies hold was consistent when Windows made
// them; that they are whole in the set, and can be gone back to, nobody has seen.
func shadowed(s run.State) Finding {
	switch p := s.Plugin; {
	case s.Failures.Plugin != nil:
		gap := caught(command[policy.ByDiskshadow], s.Failures.Plugin)
		return Finding{run.Crash, gap.reason + "; the set holds no shadow copies", gap.code}
	case p == nil || p.Shadows == nil:
		return Finding{run.Crash, "the set holds no shadow copies", fault.ShadowFailed}
	}
	return Finding{run.Crash, fmt.Sprintf("nothing held the volumes during the call; they hold %d shadow copies of the set %s, made with the writers before it and not gone back to yet",
		len(s.Plugin.Shadows.Copies), s.Plugin.Shadows.SetID), ""}
}
