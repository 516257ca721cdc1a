package consistency

import (
	"strings"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// told takes the provider's tool at its word, which is what it wrote on every
// snapshot: its exit code says well of a set too for which it ran no script.
// One that failed proves nothing, whatever is written.
func told(s run.State) Finding {
	p := s.Plugin
	if p.Code != "" {
		return Finding{run.Crash, p.Reason, fault.Code(p.Code)}
	}
	app, fs := len(p.Labels) > 0, len(p.Labels) > 0
	var bare []string
	labelled := map[string]bool{}
	for _, l := range p.Labels {
		app, fs = app && l.Application, fs && (l.Application || l.Filesystem)
		if labelled[l.SnapshotID] = true; !l.Application && !l.Filesystem {
			bare = append(bare, l.SnapshotID)
		}
	}
	for _, m := range s.Status.Snapshots {
		if !labelled[m.ID] {
			app, fs, bare = false, false, append(bare, m.ID)
		}
	}
	switch {
	case app:
		return Finding{run.Application, "the plug-in wrote AppConsistent on every snapshot", ""}
	case fs && s.Plan.Policy.Asked() != string(run.Application):
		return Finding{run.Filesystem, "the plug-in wrote FsConsistent on every snapshot", ""}
	case fs:
		return Finding{run.Filesystem, "the plug-in ended well and wrote FsConsistent alone: " + likely(s.Plan), fault.ScriptUnsafe}
	}
	return Finding{run.Crash, "the plug-in ended well and wrote nothing on " + strings.Join(bare, ", "), fault.PluginUntagged}
}

// likely is why the plug-in ran no script, as precheck saw it coming or as its
// makers say.
func likely(plan *run.Plan) string {
	for _, w := range plan.Warnings {
		if reason, seen := strings.CutSuffix(w, ": the plug-in would take a set of lower consistency without failing"); seen {
			return reason
		}
	}
	return "most likely a script is missing, has not the mode 700, is not owned by root, or failed"
}
