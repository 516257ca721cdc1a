// Command bootstrap is a function that does what its input says, for the tests
// of the host.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

var calls int

func main() {
	if os.Getenv("_HANDLER") == "stillborn" {
		os.Exit(3)
	}
	lambda.Start(func(ctx context.Context, in map[string]string) (map[string]any, error) {
		calls++
		fmt.Println(`{"line":"` + in["do"] + `"}`)
		switch in["do"] {
		case "fail":
			return nil, messages.InvokeResponse_Error{Type: "HoldLost", Message: "the hold was lost"}
		case "panic":
			panic("planned")
		case "exit":
			os.Exit(7)
		case "hang":
			time.Sleep(time.Hour)
		case "nap":
			time.Sleep(300 * time.Millisecond)
		}
		lc, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		env, _ := json.Marshal(os.Environ())
		return map[string]any{
			"calls": calls, "pid": os.Getpid(), "handler": os.Getenv("_HANDLER"), "function": lambdacontext.FunctionName,
			"arn": lc.InvokedFunctionArn, "left": time.Until(deadline).Seconds(), "env": string(env),
		}, nil
	})
}
