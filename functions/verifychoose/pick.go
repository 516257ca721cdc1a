package verifychoose

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/retention"
)

// Pick picks the newest good set of the instance, or without one of that
// instance of which no set was tested for longest: so each of a fleet has its
// turn. The reason says which it was. One that cannot be restored, or whose test
// has failed, is no good one; one from the future is none either, nor one of which
// no disk can be made because it is archived.
func Pick(stock cloud.Stock, instance string) (set retention.Set, why string, err error) {
	newest, tested, archived := map[string]retention.Set{}, map[string]time.Time{}, 0
	for _, s := range stock.Snapshots {
		at, err := time.Parse(time.RFC3339, s.Tags[cloud.TagTestAt])
		if of := s.Tags[cloud.TagInstance]; err == nil && at.After(tested[of]) {
			tested[of] = at
		}
	}
	for _, s := range retention.Sets(stock.Snapshots) {
		if !s.Good() || s.TakenAt.After(stock.At) || instance != "" && s.InstanceID != instance {
			continue
		}
		if s.Archived() {
			archived++
			continue
		}
		if before, ok := newest[s.InstanceID]; !ok || s.TakenAt.After(before.TakenAt) {
			newest[s.InstanceID] = s
		}
	}
	if len(newest) == 0 {
		said := "there is no good set"
		if instance != "" {
			said += " of " + instance
		}
		if archived > 0 {
			said += fmt.Sprintf(" that is not archived, and %d that are", archived)
		}
		return set, "", errors.New(said)
	}
	turns := make([]retention.Set, 0, len(newest))
	for _, s := range newest {
		turns = append(turns, s)
	}
	set = slices.MinFunc(turns, func(a, b retention.Set) int {
		return cmp.Or(tested[a.InstanceID].Compare(tested[b.InstanceID]), b.TakenAt.Compare(a.TakenAt), cmp.Compare(a.InstanceID, b.InstanceID))
	})
	why = "it is the newest good one of " + set.InstanceID
	switch at := tested[set.InstanceID]; {
	case len(newest) == 1:
	case at.IsZero():
		why += ", of which none was ever tested"
	default:
		why += ", of which one was last tested at " + at.UTC().Format(time.RFC3339)
	}
	return set, why, nil
}
