package aws_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/quiesce/quiesce/workflow/asl"
)

const waitingDefinition = `{"StartAt":"Wait","States":{"Wait":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke.waitForTaskToken",
  "TimeoutSeconds":3600,"HeartbeatSeconds":60,"Parameters":{"FunctionName":"${Freeze}","Payload":{"token.$":"$$.Task.Token"}},
  "Catch":[{"ErrorEquals":["Refused"],"ResultPath":"$.failure","Next":"Refused"}],"End":true},
  "Refused":{"Type":"Pass","End":true}}}`

// A task that waits for its token is answered by the service's own API.
func TestAnswers(t *testing.T) {
	withMachine(t, nil, func(t *testing.T, w *machineWorld) {
		m, err := asl.Parse([]byte(waitingDefinition), map[string]string{"Freeze": w.FunctionARN("freeze")})
		if err != nil {
			t.Fatal(err)
		}
		w.arn = w.engine.Deploy("waits", []byte(waitingDefinition), m, w.Tasks(w.local))
		var token *string
		w.freeze = func(_ context.Context, in json.RawMessage) (json.RawMessage, error) {
			var payload struct{ Token string }
			err := json.Unmarshal(in, &payload)
			token = &payload.Token
			return json.RawMessage(`{}`), err
		}
		succeed := func(token, output *string) error {
			_, err := w.sfn.SendTaskSuccess(t.Context(), &sfn.SendTaskSuccessInput{TaskToken: token, Output: output})
			return err
		}

		arn := w.start(t, "r1", "{}")
		synctest.Wait()
		wantCode(t, succeed(sdk.String("nonsense"), sdk.String("{}")), "InvalidToken")
		wantCode(t, succeed(sdk.String(strings.Repeat("A", 86)+"=="), sdk.String("{}")), "TaskDoesNotExist")
		wantCode(t, succeed(token, sdk.String("{")), "InvalidOutput")
		time.Sleep(50 * time.Second)
		if _, err := w.sfn.SendTaskHeartbeat(t.Context(), &sfn.SendTaskHeartbeatInput{TaskToken: token}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Second)
		if x := w.describe(t, arn); x.Status != types.ExecutionStatusRunning {
			t.Errorf("got %s after a heartbeat", x.Status)
		}
		if err := succeed(token, sdk.String(`{"done":true}`)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if x := w.describe(t, arn); x.Status != types.ExecutionStatusSucceeded || *x.Output != `{"done":true}` {
			t.Errorf("got %s %v", x.Status, x.Output)
		}
		wantCode(t, succeed(token, sdk.String("{}")), "TaskTimedOut")

		history, err := w.sfn.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: &arn})
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for _, e := range history.Events {
			kinds = append(kinds, string(e.Type))
			if d := e.TaskScheduledEventDetails; d != nil && (*d.Resource != "invoke.waitForTaskToken" || !strings.Contains(*d.Parameters, *token)) {
				t.Errorf("scheduled %+v", *d)
			}
			if d := e.TaskSubmittedEventDetails; d != nil && !strings.Contains(*d.Output, `"StatusCode":200`) {
				t.Errorf("submitted %+v", *d)
			}
		}
		want := "ExecutionStarted TaskStateEntered TaskScheduled TaskStarted TaskSubmitted TaskSucceeded TaskStateExited ExecutionSucceeded"
		if got := strings.Join(kinds, " "); got != want {
			t.Errorf("the history is %s", got)
		}

		arn = w.start(t, "r2", "{}")
		synctest.Wait()
		if _, err := w.sfn.SendTaskFailure(t.Context(), &sfn.SendTaskFailureInput{TaskToken: token, Error: sdk.String("Refused"), Cause: sdk.String("no")}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if x := w.describe(t, arn); x.Status != types.ExecutionStatusSucceeded || *x.Output != `{"failure":{"Cause":"no","Error":"Refused"}}` {
			t.Errorf("got %s %v", x.Status, x.Output)
		}
	})
}
