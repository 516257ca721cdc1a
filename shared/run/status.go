package run

import "time"

// IDs are the set's members.
func (s Set) IDs() []string {
	ids := make([]string, len(s.Snapshots))
	for i, m := range s.Snapshots {
		ids[i] = m.ID
	}
	return ids
}

// StateOf is the set's state by what its members were found to be: as bad as
// its worst member, done only when all are, and timed out when it is pending
// for longer than its plan allows.
func StateOf(plan Plan, set Set, members []Snapshot, now time.Time) string {
	state := Completed
	for _, m := range members {
		switch m.State {
		case Completed:
		case Failed:
			return Failed
		default:
			state = Pending
		}
	}
	limit := time.Duration(plan.Policy.Completion.TimeoutMinutes) * time.Minute
	if state == Pending && now.Sub(set.CallEndedAt) > limit {
		return TimedOut
	}
	return state
}
