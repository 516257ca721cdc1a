package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/clock"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/workflow/asl"
)

// world is the account and its instances. The clock lets one line of work run
// at a time, hence nothing here needs a lock.
type world struct {
	options   Options
	clock     *clock.Virtual
	engine    *engine.Engine
	random    *rand.Rand
	buckets   wire.Buckets
	objects   map[string][]byte
	instances []cloud.Found
	broken    map[string]bool // instances on which a run is going to fail
	sets      map[string]*set // by run
	calls     map[string]int
	throttled map[string]int
	starved   map[string]bool // runs that failed because a call was refused for its rate
	waited    time.Duration   // the longest that an instance waited frozen for the quota
	report    *run.Report
	published int
}

// set is a run's set on its way to completion.
type set struct {
	done  bool
	token string // of the state that waits for it
}

// draw takes a duration out of a span.
func (w *world) draw(s Span) time.Duration {
	if s.To <= s.From {
		return time.Duration(s.From) * time.Millisecond
	}
	return time.Duration(s.From+w.random.Int64N(s.To-s.From)) * time.Millisecond
}

// call makes one attempt: the quota is asked when it arrives, the answer takes
// its latency.
func (w *world) call(name string) bool {
	service, action, _ := strings.Cut(name, ":")
	w.calls[name]++
	ok := true
	if l := limit(service, action); l.Capacity > 0 {
		ok = w.buckets.Take(name, l, w.clock.Now())
	}
	if !ok {
		w.throttled[name]++
	}
	w.clock.Sleep(latency(service, action))
	return ok
}

// insist makes a call as the provider does.
func (w *world) insist(name string) error {
	for attempt := range attempts {
		if w.call(name) {
			return nil
		}
		backoff := min(time.Duration(float64(time.Second)*float64(int(1)<<attempt)), maxBackoff)
		w.clock.Sleep(time.Duration(w.random.Float64() * float64(backoff)))
	}
	return fault.New(fault.Throttled, "%s: Request limit exceeded.", name)
}

// Invoke implements asl.Tasks: the resources that the definitions name.
func (w *world) Invoke(ctx context.Context, resource string, input json.RawMessage) (json.RawMessage, error) {
	switch _, service, integration := strings.Cut(resource, ":states:::"); {
	case !integration:
		return w.function(ctx, resource[strings.LastIndex(resource, ":")+1:], input)
	case service == "states:startExecution.sync:2":
		return w.start(ctx, input)
	case service == "lambda:invoke.waitForTaskToken":
		return w.wait(input)
	case service == "s3:getObject" || service == "s3:putObject":
		return w.object(service == "s3:putObject", input)
	case service == "events:putEvents":
		return json.RawMessage(`{"FailedEntryCount":0}`), w.insist("events:PutEvents")
	}
	return nil, &asl.Error{Name: asl.Runtime, Cause: resource + " is not simulated"}
}

// start is the integration that starts a run and waits for its end.
func (w *world) start(ctx context.Context, input json.RawMessage) (json.RawMessage, error) {
	var in struct {
		StateMachineArn, Name string
		Input                 json.RawMessage
	}
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, err
	}
	if !w.call("states:StartExecution") {
		return nil, &asl.Error{Name: "StepFunctions.AWSStepFunctionsException", Cause: "Rate exceeded"}
	}
	_, machine, _ := strings.Cut(in.StateMachineArn, ":stateMachine:")
	x, err := w.engine.Start(machine, in.Name, in.Input)
	if err != nil {
		return nil, &asl.Error{Name: "StepFunctions." + err.Error() + "Exception", Cause: in.Name}
	}
	if x, err = w.engine.Wait(ctx, x.ARN); err != nil {
		return nil, err
	}
	doc, err := json.Marshal(map[string]any{
		"ExecutionArn": x.ARN, "Name": x.Name, "Status": x.Status, "Output": x.Output, "Error": x.Error, "Cause": x.Cause,
	})
	if x.Status != engine.Succeeded {
		return nil, &asl.Error{Name: asl.TaskFailed, Cause: string(doc)}
	}
	return doc, err
}

func (w *world) object(put bool, input json.RawMessage) (json.RawMessage, error) {
	var in struct{ Key, Body string }
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, err
	}
	if put {
		return json.RawMessage("{}"), w.Put(context.Background(), in.Key, []byte(in.Body))
	}
	body, err := w.Get(context.Background(), in.Key)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{"Body": string(body)})
}

// Find implements cloud.Finder, a page of 1,000 a call.
func (w *world) Find(context.Context, []string, map[string]string) ([]cloud.Found, error) {
	for range (len(w.instances) + 999) / 1000 {
		if err := w.insist("ec2:DescribeInstances"); err != nil {
			return nil, err
		}
	}
	return w.instances, nil
}

// Bucket, Put, Get and List implement cloud.Store.
func (w *world) Bucket() string { return "quiesce" }

func (w *world) Put(_ context.Context, key string, data []byte) error {
	w.objects[key] = data
	return w.insist("s3:PutObject")
}

func (w *world) Get(_ context.Context, key string) ([]byte, error) {
	data, ok := w.objects[key]
	if !ok {
		return nil, fmt.Errorf("there is no object %s", key)
	}
	return data, w.insist("s3:GetObject")
}

func (w *world) List(_ context.Context, prefix string) (keys []string, err error) {
	for _, key := range slices.Sorted(maps.Keys(w.objects)) {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys, w.insist("s3:ListObjectsV2")
}

// Publish implements cloud.Bus.
func (w *world) Publish(_ context.Context, list []events.Event) error {
	w.published += len(list)
	return w.insist("events:PutEvents")
}
