package cloud

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
)

// Await asks for a command's result until it is over or ctx is: quickly after it
// was sent, because somebody's writes may be waiting, and ever more slowly when
// it takes long. What is seen on the way is told to seen, which may be nil. The
// error is ctx's, or one that asking again cannot help.
func Await(ctx context.Context, agent Agent, instanceID, commandID string, sent time.Time, seen func(Result)) (Result, error) {
	for {
		result, err := agent.Result(ctx, instanceID, commandID)
		switch {
		case err == nil && result.Done:
			return result, nil
		case err != nil && !fault.CodeOf(err).Retryable():
			return result, err
		case err == nil && seen != nil:
			seen(result)
		}
		pause := min(max(time.Since(sent)/20, 25*time.Millisecond), 2*time.Second)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return result, ctx.Err()
		}
	}
}

// GiveUp cancels a command that nobody waits for any more, whatever becomes of
// its caller.
func GiveUp(ctx context.Context, agent Agent, instanceID, commandID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = agent.Cancel(ctx, instanceID, commandID) // there is no guarantee of it anyway
}
