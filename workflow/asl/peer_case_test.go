package asl_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// scenario is one case of the tables. Its machine is given whole, by a file,
// or by the one thing that matters: a state, a choice's rule, an intrinsic
// function, a retried task.
type scenario struct {
	Name       string               `json:"name"`
	Because    string               `json:"because,omitempty"` // why the interpreters differ
	Input      json.RawMessage      `json:"input,omitempty"`   // else the table's
	Tasks      map[string][]*answer `json:"tasks,omitempty"`   // by the end of the resource
	Context    json.RawMessage      `json:"context"`
	Definition json.RawMessage      `json:"definition,omitempty"`
	Validate   bool                 `json:"validate,omitempty"` // before it runs

	File      string                     `json:"file,omitempty"`
	States    map[string]json.RawMessage `json:"states,omitempty"` // begins at A
	State     json.RawMessage            `json:"state,omitempty"`  // of type Pass unless it says otherwise
	Rule      json.RawMessage            `json:"rule,omitempty"`
	Intrinsic string                     `json:"intrinsic,omitempty"`
	Task      json.RawMessage            `json:"task,omitempty"`  // further fields of a task that calls f
	Limit     int                        `json:"limit,omitempty"` // the machine's TimeoutSeconds
}

// answer is one reply of a task. Without result and error it echoes its input.
type answer struct {
	For     json.RawMessage `json:"for,omitempty"`     // the input that it is for; absent: any
	Times   int             `json:"times,omitempty"`   // 0: once; the last that fits goes on
	Seconds int             `json:"seconds,omitempty"` // that it takes
	Result  json.RawMessage `json:"result,omitempty"`
	Error   string          `json:"error,omitempty"`
	Cause   string          `json:"cause,omitempty"`
}

const function = "arn:aws:lambda:eu-central-1:123456789012:function:"

// The context object, of which the other interpreter knows what it is told.
const contextObject = `{
	"Execution": {"Id": "arn:aws:states:eu-central-1:123456789012:execution:m:run-1", "Name": "run-1", "RoleArn": "arn:aws:iam::123456789012:role/r", "RedriveCount": 0},
	"StateMachine": {"Id": "arn:aws:states:eu-central-1:123456789012:stateMachine:m", "Name": "m"},
	"Task": {"Token": "the token"}
}`

