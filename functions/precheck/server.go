package precheck

import (
	"slices"
	"strings"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// server weighs what the helper found of the server that the policy names. One
// that is not there stops a run only if the policy wants no lesser set; one
// whose files lie outside of the set stops any, for the set would be called
// consistent with data that it does not have.
func server(plan *run.Plan, instance cloud.Instance, seen *protocol.DryRunReply) error {
	app := plan.Policy.Application
	if !app.Server() {
		return nil
	}
	if err := seen.NoServer.Err(); err != nil {
		if plan.Policy.OnFailure == policy.Fail || fault.CodeOf(err) == fault.InvalidInput {
			return err
		}
		plan.Warnings = append(plan.Warnings, app.Kind+" cannot be quiesced as things are: "+err.Error())
		return nil
	}
	if seen.Server == nil {
		return fault.New(fault.CommandFailed, "the helper on %s said nothing about %s", instance.ID, app.Kind)
	}
	plan.Warnings = append(plan.Warnings, seen.Server.Warnings...)
	where := atlasOf(instance, seen.Mounts)
	for _, dir := range seen.Server.Dirs {
		on, ok := holder(seen.Mounts, dir)
		if !ok {
			return fault.New(fault.VolumeUnresolved, "%s keeps files in %s, which lies on no volume of the set", app.Kind, dir)
		}
		for _, id := range where.Volumes(on) {
			ok = ok && slices.ContainsFunc(plan.Volumes, func(v run.Volume) bool { return v.ID == id })
		}
		if !ok || len(where.Volumes(on)) == 0 {
			return fault.New(fault.VolumeUnresolved, "%s keeps files in %s, which lies on a volume that the set leaves out", app.Kind, dir)
		}
	}
	return nil
}

// holder is the mount that a folder lies on: the longest whose path leads to it.
func holder(mounts []protocol.Mount, dir string) (on protocol.Mount, found bool) {
	longest := 0
	for _, m := range mounts {
		for _, at := range append([]string{m.Mount}, m.Binds...) {
			if at == dir || strings.HasPrefix(dir, strings.TrimSuffix(at, "/")+"/") {
				if len(at) > longest {
					on, found, longest = m, true, len(at)
				}
			}
		}
	}
	return on, found
}
