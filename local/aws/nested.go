package aws

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aws/states"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/workflow/asl"
)

// startExecution is the service integration that starts another execution, and
// waits for its end when the resource ends in .sync:2. On AWS a parent that is
// stopped stops its child; here the child goes on.
func (c *Cloud) startExecution(ctx context.Context, sync bool, input json.RawMessage) (json.RawMessage, error) {
	var in struct {
		StateMachineArn string
		Name            string
		Input           json.RawMessage
	}
	if err := json.Unmarshal(input, &in); err != nil || c.cfg.Engine == nil {
		return nil, &asl.Error{Name: asl.Runtime, Cause: "states:startExecution wants StateMachineArn, Name and Input, and an engine"}
	}
	var text string
	if json.Unmarshal(in.Input, &text) == nil { // the document may be a string that holds it
		in.Input = json.RawMessage(text)
	}
	if in.Name == "" {
		in.Name = c.uuid()
	}
	if bucket := states.StartLimit; !c.Take("states:StartExecution", bucket, time.Now()) {
		return nil, &asl.Error{Name: "StepFunctions.AWSStepFunctionsException", Cause: "Rate exceeded (Service: AWSStepFunctions; Status Code: 400; Error Code: ThrottlingException)"}
	}
	_, machine, _ := strings.Cut(in.StateMachineArn, ":stateMachine:")
	x, err := c.cfg.Engine.Start(machine, in.Name, in.Input)
	if err != nil {
		return nil, &asl.Error{Name: "StepFunctions." + err.Error() + "Exception", Cause: err.Error() + ": " + in.Name}
	}
	if !sync {
		return json.Marshal(map[string]any{"ExecutionArn": x.ARN, "StartDate": x.StartedAt.UTC().Format(time.RFC3339Nano)})
	}
	if x, err = c.cfg.Engine.Wait(ctx, x.ARN); err != nil {
		return nil, err
	}
	doc, err := json.Marshal(map[string]any{
		"ExecutionArn": x.ARN, "StateMachineArn": x.MachineARN, "Name": x.Name, "Status": x.Status,
		"StartDate": x.StartedAt.UnixMilli(), "StopDate": x.StoppedAt.UnixMilli(),
		"Input": x.Input, "Output": x.Output, "Error": x.Error, "Cause": x.Cause,
	})
	if x.Status != engine.Succeeded {
		return nil, errors.Join(err, &asl.Error{Name: asl.TaskFailed, Cause: string(doc)})
	}
	return doc, err
}
