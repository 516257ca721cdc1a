// Package history reads an execution of the workflow out of Step Functions: its
// path, its document, and what is happening while it runs.
package history

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/quiesce/quiesce/shared/history"
	"github.com/quiesce/quiesce/shared/run"
)

// Record and Passage are what every provider's history is read into.
type (
	Record  = history.Record
	Passage = history.Passage
)

// Look reads an execution's history once.
func Look(ctx context.Context, client *sfn.Client, arn string) (*Record, error) {
	r := &reader{client: client, arn: arn, entered: map[string]time.Time{}}
	return &r.record, r.read(ctx)
}

// Tell reads an execution's history once and tells each passage; of one that goes
// on, the last has no end.
func Tell(ctx context.Context, client *sfn.Client, arn string, tell func(Passage)) (*Record, error) {
	r := &reader{client: client, arn: arn, tell: tell, entered: map[string]time.Time{}}
	return &r.record, r.read(ctx)
}

// Follow reads an execution's history until it has ended and tells each
// passage once. When ctx ends it returns what it has read.
func Follow(ctx context.Context, client *sfn.Client, arn string, tell func(Passage)) (*Record, error) {
	r := &reader{client: client, arn: arn, tell: tell, entered: map[string]time.Time{}}
	for {
		if err := r.read(ctx); err != nil {
			return &r.record, err
		}
		if r.record.Status != string(types.ExecutionStatusRunning) {
			return &r.record, nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return &r.record, ctx.Err()
		}
	}
}

type reader struct {
	client  *sfn.Client
	arn     string
	tell    func(Passage)
	record  Record
	entered map[string]time.Time
	current string
	kind    string // of the current state
	failed  string
}

// read takes in what is new. The status is asked first, so that the history
// read after it is whole once it says that the execution has ended.
func (r *reader) read(ctx context.Context) error {
	status, err := r.client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &r.arn})
	if err != nil {
		return err
	}
	r.record.RunID = aws.ToString(status.Name)
	r.record.Status = string(status.Status)
	r.record.StartedAt = aws.ToTime(status.StartDate)
	r.record.StoppedAt = status.StopDate
	r.record.Error, r.record.Cause = aws.ToString(status.Error), aws.ToString(status.Cause)
	seen := 0
	pages := sfn.NewGetExecutionHistoryPaginator(r.client, &sfn.GetExecutionHistoryInput{ExecutionArn: &r.arn, MaxResults: 1000})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, e := range page.Events {
			if seen++; seen > r.record.Events {
				r.take(e)
			}
		}
	}
	r.record.Events = seen
	return nil
}

func (r *reader) take(e types.HistoryEvent) {
	kind := string(e.Type)
	switch {
	case e.StateEnteredEventDetails != nil:
		d := e.StateEnteredEventDetails
		r.record.States = append(r.record.States, *d.Name)
		r.carry(d.Input)
		r.leave(*e.Timestamp) // a state whose Catch was taken has no exit of its own
		r.current, r.entered[*d.Name] = *d.Name, *e.Timestamp
		r.kind = strings.TrimSuffix(kind, "StateEntered")
		r.say(Passage{State: *d.Name, Type: r.kind, At: *e.Timestamp})
	case e.StateExitedEventDetails != nil:
		r.carry(e.StateExitedEventDetails.Output)
		r.leave(*e.Timestamp)
	case e.LambdaFunctionFailedEventDetails != nil:
		r.failed = aws.ToString(e.LambdaFunctionFailedEventDetails.Error)
	case e.LambdaFunctionTimedOutEventDetails != nil:
		r.failed = aws.ToString(e.LambdaFunctionTimedOutEventDetails.Error)
	case e.TaskFailedEventDetails != nil:
		r.failed = aws.ToString(e.TaskFailedEventDetails.Error)
	case e.TaskTimedOutEventDetails != nil:
		r.failed = aws.ToString(e.TaskTimedOutEventDetails.Error)
	case e.LambdaFunctionScheduledEventDetails != nil, e.TaskScheduledEventDetails != nil:
		r.failed = "" // another attempt
	}
}

// carry reads the document as it goes from state to state; an end's output is
// another one.
func (r *reader) carry(document *string) {
	var named struct{ Run run.Run }
	text := []byte(aws.ToString(document))
	if json.Unmarshal(text, &named) != nil || named.Run.ID == "" {
		return
	}
	r.record.Document = text
	var state run.State
	if json.Unmarshal(text, &state) == nil {
		r.record.State = state
	}
}

func (r *reader) leave(at time.Time) {
	if r.current == "" {
		return
	}
	r.say(Passage{State: r.current, Type: r.kind, Done: true, At: r.entered[r.current], Failed: r.failed, Took: at.Sub(r.entered[r.current]), After: r.record.State})
	r.current, r.failed = "", ""
}

func (r *reader) say(p Passage) {
	if r.tell != nil {
		r.tell(p)
	}
}
