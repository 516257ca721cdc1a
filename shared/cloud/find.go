package cloud

import (
	"context"
	"strconv"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
)

// Settle is how long a set that was just created may stay invisible to a look
// for its tags; nobody publishes the figure, and lists were seen to lag by a
// second or two.
const Settle = 8 * time.Second

// Find looks for a run's set until it is seen whole or wait has passed; none is
// not an error, and a list may show a part before the rest. An answer that fails
// is asked for again as long as there is time.
func Find(ctx context.Context, disks Disks, runID string, wait time.Duration) ([]TaggedSnapshot, error) {
	give := time.Now().Add(wait)
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		found, err := disks.FindSet(ctx, runID)
		if whole(found) || time.Now().Add(pause).After(give) {
			return found, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fault.Wrap(fault.SnapshotOutcomeUnknown, ctx.Err(), "look for the set of the run %s", runID)
		}
	}
}

// whole reports that a set has as many members as it says itself. One that the
// provider's own tool has made says nothing.
func whole(found []TaggedSnapshot) bool {
	if len(found) == 0 {
		return false
	}
	members, err := strconv.Atoi(found[0].Tags[TagMembers])
	return err != nil || len(found) >= members
}

// IDs are the ids of the snapshots.
func IDs(found []TaggedSnapshot) []string {
	ids := make([]string, len(found))
	for i, s := range found {
		ids[i] = s.ID
	}
	return ids
}
