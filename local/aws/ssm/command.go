package ssm

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// Statuses of an invocation, with the details where they differ.
const (
	pending    = "Pending"
	inProgress = "InProgress"
	success    = "Success"
	failed     = "Failed"
	timedOut   = "TimedOut"
	cancelled  = "Cancelled"
	cancelling = "Cancelling"

	deliveryTimedOut  = "Delivery Timed Out"
	executionTimedOut = "Execution Timed Out"
)

type command struct {
	id, comment string
	document    *Document
	parameters  map[string]string
	given       map[string][]string
	requested   time.Time
	expires     time.Time // not started by then: never runs
	invocations map[string]*invocation
}

type invocation struct {
	command         *command
	instance        string
	status, details string
	code            int
	stdout, stderr  string
	started, ended  time.Time
	steps           []stepResult       // of those that ended, once the answer is here
	stop            context.CancelFunc // kills the script
	done            chan struct{}      // closed at a final status
}

// stepResult is how a document's step ended.
type stepResult struct {
	name           string
	code           int
	stdout, stderr string
	expired        bool
}

func final(status string) bool {
	return status == success || status == failed || status == timedOut || status == cancelled
}

func (s *SSM) sendCommand(c *wire.Call) (any, error) {
	in := struct {
		DocumentName     string
		DocumentHash     string
		DocumentHashType string
		InstanceIDs      []string `json:"InstanceIds"`
		Targets          []struct {
			Key    string
			Values []string
		}
		Parameters     map[string][]string
		TimeoutSeconds *int
		Comment        string
	}{}
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	ids := in.InstanceIDs
	for _, t := range in.Targets {
		if t.Key != "InstanceIds" {
			return nil, wire.Bad("InvalidTarget", "targets by %s are not emulated", t.Key)
		}
		ids = append(ids, t.Values...)
	}
	timeout := 3600
	if in.TimeoutSeconds != nil {
		timeout = *in.TimeoutSeconds
	}
	switch {
	case len(ids) > 50:
		return nil, wire.Bad("ThrottlingException", "Rate exceeded")
	case len(ids) == 0:
		return nil, wire.Bad("InvalidInstanceId", "no instances")
	case timeout < 30 || timeout > 2592000:
		return nil, wire.Bad("ValidationException", "1 validation error detected: Value '%d' at 'timeoutSeconds' failed to satisfy constraint: Member must have value between 30 and 2592000", timeout)
	case len(in.Comment) > 100:
		return nil, wire.Bad("ValidationException", "1 validation error detected: Value at 'comment' failed to satisfy constraint: Member must have length less than or equal to 100")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.document(in.DocumentName)
	if err != nil {
		return nil, err
	}
	if in.DocumentHash != "" && (in.DocumentHash != d.hash || in.DocumentHashType != "" && in.DocumentHashType != "Sha256") {
		return nil, wire.Bad("InvalidDocument", "The document hash does not match the document %s.", in.DocumentName)
	}
	bound, err := d.bind(in.Parameters)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	seen := make(map[string]bool)
	for _, id := range ids {
		a := s.agents[id]
		if seen[id] {
			return nil, wire.Bad("DuplicateInstanceId", "Duplicate InstanceId %s", id)
		}
		seen[id] = true
		switch state := s.cfg.State(id); {
		case a == nil, s.pingStatus(a, now) != "Online",
			state != "running" && state != "pending" && state != "stopped" && state != "stopping":
			return nil, wire.Bad("InvalidInstanceId", "Instances [[%s]] not in a valid state for account %s", id, s.cfg.Account)
		}
	}
	cmd := &command{
		id: s.cfg.NewID(), comment: in.Comment, document: d, parameters: bound, given: maps.Clone(in.Parameters), requested: now,
		expires: now.Add(time.Duration(timeout) * time.Second), invocations: make(map[string]*invocation),
	}
	s.commands[cmd.id] = cmd
	s.order = append(s.order, cmd.id)
	for _, id := range ids {
		inv := &invocation{command: cmd, instance: id, status: pending, details: pending, code: -1, done: make(chan struct{})}
		cmd.invocations[id] = inv
		a := s.agents[id]
		if c.Planned.Offline && a.offline.IsZero() {
			a.offline = now
			close(a.changed)
			a.changed = make(chan struct{})
		}
		if overtaken := a.overtaken; overtaken != nil {
			a.overtaken = nil
			s.wg.Go(func() {
				s.deliver(a, inv, s.cfg.Dispatch+c.Planned.Late, false)
				close(overtaken)
			})
		} else if !c.Planned.Reorder {
			s.wg.Go(func() { s.deliver(a, inv, s.cfg.Dispatch+c.Planned.Late, false) })
		}
		if c.Planned.Reorder {
			overtaken := make(chan struct{})
			a.overtaken = overtaken
			s.wg.Go(func() { s.overtake(a, inv, overtaken) })
		}
		if c.Planned.Duplicate {
			s.wg.Go(func() { s.deliver(a, inv, 2*s.cfg.Dispatch, true) })
		}
	}
	return map[string]any{"Command": s.render(cmd)}, nil
}

func (s *SSM) render(cmd *command) map[string]any {
	status, details := success, success
	var ids []string
	completed, failures, late := 0, 0, 0
	for id, inv := range cmd.invocations {
		ids = append(ids, id)
		if final(inv.status) {
			completed++
		} else {
			status, details = inv.status, inv.details
		}
		if inv.status == failed || inv.details == executionTimedOut {
			failures++
		}
		if inv.details == deliveryTimedOut {
			late++
		}
	}
	if completed == len(ids) && failures > 0 {
		status, details = failed, failed
	}
	return map[string]any{
		"CommandId": cmd.id, "DocumentName": cmd.document.name, "DocumentVersion": "$DEFAULT", "Comment": cmd.comment,
		"RequestedDateTime": wire.Epoch(cmd.requested), "ExpiresAfter": wire.Epoch(cmd.limit()),
		"Parameters": cmd.given, "InstanceIds": ids, "Status": status, "StatusDetails": details,
		"TargetCount": len(ids), "CompletedCount": completed, "ErrorCount": failures, "DeliveryTimedOutCount": late,
		"MaxConcurrency": "50", "MaxErrors": "0", "TimeoutSeconds": int(cmd.expires.Sub(cmd.requested).Seconds()),
	}
}

func (s *SSM) getCommandInvocation(c *wire.Call) (any, error) {
	var in struct {
		CommandID  string `json:"CommandId"`
		InstanceID string `json:"InstanceId"`
		PluginName string
	}
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cmd := s.commands[in.CommandID]
	if cmd == nil || cmd.invocations[in.InstanceID] == nil || time.Since(cmd.requested) < s.cfg.Visible {
		return nil, wire.Bad("InvocationDoesNotExist", "")
	}
	plugin := in.PluginName
	if steps := cmd.document.MainSteps; plugin == "" && len(steps) == 1 {
		plugin = steps[0].Name
	}
	if !cmd.document.has(plugin) { // of several steps one must be named
		return nil, wire.Bad("InvalidPluginName", "")
	}
	inv := cmd.invocations[in.InstanceID]
	if len(cmd.document.MainSteps) > 1 {
		inv = inv.of(plugin)
	}
	if c.Planned.Wrong {
		broken := *inv
		broken.stdout = broken.stdout[:len(broken.stdout)/2]
		inv = &broken
	}
	out := map[string]any{
		"CommandId": cmd.id, "InstanceId": in.InstanceID, "Comment": cmd.comment, "DocumentName": cmd.document.name,
		"DocumentVersion": "$DEFAULT", "PluginName": plugin, "ResponseCode": inv.code,
		"Status": inv.status, "StatusDetails": inv.details,
		"StandardOutputContent": clip(inv.stdout, 24000), "StandardErrorContent": clip(inv.stderr, 8000),
		"ExecutionStartDateTime": "", "ExecutionEndDateTime": "", "ExecutionElapsedTime": "",
		"StandardOutputUrl": "", "StandardErrorUrl": "",
		"CloudWatchOutputConfig": map[string]any{"CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": false},
	}
	const stamp = "2006-01-02T15:04:05.000Z"
	if !inv.started.IsZero() {
		out["ExecutionStartDateTime"] = inv.started.UTC().Format(stamp)
	}
	if !inv.ended.IsZero() {
		out["ExecutionEndDateTime"] = inv.ended.UTC().Format(stamp)
		out["ExecutionElapsedTime"] = "PT" + inv.ended.Sub(inv.started).Round(time.Millisecond).String()
	}
	return out, nil
}

func clip(text string, chars int) string {
	runes := []rune(text)
	if len(runes) <= chars {
		return text
	}
	return string(runes[:chars])
}

func (s *SSM) cancelCommand(c *wire.Call) (any, error) {
	var in struct {
		CommandID   string   `json:"CommandId"`
		InstanceIDs []string `json:"InstanceIds"`
	}
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cmd := s.commands[in.CommandID]
	if cmd == nil {
		return nil, wire.Bad("InvalidCommandId", "")
	}
	for id, inv := range cmd.invocations {
		if len(in.InstanceIDs) > 0 && !contains(in.InstanceIDs, id) {
			continue
		}
		switch inv.status {
		case pending:
			s.set(inv, cancelled, cancelled)
		case inProgress:
			s.set(inv, cancelling, cancelling)
			a := s.agents[id]
			s.wg.Go(func() { s.carryCancel(a, inv) })
		}
	}
	return struct{}{}, nil
}

// set changes an invocation's status and tells the bus; it holds the lock.
func (s *SSM) set(inv *invocation, status, details string) {
	if final(inv.status) {
		return
	}
	inv.status, inv.details = status, details
	if final(status) {
		close(inv.done)
	}
	word := map[string]string{success: success, failed: failed, timedOut: timedOut, cancelled: "Canceled", inProgress: inProgress}[status]
	if word == "" {
		return
	}
	cmd := inv.command
	given, _ := json.Marshal(cmd.given)
	s.cfg.Publish("EC2 Command Invocation Status-change Notification",
		[]string{"arn:aws:ec2:" + s.cfg.Region + ":" + s.cfg.Account + ":instance/" + inv.instance},
		map[string]any{
			"command-id": cmd.id, "document-name": cmd.document.name, "instance-id": inv.instance,
			"requested-date-time": cmd.requested.UTC().Format(time.RFC3339), "status": word, "parameters": string(given),
		})
}
