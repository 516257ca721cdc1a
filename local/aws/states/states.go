// Package states is the emulated Step Functions: the service's protocol over
// the engine that runs the machines.
package states

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/engine"
)

// Config is the account's Step Functions in one Region.
type Config struct{ Region, Account string }

// States is the emulated service.
type States struct {
	engine *engine.Engine
	cfg    Config
}

// New makes the service over an engine.
func New(e *engine.Engine, cfg Config) *States { return &States{e, cfg} }

// Protocol is awsJson 1.0.
func (s *States) Protocol() wire.Protocol { return wire.AWSJSON }

// StartLimit is the published bucket of a small Region for StartExecution.
var StartLimit = wire.Limit{Capacity: 800, Refill: 150}

// Limit is the published bucket of a small Region, for StartExecution and for
// answering tasks.
func (s *States) Limit(c *wire.Call) (string, wire.Limit) {
	switch c.Action {
	case "StartExecution":
		return c.Action, StartLimit
	case "SendTaskSuccess", "SendTaskFailure", "SendTaskHeartbeat":
		return c.Action, wire.Limit{Capacity: 1500, Refill: 300}
	}
	return c.Action, wire.Limit{}
}

type input struct {
	StateMachineArn  string `json:"stateMachineArn"`
	ExecutionArn     string `json:"executionArn"`
	Name             string `json:"name"`
	Input            string `json:"input"`
	Error            string `json:"error"`
	Cause            string `json:"cause"`
	StatusFilter     string `json:"statusFilter"`
	MaxResults       int    `json:"maxResults"`
	NextToken        string `json:"nextToken"`
	ReverseOrder     bool   `json:"reverseOrder"`
	IncludeExecution *bool  `json:"includeExecutionData"`
	TaskToken        string `json:"taskToken"`
	Output           string `json:"output"`
}

// Do has the effect of one call.
func (s *States) Do(_ context.Context, c *wire.Call) (wire.Reply, error) {
	do := map[string]func(input) (any, error){
		"StartExecution":       func(in input) (any, error) { return s.start(in, c.ID) },
		"DescribeExecution":    s.describe,
		"GetExecutionHistory":  s.history,
		"StopExecution":        s.stop,
		"ListExecutions":       s.list,
		"DescribeStateMachine": s.machine,
		"ListStateMachines":    s.machines,
		"SendTaskSuccess":      s.succeed,
		"SendTaskFailure":      s.fail,
		"SendTaskHeartbeat":    s.beat,
	}[c.Action]
	if do == nil {
		return wire.Reply{}, wire.Bad("UnknownOperationException", "%s is not emulated", c.Action)
	}
	var in input
	if err := c.Decode(&in); err != nil {
		return wire.Reply{}, err
	}
	out, err := do(in)
	if err != nil {
		return wire.Reply{}, refusal(err, in)
	}
	reply, err := wire.JSON(out)
	reply.Header = map[string][]string{"Content-Type": {"application/x-amz-json-1.0"}}
	return reply, err
}

func refusal(err error, in input) error {
	for known, message := range map[error]string{
		engine.ErrNoMachine:   "State Machine Does Not Exist: '" + in.StateMachineArn + "'",
		engine.ErrNoExecution: "Execution Does Not Exist: '" + in.ExecutionArn + "'",
		engine.ErrExists:      "Execution Already Exists: '" + in.Name + "'",
		engine.ErrName:        "Invalid Name: '" + in.Name + "'",
		engine.ErrInput:       "Invalid State Machine Execution Input",
		engine.ErrToken:       "Invalid Token: 'Invalid token'",
		engine.ErrNoTask:      "Task Does Not Exist: 'Provided task does not exist'",
		engine.ErrTaskOver:    "Task Timed Out: 'Provided task does not exist anymore'",
		engine.ErrOutput:      "Invalid Output: 'Output is not valid JSON, or too large'",
	} {
		if errors.Is(err, known) {
			return wire.Bad(known.Error(), "%s", message)
		}
	}
	return err
}

// named cuts a machine's name out of its ARN.
func named(arn string) (string, error) {
	_, name, ok := strings.Cut(arn, ":stateMachine:")
	if !ok {
		return "", wire.Bad("InvalidArn", "Invalid Arn: '%s'", arn)
	}
	return name, nil
}

func (s *States) start(in input, id string) (any, error) {
	name, err := named(in.StateMachineArn)
	if err != nil {
		return nil, err
	}
	x, err := s.engine.Start(name, cmp.Or(in.Name, id), json.RawMessage(in.Input))
	if err != nil {
		return nil, err
	}
	return map[string]any{"executionArn": x.ARN, "startDate": wire.Epoch(x.StartedAt)}, nil
}

