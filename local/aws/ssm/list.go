package ssm

import (
	"strconv"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// filter is one of ListCommands' and ListCommandInvocations'.
type filter struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// page cuts a list as the service does: a token is where the next one begins.
func page(n int, size *int, token string) (from, to int, next string, err error) {
	most := 50
	if size != nil {
		most = *size
	}
	if most < 1 || most > 50 {
		return 0, 0, "", wire.Bad("ValidationException", "1 validation error detected: Value '%d' at 'maxResults' failed to satisfy constraint", most)
	}
	if token != "" {
		if from, err = strconv.Atoi(token); err != nil || from > n {
			return 0, 0, "", wire.Bad("InvalidNextToken", "")
		}
	}
	if to = min(from+most, n); to < n {
		next = strconv.Itoa(to)
	}
	return from, to, next, nil
}

func (s *SSM) listCommands(c *wire.Call) (any, error) {
	var in struct {
		CommandID  string `json:"CommandId"`
		InstanceID string `json:"InstanceId"`
		Filters    []filter
		MaxResults *int
		NextToken  string
	}
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	var after time.Time
	for _, f := range in.Filters {
		at, err := time.Parse(time.RFC3339, f.Value)
		if f.Key != "InvokedAfter" || err != nil {
			return nil, wire.Bad("InvalidFilterKey", "the filter %s=%s is not emulated", f.Key, f.Value)
		}
		after = at
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.CommandID != "" && s.commands[in.CommandID] == nil {
		return nil, wire.Bad("InvalidCommandId", "")
	}
	list := []any{}
	for i := len(s.order) - 1; i >= 0; i-- {
		cmd := s.commands[s.order[i]]
		if in.CommandID != "" && cmd.id != in.CommandID || in.InstanceID != "" && cmd.invocations[in.InstanceID] == nil ||
			cmd.requested.Before(after) || time.Since(cmd.requested) < s.cfg.Visible {
			continue
		}
		list = append(list, s.render(cmd))
	}
	from, to, next, err := page(len(list), in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := map[string]any{"Commands": list[from:to]}
	if next != "" {
		out["NextToken"] = next
	}
	return out, nil
}

// outputs is how much of a step's output a list of invocations tells.
const outputs = 2500

// listCommandInvocations tells the steps of one command with Details, each with
// the beginning of its output.
func (s *SSM) listCommandInvocations(c *wire.Call) (any, error) {
	var in struct {
		CommandID  string `json:"CommandId"`
		InstanceID string `json:"InstanceId"`
		Details    bool
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
	list := []any{}
	for id, inv := range cmd.invocations {
		if in.InstanceID != "" && id != in.InstanceID || time.Since(cmd.requested) < s.cfg.Visible {
			continue
		}
		item := map[string]any{
			"CommandId": cmd.id, "InstanceId": id, "Comment": cmd.comment, "DocumentName": cmd.document.name, "DocumentVersion": "$DEFAULT",
			"RequestedDateTime": wire.Epoch(cmd.requested), "Status": inv.status, "StatusDetails": inv.details,
		}
		if in.Details {
			steps := []any{}
			for _, step := range cmd.document.MainSteps {
				steps = append(steps, inv.of(step.Name).render(step.Name))
			}
			item["CommandPlugins"] = steps
		}
		list = append(list, item)
	}
	return map[string]any{"CommandInvocations": list}, nil
}

// has tells whether the document has a step of this name.
func (d *Document) has(step string) bool {
	for _, s := range d.MainSteps {
		if s.Name == step {
			return true
		}
	}
	return false
}

// of is the invocation as one of its steps sees it: one that has not come to an
// end has the invocation's own status.
func (inv *invocation) of(step string) *invocation {
	own := *inv
	own.stdout, own.stderr, own.code = "", "", -1
	for _, r := range inv.steps {
		if r.name != step {
			continue
		}
		own.stdout, own.stderr, own.code = r.stdout, r.stderr, r.code
		own.status, own.details = success, success
		switch {
		case r.expired:
			own.status, own.details = timedOut, executionTimedOut
		case r.code != 0:
			own.status, own.details = failed, failed
		}
	}
	return &own
}

func (inv *invocation) render(step string) map[string]any {
	output := inv.stdout
	if inv.stderr != "" {
		output += "\n----------ERROR-------\n" + inv.stderr
	}
	return map[string]any{
		"Name": step, "Status": inv.status, "StatusDetails": inv.details, "ResponseCode": inv.code, "Output": clip(output, outputs),
	}
}
