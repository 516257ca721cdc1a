package report

import (
	"cmp"
	"fmt"

	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/step"
)

// together judges a group by its members: it is as consistent as the least of
// them. All were frozen before the first snapshot call, as the definition has
// it, and each was held to the end of its own: so all sets show the moment at
// which the last freeze was complete.
func together(in Input) *run.Report {
	r := &run.Report{Together: true, Instances: len(in.Members)}
	dirty := in.Lost.Thaw != nil || in.Lost.Finish != nil
	least := run.Application
	for _, m := range in.Members {
		e := run.Ended{InstanceID: cmp.Or(m.Request.Read().InstanceID, "?"), RunID: cmp.Or(m.Run.ID, "?")}
		v := m.Verdict
		switch {
		case v == nil:
			r.Failed++
			dirty, least = true, ""
			e.Error, e.Reason = "Unjudged", "no verdict was reached: a set may exist without a label"
		case v.Outcome == run.OutcomeCompleted:
			r.Completed++
		case v.Outcome == run.OutcomeDegraded:
			r.Degraded++
			e.Error, e.Reason = cmp.Or(v.Code, "Degraded"), clip(v.Reason)
		default:
			r.Failed++
			dirty = dirty || v.Outcome == run.OutcomeFailedDirty
			e.Error, e.Reason = cmp.Or(v.Code, string(v.Outcome)), clip(v.Reason)
		}
		if v != nil && v.Consistency.Rank() < least.Rank() {
			least = v.Consistency
		}
		if e.Error != "" {
			r.Failures = append(r.Failures, e)
		}
	}
	if r.Instances == 0 {
		least = ""
	}
	r.Consistency = least
	r.Outcome, r.Reason = ends(in, r, dirty)
	if f := in.Lost.Any(); f != nil {
		r.Code = f.Error
	} else if len(r.Failures) > 0 {
		r.Code = r.Failures[0].Error
	}
	return r
}

func ends(in Input, r *run.Report, dirty bool) (outcome, reason string) {
	if f := in.Lost.Any(); f != nil {
		reason, _, _ = step.Explain(f.Error, f.Cause)
		reason = "a phase of the group failed: " + clip(reason)
	} else if len(r.Failures) > 0 {
		f := r.Failures[0]
		reason = fmt.Sprintf("%d of %d members completed; %s: %s", r.Completed, r.Instances, f.InstanceID, f.Reason)
	}
	switch {
	case dirty:
		return string(run.OutcomeFailedDirty), reason
	case r.Completed+r.Degraded == 0:
		return string(run.OutcomeFailedClean), cmp.Or(reason, "the group has no members")
	case r.Completed < r.Instances || in.Lost.Any() != nil:
		return string(run.OutcomeDegraded), reason
	}
	return string(run.OutcomeCompleted), fmt.Sprintf("every member was held at one time and proved %s-consistent", r.Consistency)
}