func (s *States) describe(in input) (any, error) {
	x, err := s.engine.Describe(in.ExecutionArn)
	if err != nil {
		return nil, err
	}
	out := summary(x)
	out["input"], out["inputDetails"] = string(x.Input), map[string]any{"included": true}
	if x.Output != nil {
		out["output"], out["outputDetails"] = string(x.Output), map[string]any{"included": true}
	}
	if x.Error != "" || x.Cause != "" {
		out["error"], out["cause"] = x.Error, x.Cause
	}
	return out, nil
}

func summary(x engine.Execution) map[string]any {
	out := map[string]any{
		"executionArn": x.ARN, "stateMachineArn": x.MachineARN, "name": x.Name, "status": x.Status,
		"startDate": wire.Epoch(x.StartedAt), "redriveCount": 0,
	}
	if !x.StoppedAt.IsZero() {
		out["stopDate"] = wire.Epoch(x.StoppedAt)
	}
	return out
}

func (s *States) history(in input) (any, error) {
	events, err := s.engine.History(in.ExecutionArn)
	if err != nil {
		return nil, err
	}
	if in.ReverseOrder {
		slices.Reverse(events)
	}
	from, to, next, err := page(in, len(events), 100)
	if err != nil {
		return nil, err
	}
	return map[string]any{"events": events[from:to], "nextToken": next}, nil
}

// page cuts a page; the token is the index that comes next.
func page(in input, n, size int) (from, to int, next any, err error) {
	if in.MaxResults < 0 || in.MaxResults > 1000 {
		return 0, 0, nil, wire.Bad("ValidationException", "Value '%d' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 1000", in.MaxResults)
	}
	if in.MaxResults > 0 {
		size = in.MaxResults
	}
	if in.NextToken != "" {
		if from, err = strconv.Atoi(in.NextToken); err != nil || from < 0 || from > n {
			return 0, 0, nil, wire.Bad("InvalidToken", "Invalid Token: '%s'", in.NextToken)
		}
	}
	to = min(n, from+size)
	if to < n {
		next = strconv.Itoa(to)
	}
	return from, to, next, nil
}

func (s *States) stop(in input) (any, error) {
	x, err := s.engine.Stop(in.ExecutionArn, in.Error, in.Cause)
	if err != nil {
		return nil, err
	}
	return map[string]any{"stopDate": wire.Epoch(x.StoppedAt)}, nil
}

func (s *States) list(in input) (any, error) {
	name, err := named(in.StateMachineArn)
	if err != nil {
		return nil, err
	}
	all, err := s.engine.List(name, engine.Status(in.StatusFilter))
	if err != nil {
		return nil, err
	}
	from, to, next, err := page(in, len(all), 100)
	if err != nil {
		return nil, err
	}
	list := []any{}
	for _, x := range all[from:to] {
		list = append(list, summary(x))
	}
	return map[string]any{"executions": list, "nextToken": next}, nil
}

func (s *States) machine(in input) (any, error) {
	for _, m := range s.engine.Machines() {
		if m.ARN == in.StateMachineArn {
			return map[string]any{
				"stateMachineArn": m.ARN, "name": m.Name, "status": "ACTIVE", "definition": string(m.Definition),
				"roleArn": m.RoleARN, "type": "STANDARD", "creationDate": wire.Epoch(m.CreatedAt),
			}, nil
		}
	}
	return nil, engine.ErrNoMachine
}

func (s *States) machines(in input) (any, error) {
	all := s.engine.Machines()
	from, to, next, err := page(in, len(all), 100)
	if err != nil {
		return nil, err
	}
	list := []any{}
	for _, m := range all[from:to] {
		list = append(list, map[string]any{"stateMachineArn": m.ARN, "name": m.Name, "type": "STANDARD", "creationDate": wire.Epoch(m.CreatedAt)})
	}
	return map[string]any{"stateMachines": list, "nextToken": next}, nil
}

// Announcer turns an execution's changes into the events of aws.states.
func (s *States) Announcer(emit func(detailType string, resources []string, detail any)) func(engine.Execution) {
	millis := func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return t.UnixMilli()
	}
	text := func(doc json.RawMessage) any {
		if doc == nil {
			return nil
		}
		return string(doc)
	}
	included := map[string]any{"included": true}
	return func(x engine.Execution) {
		detail := map[string]any{
			"executionArn": x.ARN, "stateMachineArn": x.MachineARN, "name": x.Name, "status": x.Status,
			"startDate": millis(x.StartedAt), "stopDate": millis(x.StoppedAt), "input": text(x.Input), "inputDetails": included,
			"output": text(x.Output), "outputDetails": nil, "error": nil, "cause": nil,
		}
		if x.Output != nil {
			detail["outputDetails"] = included
		}
		if x.Error != "" || x.Cause != "" {
			detail["error"], detail["cause"] = x.Error, x.Cause
		}
		emit("Step Functions Execution Status Change", []string{x.ARN}, detail)
	}
}
