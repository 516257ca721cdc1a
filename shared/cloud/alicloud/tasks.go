package alicloud

import (
	"context"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/fnf"
)

// over are the refusals that tell that a wait has ended already, or never was.
var over = []string{
	"TaskAlreadyCompleted", "TaskNotExists", "TaskNotFound", "InvalidTaskToken", "ExecutionAlreadyStopped",
	"ExecutionNotExists", "InvalidArgument", // the token is the one argument that can be wrong
}

// Answer ends a wait; that nobody waits any more is as good.
func (p *Provider) Answer(ctx context.Context, token string) error {
	request, response := fnf.CreateReportTaskSucceededRequest(), fnf.CreateReportTaskSucceededResponse()
	request.TaskToken, request.Output = token, "{}"
	err := p.call(ctx, "fnf", request, response)
	if hasCode(err, over...) {
		return nil
	}
	return translate(err, "end the wait for a set")
}
