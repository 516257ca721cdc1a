// Package contract checks what a definition promises without running it: that
// every path thaws, no path misses, every error is expected and every wait
// bounded. It finds what validators of the language do not look for.
package contract

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/quiesce/quiesce/workflow/asl"
)

// Function is one function that the definition may call.
type Function struct {
	Step     string
	Resource string        // as the definition writes it
	Timeout  time.Duration // the function's own
}

// Rules is what a definition is held to.
type Rules struct {
	Functions    []Function              // the table of steps: each is called, and no other
	Integrations []string                // resources of services that may be called besides
	Services     []string                // error names of other services than AWS, which may be matched besides
	Fatal        bool                    // too large an output ends the execution: no Catch can name it
	Codes        []string                // the closed set of fault codes, any of which any function may return
	Document     reflect.Type            // the struct that the first state writes and every path leads into
	Absent       []string                // its fields, by their path, that this definition has no use for
	Raw          []string                // its fields that hold whatever was typed: no path may lead below them
	Quiescing    string                  // the first state that touches the application
	Window       []string                // the states of the frozen window in their order; the last one thaws
	Between      []string                // the states that may stand between those of the window: they decide and call nothing
	Undone       []string                // the states whose every failure leads through Undoes before the execution ends
	Undoes       string                  // the state that puts the original back
	Items        map[string]reflect.Type // of each Map whose branch is to be checked, the struct that an iteration begins with
	Lists        []string                // the paths that find a list, maybe an empty one, and are meant to
	Deadline     time.Duration           // the shortest that a policy can set: no state's retries in the window wait as long
	Shortest     time.Duration           // the least that any TimeoutSecondsPath can find
}

// Finding is one broken promise.
type Finding struct {
	Rule    string // functions, errors, catch, timeout, thaw, undo, loop, choice, window, document
	State   string
	Message string
}

func (f Finding) String() string { return fmt.Sprintf("%s: state %q: %s", f.Rule, f.State, f.Message) }

// Check returns every finding, none for a definition that keeps its promises.
// A branch is looked into where Rules.Items says what its iterations begin with.
func Check(m *asl.Machine, r Rules) []Finding {
	c := &checker{m: m, r: r}
	c.functions()
	c.states()
	c.skeleton()
	c.thaw()
	c.undone()
	c.window()
	c.loops()
	c.document()
	return c.findings
}

// states checks each state by itself, and the branches.
func (c *checker) states() {
	for _, name := range c.m.Order {
		s := c.m.States[name]
		c.errors(s)
		c.timeout(s)
		if s.Type == asl.Choice && s.Default == "" {
			c.found("choice", s, "has no Default: what nobody thought of fails the execution, past every Catch")
		}
		switch {
		case s.Type == asl.Map && c.r.Items[name] != nil:
			c.branch(s)
		case s.Type == asl.Parallel || s.Type == asl.Map:
			c.found("thaw", s, "has branches, which no rule here looks into")
		}
	}
}

// branch checks a Map's iterations. One that fails would stop the others
// half-way, unless each is an execution of its own.
func (c *checker) branch(s *asl.State) {
	inner := &checker{m: s.Branches[0], r: c.r, item: true}
	inner.r.Document = c.r.Items[s.Name]
	inner.states()
	inner.loops()
	inner.document()
	for _, t := range inner.m.States {
		if t.Type == asl.Fail && s.Distributed == nil {
			inner.found("thaw", t, "fails, and would stop the other iterations of %s half-way", s.Name)
		}
	}
	c.findings = append(c.findings, inner.findings...)
}

type checker struct {
	m        *asl.Machine
	r        Rules
	item     bool // of a branch
	findings []Finding
}

func (c *checker) found(rule string, s *asl.State, format string, args ...any) {
	name := ""
	if s != nil {
		name = s.Name
	}
	c.findings = append(c.findings, Finding{rule, name, fmt.Sprintf(format, args...)})
}

// function returns the table's entry for a task, nil for an integration.
func (c *checker) function(s *asl.State) *Function {
	for i, f := range c.r.Functions {
		if f.Resource == s.Calls() {
			return &c.r.Functions[i]
		}
	}
	return nil
}

