package tag

import (
	"context"
	"strings"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/consistency"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// adrift reports that AWS's document may have run unheard: what it has made carries
// the run's tag, and is no set.
func adrift(s run.State) bool {
	if policyOf(s).Mode != policy.ByVSS || s.Plan == nil || s.Set != nil {
		return false
	}
	f := s.Failures.Plugin
	return f != nil && (s.Plugin != nil || !unsent(f) && fault.Code(f.Error) != fault.CommandFailed)
}

// unshadowed reports that a set is less than what mode diskshadow is for, though
// its label is the same with shadow copies and without.
func unshadowed(s run.State, found consistency.Finding) bool {
	return policyOf(s).Mode == policy.ByDiskshadow && found.Code != ""
}

// noteShadows writes on each snapshot what going back needs: the set of shadow
// copies, and the signature of the disk. The writing may be done again.
func noteShadows(ctx context.Context, disks cloud.Disks, s run.State) error {
	if s.Plugin == nil || s.Plugin.Shadows == nil || s.Set == nil {
		return nil
	}
	signature := map[string]string{}
	for _, d := range s.Plugin.Shadows.Disks {
		signature[d.VolumeID] = strings.ToLower(d.Style) + ":" + d.Signature
	}
	for _, m := range s.Set.Snapshots {
		if err := disks.TagSnapshots(ctx, []string{m.ID}, map[string]string{
			cloud.TagRun: s.Plan.RunID, cloud.TagShadows: s.Plugin.Shadows.SetID, cloud.TagSignature: signature[m.VolumeID],
		}); err != nil {
			return err
		}
	}
	return nil
}

// tools names the step that a failure of another's tool is of.
func tools(s run.State) string {
	running := s.Plugin != nil && s.Plugin.State == run.PluginRunning
	switch mode := policyOf(s).Mode; {
	case mode == policy.ByDiskshadow:
		return "make-shadows"
	case mode == policy.ByVSS && running:
		return "watch-vss"
	case mode == policy.ByVSS:
		return "start-vss"
	case running:
		return "watch-plugin"
	}
	return "start-plugin"
}
