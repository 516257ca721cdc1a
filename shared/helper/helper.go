// Package helper asks the helper on an instance for one verb and waits for its
// answer, over whatever agent the provider has.
package helper

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Call is one verb for one instance. Execution bounds the verb on the
// instance; the answer is waited for a little longer. Late is added to the
// instance's clock to make the command refuse once nobody waits any more; 0
// means that it is never too late.
type Call struct {
	InstanceID string
	Asset      cloud.Asset
	Request    protocol.Request
	Execution  time.Duration
	Expires    bool
	ClockSkew  time.Duration
}

// delivery is the shortest time that a provider allows for it.
const delivery = 30 * time.Second

// exitNotDelivered is what the document answers when it could not fetch the helper.
const exitNotDelivered = 210

// Send starts the verb and returns without waiting for it; Read reads its answer
// out of the command's result.
func Send(ctx context.Context, agent cloud.Agent, call Call) (commandID string, err error) {
	call.Request.Version = protocol.Version
	body, err := json.Marshal(call.Request)
	if err != nil {
		return "", fault.Wrap(fault.Internal, err, "encode the %s request", call.Request.Verb)
	}
	return agent.Send(ctx, cloud.Command{
		InstanceID:    call.InstanceID,
		Asset:         call.Asset,
		Verb:          string(call.Request.Verb),
		Request:       body,
		DeliverySecs:  int(delivery.Seconds()),
		ExecutionSecs: int(call.Execution.Seconds()),
		Comment:       "quiesce " + string(call.Request.Verb) + " " + call.Request.RunID,
	})
}

// Ask sends the verb and returns the helper's reply; its error is a fault, the
// helper's own among them, and comes with whatever reply there was. A verb is
// idempotent, so that its caller may ask again after any error.
func Ask(ctx context.Context, agent cloud.Agent, call Call) (protocol.Reply, error) {
	limit := delivery + call.Execution
	started := time.Now()
	if call.Expires {
		call.Request.NotAfter = started.Add(limit + call.ClockSkew).UTC()
	}
	id, err := Send(ctx, agent, call)
	if err != nil {
		return protocol.Reply{}, err
	}
	// A little past the limit, to hear the provider say that it gave up.
	waiting, cancel := context.WithTimeout(ctx, limit+5*time.Second)
	defer cancel()
	result, err := cloud.Await(waiting, agent, call.InstanceID, id, started, nil)
	if err != nil {
		if waiting.Err() != nil {
			cloud.GiveUp(ctx, agent, call.InstanceID, id) // the verb refuses by its own clock
			return protocol.Reply{}, fault.New(fault.CommandTimedOut, "%s on %s did not answer within %s", call.Request.Verb, call.InstanceID, limit)
		}
		return protocol.Reply{}, err
	}
	return Read(call.Request, call.InstanceID, result)
}

// Read takes the helper's reply out of the result of its command; its error is a
// fault, the helper's own among them.
func Read(asked protocol.Request, instance string, result cloud.Result) (protocol.Reply, error) {
	var reply protocol.Reply
	text := strings.TrimSpace(result.Stdout)
	switch err := json.Unmarshal([]byte(text), &reply); {
	case err == nil && reply.Version == protocol.Version && reply.Verb == asked.Verb && reply.RunID == asked.RunID:
		return reply, reply.Error.Err()
	case result.TimedOut:
		return protocol.Reply{}, fault.New(fault.CommandTimedOut, "%s on %s: the agent says %s", asked.Verb, instance, result.Status)
	case result.ExitCode == exitNotDelivered:
		return protocol.Reply{}, fault.New(fault.HelperNotDelivered, "%s", tail(result.Stderr))
	case err == nil:
		return protocol.Reply{}, fault.New(fault.CommandFailed, "%s on %s was answered by another helper (version %d, verb %q, run %q)", asked.Verb, instance, reply.Version, reply.Verb, reply.RunID)
	}
	return protocol.Reply{}, fault.New(fault.CommandFailed, "%s on %s ended %s with exit code %d: %s", asked.Verb, instance, result.Status, result.ExitCode, tail(result.Stderr))
}

func tail(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 300 {
		s = "…" + s[len(s)-300:]
	}
	return s
}