func (c *checker) functions() {
	called := map[string]bool{}
	var walk func(m *asl.Machine)
	walk = func(m *asl.Machine) {
		for _, name := range m.Order {
			s := m.States[name]
			for _, b := range s.Branches {
				walk(b)
			}
			if s.Type != asl.Task {
				continue
			}
			if f := c.function(s); f != nil {
				called[f.Step] = true
			} else if !slices.Contains(c.r.Integrations, s.Resource) {
				c.found("functions", s, "calls %s, which is no step", s.Calls())
			}
		}
	}
	walk(c.m)
	for _, f := range c.r.Functions {
		if !called[f.Step] {
			c.found("functions", nil, "no state calls %s", f.Step)
		}
	}
}

func (c *checker) timeout(s *asl.State) {
	if s.Type != asl.Task {
		return
	}
	limit := time.Duration(s.TimeoutSeconds) * time.Second
	if s.TimeoutSecondsPath != nil {
		limit = c.r.Shortest
	}
	f := c.function(s)
	switch {
	case limit == 0:
		c.found("timeout", s, "has no TimeoutSeconds")
	case s.Callback() && !c.tellsToken(s):
		c.found("timeout", s, "waits for an answer and tells nobody its token")
	case f != nil && limit <= f.Timeout:
		c.found("timeout", s, "gives up after %v on a function that may work for %v", limit, f.Timeout)
	}
}

// tellsToken reports whether the task hands its token on.
func (c *checker) tellsToken(s *asl.State) bool {
	return slices.ContainsFunc(s.Refs(), func(r asl.Ref) bool {
		return r.Field == "Parameters" && r.Path.String() == "$$.Task.Token"
	})
}

// service are the error names that are no step's: the language's, Lambda's and
// EventBridge's.
var service = []string{
	asl.All, asl.TaskFailed, asl.Timeout, asl.HeartbeatTimeout, asl.Permissions, asl.DataLimitExceeded,
	asl.ResultPathMatchFailure, asl.ParameterPathFailure, asl.IntrinsicFailure, asl.BranchFailed, asl.NoChoiceMatched,
	"Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.TooManyRequestsException",
	"Lambda.Unknown", "Runtime.ExitError", "Sandbox.Timedout", "EventBridge.FailedEntry",
	"StepFunctions.AWSStepFunctionsException", "StepFunctions.SdkClientException", "StepFunctions.ExecutionLimitExceededException",
	"StepFunctions.ExecutionAlreadyExistsException",
}

// errors checks the names in Retry and Catch, and that nothing gets past them.
func (c *checker) errors(s *asl.State) {
	known := func(names []string) {
		for _, n := range names {
			if n == asl.Runtime {
				c.found("errors", s, "names %s, which is neither retried nor caught", n)
			} else if !slices.Contains(c.r.Codes, n) && !slices.Contains(service, n) && !slices.Contains(c.r.Services, n) {
				c.found("errors", s, "names %q, which nobody returns", n)
			}
		}
	}
	taken := map[string]bool{}
	for _, r := range s.Retry {
		known(r.ErrorEquals)
		for _, n := range r.ErrorEquals {
			if taken[n] {
				c.found("errors", s, "retries %s twice: the later entry never applies", n)
			}
			taken[n] = true
		}
		if r.Comment == "" {
			c.found("errors", s, "does not say why a retry of %v is safe", r.ErrorEquals)
		}
	}
	all, limit := false, false
	for _, k := range s.Catch {
		known(k.ErrorEquals)
		all = all || slices.Contains(k.ErrorEquals, asl.All)
		limit = limit || slices.Contains(k.ErrorEquals, asl.DataLimitExceeded)
	}
	if s.Type != asl.Task && s.Type != asl.Map {
		return
	}
	if !all {
		c.found("catch", s, "does not catch %s: a fault without a catcher of its own ends the execution", asl.All)
	}
	if !limit && !c.r.Fatal {
		c.found("catch", s, "does not catch %s, which %s leaves out", asl.DataLimitExceeded, asl.All)
	}
}
