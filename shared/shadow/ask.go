package shadow

import (
	"context"
	"encoding/json"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Agent is what a request goes by.
type Agent interface {
	cloud.Agent
	cloud.Windows
}

// delivery is the shortest time that a provider allows for it.
const delivery = 30 * time.Second

// Ask sends a request and waits for its reply. A request is idempotent, so that
// its caller may ask again after any error.
func Ask(ctx context.Context, agent Agent, instanceID string, asked Request) (reply Reply, commandID string, err error) {
	asked.Version = Version
	body, err := json.Marshal(asked)
	if err != nil {
		return Reply{}, "", fault.Wrap(fault.Internal, err, "encode the %s request", asked.Verb)
	}
	sent := time.Now()
	id, err := agent.SendShadow(ctx, cloud.ShadowCommand{
		InstanceID: instanceID, Request: body, ExecutionSecs: int(Limit.Seconds()), Comment: "quiesce shadow " + asked.Verb + " " + asked.RunID,
	})
	if err != nil {
		return Reply{}, "", err
	}
	// A little past the limit, to hear the provider say that it gave up.
	waiting, cancel := context.WithTimeout(ctx, delivery+Limit+5*time.Second)
	defer cancel()
	result, err := cloud.Await(waiting, agent, instanceID, id, sent, nil)
	switch {
	case err != nil && waiting.Err() != nil:
		cloud.GiveUp(ctx, agent, instanceID, id)
		return Reply{}, id, fault.New(fault.CommandTimedOut, "%s on %s did not answer within %s", asked.Verb, instanceID, delivery+Limit)
	case err != nil:
		return Reply{}, id, err
	}
	reply, err = Read(asked, result)
	return reply, id, err
}
