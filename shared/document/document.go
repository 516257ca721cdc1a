// Package document runs the user's own command document through the provider's
// agent, in the manner of Data Lifecycle Manager: the parameters command and
// executionId, and exit codes that say what went wrong.
package document

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// Commands, as values of the parameter command.
const (
	Pre    = "pre-script"
	Post   = "post-script"
	DryRun = "dry-run"
)

// Parameters that every document must have.
const (
	ParameterCommand = "command"
	ParameterID      = "executionId"
)

const (
	answer = 5 * time.Second  // past the limits, to hear the provider say that it gave up
	dying  = 10 * time.Second // that a cancelled command may take to be gone
	pause  = 500 * time.Millisecond
)

// attempt is the longest that one command takes its sender.
func attempt(plan *run.Plan) time.Duration {
	return policy.DeliveryLimit + limit(plan) + answer + dying
}

func limit(plan *run.Plan) time.Duration {
	return time.Duration(plan.Policy.Application.TimeoutSeconds) * time.Second
}

// ExecutionID is the run's, in the form that published documents demand. It
// follows from the run alone, so that a janitor names the same.
func ExecutionID(runID string) string {
	sum := sha256.Sum256([]byte("quiesce execution " + runID))
	sum[6] = sum[6]&0x0f | 0x80 // a UUID of version 8: made from a hash
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// Quiesce sends the pre-script. One that fails may have done half of its work:
// the post-script undoes it at once, before another attempt and after the last,
// and the thaw sends it once more. The error is that of the last attempt that was
// made.
func Quiesce(ctx context.Context, agent cloud.Agent, plan *run.Plan) (*run.Document, error) {
	began := time.Now()
	var failure error
	for try := 1; ; try++ {
		done, err := send(ctx, agent, plan, Pre)
		done.StartedAt, done.Attempts = began, try
		if err == nil {
			return done, nil
		}
		if unsent(err) {
			return done, cmp.Or(failure, err)
		}
		_, _ = send(ctx, agent, plan, Post) // it is sent again, and heard, by the thaw
		deadline, bounded := ctx.Deadline()
		if try > plan.Policy.Application.Retries || bounded && time.Until(deadline) < 2*attempt(plan) || !rest(ctx) {
			return done, err
		}
		failure = err
	}
}

// Release sends the post-script until it succeeds, its retries are used up or
// trying again is no use: what is let go already needs none. What became of it
// is in the result alone, because everything else must go on.
func Release(ctx context.Context, agent cloud.Agent, plan *run.Plan) *run.Document {
	began := time.Now()
	for try := 1; ; try++ {
		done, err := send(ctx, agent, plan, Post)
		done.StartedAt, done.Attempts, done.Error = began, try, protocol.FailureOf(err)
		deadline, bounded := ctx.Deadline()
		if done.LetGo() || unsent(err) || try > plan.Policy.Application.Retries ||
			bounded && time.Until(deadline) < attempt(plan) || !rest(ctx) {
			return done
		}
	}
}

// Rehearse sends the dry run, which changes nothing.
func Rehearse(ctx context.Context, agent cloud.Agent, plan *run.Plan) error {
	_, err := send(ctx, agent, plan, DryRun)
	return err
}

// unsent reports that a provider refused the command itself, for good: nothing
// ran, and nothing will.
func unsent(err error) bool {
	code := fault.CodeOf(err)
	return code == fault.AccessDenied || code == fault.CommandFailed
}

func rest(ctx context.Context) bool {
	select {
	case <-time.After(pause):
		return true
	case <-ctx.Done():
		return false
	}
}

// send sends one command and waits for its end. What has its time behind it is
// cancelled, and waited for a little: a pre-script that went on would hold the
// application after its post-script.
func send(ctx context.Context, agent cloud.Agent, plan *run.Plan, command string) (*run.Document, error) {
	name, instance := plan.Policy.Application.Document, plan.Target.InstanceID
	done := &run.Document{
		Name: name, Command: command, ExecutionID: ExecutionID(plan.RunID), Attempts: 1, ExitCode: -1, StartedAt: time.Now(),
	}
	defer func() { done.EndedAt = time.Now() }()
	id, err := agent.SendDocument(ctx, cloud.DocumentCommand{
		InstanceID: instance, Document: name, DeliverySecs: int(policy.DeliveryLimit.Seconds()),
		Parameters: map[string]string{ParameterCommand: command, ParameterID: done.ExecutionID},
		Comment:    "quiesce " + command + " " + plan.RunID,
	})
	if err != nil {
		return done, err
	}
	done.CommandID = id
	result, err := within(ctx, agent, instance, id, limit(plan))
	if err != nil && ctx.Err() == nil && fault.CodeOf(err) == fault.ScriptTimedOut {
		cloud.GiveUp(ctx, agent, instance, id)
		gone, cancel := context.WithTimeout(ctx, dying)
		defer cancel()
		_, _ = cloud.Await(gone, agent, instance, id, time.Now(), nil) // its end is of interest, its answer is not
	}
	if err != nil {
		return done, err
	}
	done.ExitCode = result.ExitCode
	return done, judge(command, name, result)
}

// within waits for a command: for its delivery, and from when the agent has
// begun it, for its limit.
func within(ctx context.Context, agent cloud.Agent, instance, id string, limit time.Duration) (cloud.Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(policy.DeliveryLimit+answer, func() {
		cancel(fault.New(fault.ScriptTimedOut, "the document was not begun on %s within %s", instance, policy.DeliveryLimit))
	})
	defer func() { late.Stop() }()
	begun := false
	result, err := cloud.Await(ctx, agent, instance, id, time.Now(), func(r cloud.Result) {
		if r.Running && !begun && late.Stop() {
			begun = true
			late = time.AfterFunc(limit, func() {
				cancel(fault.New(fault.ScriptTimedOut, "the document had not ended on %s after %s", instance, limit))
			})
		}
	})
	if err != nil && ctx.Err() != nil {
		return result, context.Cause(ctx)
	}
	return result, err
}
