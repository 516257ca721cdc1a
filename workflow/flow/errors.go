package flow

import "github.com/quiesce/quiesce/workflow/asl"

// All is the name that matches every error but an output that is too large.
const All = "FnF.ALL"

// names maps the service's own error names to the interpreter's. Every other
// name means the same in both: a fault code is the function's errorType, and
// those of Function Compute are raised by whoever invokes a function.
var names = map[string]string{
	All:               asl.All,
	"FnF.TaskTimeout": asl.Timeout,
}

// Services are the error names that Function Compute, EventBridge and the
// engine itself raise, as a definition may name them: a call that was refused
// for its rate or for want of instances did not run; after the others it is not
// known whether the function ran.
var Services = []string{
	"FC.ResourceThrottled",
	"FC.ResourceExhausted",
	"FC.ServiceUnavailable",
	"FC.InternalServerError",
	"FC.Unknown", // the function's process died, or was killed at its timeout
}

// counterparts are the names by which Step Functions knows what befalls a
// function, and Function Compute's for the same.
var counterparts = map[string]string{
	"Lambda.TooManyRequestsException": "FC.ResourceThrottled",
	"Lambda.ServiceException":         "FC.InternalServerError",
	"Lambda.AWSLambdaException":       "FC.InternalServerError",
	"Lambda.SdkClientException":       "FC.ServiceUnavailable",
	"Lambda.Unknown":                  "FC.Unknown",
	"Runtime.ExitError":               "FC.Unknown",
	"Sandbox.Timedout":                "FC.Unknown",
}

// ErrorOf is CloudFlow's name for what Step Functions calls name; fault codes
// and what it does not know keep theirs.
func ErrorOf(name string) string {
	if own, ok := counterparts[name]; ok {
		return own
	}
	return name
}

// nameOf is the interpreter's name for one that a definition matches.
func nameOf(name string) string {
	if theirs, ok := names[name]; ok {
		return theirs
	}
	return name
}
