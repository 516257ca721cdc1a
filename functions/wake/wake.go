// Package wake ends the wait for a set when the cloud tells that the set is
// done. Most sets that it hears of are other people's.
package wake

import (
	"context"
	"regexp"
	"strings"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Event is "EBS Multi-Volume Snapshots Completion Status" of aws.ec2, as far
// as it is read. How the set ended is not: the poll that follows looks itself.
type Event struct {
	Detail struct {
		Snapshots []struct {
			ARN string `json:"snapshot_id"` // its field for the Region is empty, the next one holds it
		} `json:"snapshots"`
	} `json:"detail"`
}

// Output tells whether somebody waited for the set.
type Output struct {
	Awaited bool `json:"awaited"`
}

// Provider is what the function asks of a cloud.
type Provider interface {
	cloud.Tokens
	cloud.Tasks
}

// Do answers the token of the set, if there is one. It may be told twice, late
// or out of order: the token of a wait that is over answers nobody. Codes:
// InvalidInput, and those of FindToken and Answer.
func Do(ctx context.Context, c Provider, in Event) (*Output, error) {
	ids, err := in.ids()
	if err != nil {
		return nil, err
	}
	token, err := c.FindToken(ctx, cloud.SetKey(ids))
	if err != nil || token == "" {
		return &Output{}, err
	}
	if err := c.Answer(ctx, token); err != nil {
		return nil, err
	}
	return &Output{Awaited: true}, nil
}

// An id becomes a part of a key, hence it is held to the form that ids have.
var id = regexp.MustCompile(`^[a-z]+-[0-9a-z]{1,40}$`)

func (e Event) ids() ([]string, error) {
	ids := make([]string, len(e.Detail.Snapshots))
	for i, s := range e.Detail.Snapshots {
		ids[i] = s.ARN[strings.LastIndex(s.ARN, "/")+1:]
		if !id.MatchString(ids[i]) {
			return nil, fault.Input("detail.snapshots.snapshot_id", "names no snapshot: %q", s.ARN)
		}
	}
	if len(ids) == 0 {
		return nil, fault.Input("detail.snapshots", "is empty")
	}
	return ids, nil
}
