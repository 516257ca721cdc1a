package restorereport

import (
	"fmt"
	"strings"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/restore"
)

// unrecovered is the end of copies that did not come to life as they were to:
// they are there, and the original is as it was.
func unrecovered(v *restore.Verdict, plan *restore.Plan) {
	v.Outcome, v.Code = restore.FailedClean, string(fault.RecoveryFailed)
	v.Reason = fmt.Sprintf("the disks are attached to %s, and not all of it came to life: %s", plan.Target.InstanceID, strings.Join(v.Recovery.Problems, "; "))
	if v.Recovery.Untold > 0 {
		v.Reason += fmt.Sprintf("; %d more are in the helper's own answer, or were left out", v.Recovery.Untold)
	}
	if places := mounted(v.Recovery); len(places) > 0 {
		v.Reason += "; mounted: " + strings.Join(places, ", ")
	}
	v.Next = append([]string{fault.RecoveryFailed.NextMove()}, v.Next...)
}

// mounted are the places of what a recovery has mounted.
func mounted(r *protocol.RecoverReply) (places []string) {
	for _, f := range r.Filesystems {
		if f.Mount != "" {
			places = append(places, f.Mount)
		}
	}
	return places
}

// alive is what a recovery has done, in a few words.
func alive(r *protocol.RecoverReply) string {
	said := fmt.Sprintf("%.1f s: mounted at %s", r.Seconds, strings.Join(mounted(r), ", "))
	if s := r.Server; s != nil {
		said += ", " + strings.TrimSpace(s.Kind+" "+s.Version) + " recovered, checked and stopped"
	}
	if r.Script != nil {
		said += ", the check passed"
	}
	return said
}

// wakes is what a person does about copies that were to come to life and failed to,
// or that could not be unmounted.
func wakes(in Input) (moves []string) {
	id := in.Plan.RestoreID
	switch {
	case in.Failures.Unmount != nil:
		moves = append(moves, fmt.Sprintf("Nothing was detached or deleted. See who uses the mounts on %s (`fuser -vm`), and clean up again; or unmount them by hand and say --unmounted.", in.Plan.Target.InstanceID))
	case in.Failures.Recover != nil:
		moves = append(moves, "The copies are attached, and nothing of them is mounted unless the helper is still at it: `quiesce-guest recover` tries it again on the instance.")
	case in.Ended != nil:
		moves = append(moves, "The helper may go on bringing the copies to life, and leaves them mounted.")
	}
	return append(moves, fmt.Sprintf("`quiesce restore --cleanup %s` unmounts, detaches and deletes what was created.", id))
}
