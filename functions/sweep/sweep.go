// Package sweep starts the janitor of every run and of every restore whose
// execution was stopped or ran out of its time, on a cloud that publishes no
// event of either. A timer starts it each minute, and what one minute leaves is
// the next one's.
package sweep

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// past is how long ago an execution may have begun that is still looked at: the
// longest that one lasts, and a day for the timer to have been out of order.
const past = 54 * time.Hour

// spare is what one start may take. Who has less time left begins no other.
const spare = 5 * time.Second

// room is how large a request is handed on. Larger ones were refused before
// anything was touched: their instance is named, and no more of them.
const room = 32 << 10

// Input is the timer's. Nothing of it is needed.
type Input struct {
	TriggerTime string          `json:"triggerTime"`
	TriggerName string          `json:"triggerName"`
	Payload     json.RawMessage `json:"payload,omitempty"`
}

// Output counts what was found broken, and what became of that.
type Output struct {
	Broken  int `json:"broken"`  // of the time that is looked at
	Started int `json:"started"` // janitors, now
	Left    int `json:"left"`    // to the next minute, for want of time
}

// janitor is what the janitor's flow is started with.
type janitor struct {
	InstanceID string          `json:"instanceId"` // empty: it was not told
	Request    json.RawMessage `json:"request"`
	Ended      struct {
		Status string `json:"status"`
	} `json:"ended"`
}

// Do looks and starts, for runs first: an application may wait for that. What
// goes wrong with one keeps no other from being started. Codes: those of the
// Sweeper.
func Do(ctx context.Context, s cloud.Sweeper, _ Input) (*Output, error) {
	out, failed := &Output{}, error(nil)
	for _, of := range []cloud.Workflow{cloud.SnapshotWorkflow, cloud.RestoreWorkflow} {
		failed = errors.Join(failed, out.sweep(ctx, s, of))
	}
	return out, failed
}

// sweep does it for one workflow. Whoever broke off last comes first: the others
// are older than every deadline on their instances.
func (out *Output) sweep(ctx context.Context, s cloud.Sweeper, of cloud.Workflow) error {
	since := time.Now().Add(-past)
	broken, err := s.Broken(ctx, of, since)
	if err != nil || len(broken) == 0 {
		return err
	}
	swept, err := s.Swept(ctx, of, since)
	if err != nil {
		return err
	}
	slices.SortFunc(broken, func(a, b cloud.Broken) int {
		return cmp.Or(b.StoppedAt.Compare(a.StoppedAt), cmp.Compare(a.Name, b.Name))
	})
	out.Broken += len(broken)
	var failed error
	for _, b := range broken {
		if swept[b.Name] {
			continue
		}
		if until, ok := ctx.Deadline(); ok && time.Until(until) < spare {
			out.Left++
			continue
		}
		input, err := inputOf(b)
		if err == nil {
			err = s.Sweep(ctx, of, b.Name, input)
		}
		if err != nil {
			failed = errors.Join(failed, fault.Wrap(fault.CodeOf(err), err, "start the janitor of %s", b.Name))
			continue
		}
		out.Started++
	}
	return failed
}

// inputOf is a janitor's input: the instance can be named without reading the
// request, which nobody has checked.
func inputOf(b cloud.Broken) ([]byte, error) {
	var named struct {
		InstanceID string `json:"instanceId"`
	}
	j := janitor{Request: b.Input}
	if json.Unmarshal(b.Input, &named) == nil {
		j.InstanceID = named.InstanceID
	}
	if !json.Valid(b.Input) || len(b.Input) > room {
		short, err := json.Marshal(named)
		if err != nil {
			return nil, err
		}
		j.Request = short
	}
	j.Ended.Status = b.Status
	return json.Marshal(j)
}