func load(t *testing.T) []*scenario {
	t.Helper()
	files, err := filepath.Glob("testdata/peer/*.cases.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	var all []*scenario
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var table struct {
			Comment string               `json:"comment"`
			Input   json.RawMessage      `json:"input"`
			Tasks   map[string][]*answer `json:"tasks"`
			Cases   []*scenario          `json:"cases"`
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		if err := d.Decode(&table); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		group := strings.TrimSuffix(filepath.Base(file), ".cases.json")
		for _, c := range table.Cases {
			c.Name = group + ": " + c.Name
			if c.Input == nil {
				c.Input = table.Input
			}
			if c.Tasks == nil {
				c.Tasks = map[string][]*answer{}
			}
			for task, answers := range table.Tasks {
				if _, own := c.Tasks[task]; !own {
					c.Tasks[task] = answers
				}
			}
			c.Context, c.Validate = json.RawMessage(contextObject), c.Definition != nil
			c.expand(t)
			if slices.ContainsFunc(all, func(o *scenario) bool { return o.Name == c.Name }) {
				t.Fatalf("%s: the name is taken", c.Name)
			}
			all = append(all, c)
		}
	}
	return all
}

// expand makes the whole definition of what the case gives.
func (c *scenario) expand(t *testing.T) {
	t.Helper()
	yes, no := json.RawMessage(`{"Type": "Pass", "Result": "yes", "End": true}`), json.RawMessage(`{"Type": "Pass", "Result": "no", "End": true}`)
	switch {
	case c.Definition != nil:
		return
	case c.File != "":
		c.Definition = deployed(t, c.File)
		return
	case c.Rule != nil:
		rule := fields(t, c.Rule)
		rule["Next"] = json.RawMessage(`"Yes"`)
		c.States = map[string]json.RawMessage{"Yes": yes, "No": no,
			"A": marshal(t, map[string]any{"Type": "Choice", "Choices": []any{rule}, "Default": "No"})}
	case c.Intrinsic != "":
		c.States = map[string]json.RawMessage{"A": marshal(t, map[string]any{
			"Type": "Pass", "Parameters": map[string]string{"v.$": c.Intrinsic}, "End": true})}
	case c.Task != nil:
		task := fields(t, c.Task)
		task["Type"], task["Resource"], task["Next"] = json.RawMessage(`"Task"`), marshal(t, function+"f"), json.RawMessage(`"Done"`)
		c.States = map[string]json.RawMessage{"A": marshal(t, task), "Done": json.RawMessage(`{"Type": "Succeed"}`)}
		if bytes.Contains(c.Task, []byte(`"Caught"`)) {
			c.States["Caught"] = json.RawMessage(`{"Type": "Pass", "End": true}`)
		}
	case c.State != nil:
		state := fields(t, c.State)
		if state["Type"] == nil {
			state["Type"] = json.RawMessage(`"Pass"`)
		}
		if kind := string(state["Type"]); kind != `"Fail"` && kind != `"Succeed"` && kind != `"Choice"` {
			state["End"] = json.RawMessage("true")
		}
		c.States = map[string]json.RawMessage{"A": marshal(t, state)}
	}
	m := map[string]any{"StartAt": "A", "States": c.States}
	if c.Limit > 0 {
		m["TimeoutSeconds"] = c.Limit
	}
	c.Definition = marshal(t, m)
	c.States, c.State, c.Rule, c.Task, c.Intrinsic = nil, nil, nil, nil, ""
}

var (
	placeholder = regexp.MustCompile(`\$\{(\w+)\}`)
	formatted   = regexp.MustCompile(`"CausePath": "States.Format\([^"]*"`)
)

// deployed reads one of the definitions that are deployed, with what the other
// interpreter lacks written in what it has: no chance in the waits, nothing of
// the state in the context object, no limit read beside Parameters, a cause
// from a path alone, and an inline Map for a distributed one.
func deployed(t *testing.T, file string) json.RawMessage {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := placeholder.ReplaceAllString(string(data), function+"$1")
	text = strings.NewReplacer(
		`"JitterStrategy": "FULL"`, `"JitterStrategy": "NONE"`,
		`"attempt.$": "$$.State.RetryCount"`, `"attempt": 0`,
		`"$$.State.EnteredTime"`, `"$$.Execution.StartTime"`,
		`"TimeoutSecondsPath": "$.status.waitSeconds"`, `"TimeoutSeconds": 600`,
		`{ "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" }`, `{ "Mode": "INLINE" }`,
	).Replace(text)
	text = formatted.ReplaceAllString(text, `"CausePath": "$$.failures.tag.Cause"`)
	m := fields(t, json.RawMessage(text))
	states := fields(t, m["States"])
	for name, raw := range states {
		if state := fields(t, raw); state["ItemReader"] != nil {
			for _, field := range []string{"Label", "ToleratedFailureCountPath", "ItemReader", "ResultWriter"} {
				delete(state, field)
			}
			state["ItemsPath"] = json.RawMessage(`"$.targets.instances"`)
			states[name] = marshal(t, state)
		}
	}
	m["States"] = marshal(t, states)
	return marshal(t, m)
}

func fields(t *testing.T, data json.RawMessage) map[string]json.RawMessage {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return m
}

func marshal(t *testing.T, v any) json.RawMessage {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// outcome is what became of a case. Texts of the service's own errors are
// everybody's own, so that their names alone are compared.
type outcome struct {
	Refused bool             `json:"refused,omitempty"` // when the definition was loaded
	Output  any              `json:"output"`
	Error   string           `json:"error,omitempty"`
	Cause   string           `json:"cause,omitempty"`
	Path    []string         `json:"path,omitempty"`  // states as they were entered
	Calls   map[string][]any `json:"calls,omitempty"` // inputs of every task, each retry anew
	Seconds float64          `json:"seconds"`
}

// text is the outcome in one form: what runs side by side has no order, a
// number is its value, and a service error has no cause.
func (o *outcome) text(c *scenario) string {
	if bytes.Contains(c.Definition, []byte(`"Branches"`)) || bytes.Contains(c.Definition, []byte(`"ItemProcessor"`)) {
		slices.Sort(o.Path)
		for _, inputs := range o.Calls {
			slices.SortFunc(inputs, func(a, b any) int { return cmp.Compare(canonical(a), canonical(b)) })
		}
	}
	o.Output = withoutCauses(o.Output)
	for _, inputs := range o.Calls {
		for i := range inputs {
			if inputs[i] = withoutCauses(inputs[i]); c.File != "" {
				sum := sha256.Sum256([]byte(canonical(inputs[i]))) // whole documents, by the hundred
				inputs[i] = hex.EncodeToString(sum[:4])
			}
		}
	}
	return canonical(o)
}

func withoutCauses(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if name, _ := v["Error"].(string); strings.HasPrefix(name, "States.") {
			delete(v, "Cause")
		}
		for k, member := range v {
			v[k] = withoutCauses(member)
		}
	case []any:
		for i, item := range v {
			v[i] = withoutCauses(item)
		}
	}
	return v
}

func canonical(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(b.String())
}
