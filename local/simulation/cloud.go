package simulation

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/workflow/asl"
)

// Cloud is the one that a world is in.
type Cloud string

// The clouds: whoever names none is in the first.
const (
	AWS     Cloud = ""
	Alibaba Cloud = "aliyun"
)

// calls are the other cloud's names for what one cloud's are written down of.
var calls = map[string]string{
	"CreateSnapshots": "CreateSnapshotGroup", "SendCommand": "RunCommand", "CancelCommand": "StopInvocation",
	"GetCommandInvocation": "DescribeInvocationResults", "CreateTags": "TagResources", "SendTaskSuccess": "ReportTaskSucceeded",
}

// point is a point by the cloud's own name of the call.
func (c Cloud) point(of string) string {
	step, call, inside := strings.Cut(of, "/")
	if own := calls[call]; inside && own != "" && c == Alibaba {
		return step + "/" + own
	}
	return of
}

// sweeps is how long an execution that was stopped has left something for, at
// most: in one cloud an event brings the janitor, in the other a timer does.
func (c Cloud) sweeps() time.Duration {
	if c == Alibaba {
		return swept + 2*sweepEvery // one that had begun when it was stopped has missed it
	}
	return swept
}

// place is what a site has in one cloud: the definition that is deployed there,
// and how a world's account with the functions in it comes about.
type place struct {
	definition *asl.Machine
	open       func(w *world) account
}

// account is the emulated cloud of one world, with one instance in it.
type account interface {
	Transport() http.RoundTripper
	Tasks(functions runtimeapi.Invoker) asl.Tasks
	functions() map[string]runtimeapi.Handler
	Calls() []wire.Record
	Close()

	// target is the instance's id.
	target() string
	// volume is the id of a data volume.
	volume(i int) string
	// rent puts the machine into the account, with the data volumes that were
	// made already, each with its device.
	rent(ctx context.Context, devices map[string]string) error
	// listen adds the rules by which events start functions.
	listen(again string) error
	// timers start what a timer does, where there is one.
	timers()

	// running tells whether the instance is, and turn stops or starts it.
	running() bool
	turn(on bool)
	// connect lets the agent reach the service, or not.
	connect(online bool)
	// occupy keeps the agent busy with other people's commands, where it has so
	// much room and no more.
	occupy()

	// published are all events so far, in order.
	published() []message
	// snapshots are all that there are, whatever lists show yet.
	snapshots() (map[string]snapshot, error)
}

// message is an event as it lies on the bus.
type message struct {
	source, kind string
	detail       json.RawMessage
}

// snapshot is one as its owner sees it.
type snapshot struct {
	tags     map[string]string
	complete bool
	done     time.Time // when it was; zero if that is not told
}
