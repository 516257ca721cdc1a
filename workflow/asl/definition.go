// Package asl parses and runs the Amazon States Language: a declared subset,
// strict at load, with the service's semantics at run time, so that the
// definition that is deployed runs unchanged on a laptop and in virtual time.
package asl

// Machine is a parsed definition, or one branch of a Parallel or Map state.
// It is immutable and may be run many times at once.
type Machine struct {
	Comment        string
	StartAt        string
	TimeoutSeconds int // 0: none
	States         map[string]*State
	Order          []string // the states' names as they are written
	Limits         Limits
}

// Limits are what another service than Step Functions allows an execution: how
// many bytes a state may hand on, past which the execution fails and no Catch
// sees it, and how many events. The zero value means Step Functions' own.
type Limits struct{ Payload, Events int }

// State types.
const (
	Task     = "Task"
	Choice   = "Choice"
	Wait     = "Wait"
	Pass     = "Pass"
	Parallel = "Parallel"
	Map      = "Map"
	Succeed  = "Succeed"
	Fail     = "Fail"
)

// State is one state of a machine. Which fields are set depends on Type; a nil
// path or template means that the definition does not have it.
type State struct {
	Name    string
	Type    string
	Comment string
	Next    string // empty where the state ends its machine
	Retry   []*Retrier
	Catch   []*Catcher

	InputPath, OutputPath, ResultPath *Path
	Parameters, ResultSelector        *Template // Parameters is ItemSelector for a Map
	Result                            any       // Pass: only with hasResult
	hasResult                         bool

	Resource             string // Task
	TimeoutSeconds       int
	TimeoutSecondsPath   *Path
	HeartbeatSeconds     int
	HeartbeatSecondsPath *Path

	Choices []*Rule // Choice
	Default string

	Seconds       *int // Wait: exactly one of the four
	SecondsPath   *Path
	Timestamp     string
	TimestampPath *Path

	Error, Cause         string // Fail
	ErrorPath, CausePath *Template

	Branches       []*Machine // Parallel; the one processor of a Map
	ItemsPath      *Path
	MaxConcurrency int
	Concurrency    *Path        // MaxConcurrencyPath
	Distributed    *Distributed // nil: an inline Map
}

// Retrier is one entry of Retry. Its budget is its own, and starts anew
// whenever the state is entered.
type Retrier struct {
	Comment         string
	ErrorEquals     []string
	IntervalSeconds int
	MaxAttempts     int
	BackoffRate     float64
	MaxDelaySeconds int // 0: unbounded
	FullJitter      bool
}

// Catcher is one entry of Catch.
type Catcher struct {
	Comment     string
	ErrorEquals []string
	Next        string
	ResultPath  *Path
}

// Rule is one choice: either And, Or or Not, or a comparison of Variable by
// Operator with Value or with what ValuePath finds.
type Rule struct {
	Comment   string
	Next      string // of outermost rules alone
	And, Or   []*Rule
	Not       *Rule
	Variable  *Path
	Operator  string // without its Path suffix
	Value     any
	ValuePath *Path

	order func(a, b any) (int, bool) // of a comparison
	test  func(order int) bool
	ranks bool // asks for more than equality
}

// Edge is one way out of a state.
type Edge struct {
	To      string
	Catch   *Catcher // the catcher it belongs to, if any
	Rule    *Rule    // the rule it belongs to, if any
	Default bool
}

// Edges returns every way out of the state, none for an end.
func (s *State) Edges() []Edge {
	var edges []Edge
	for _, c := range s.Catch {
		edges = append(edges, Edge{To: c.Next, Catch: c})
	}
	for _, r := range s.Choices {
		edges = append(edges, Edge{To: r.Next, Rule: r})
	}
	if s.Default != "" {
		edges = append(edges, Edge{To: s.Default, Default: true})
	}
	if s.Next != "" {
		edges = append(edges, Edge{To: s.Next})
	}
	return edges
}

// Ref is one path that a state reads or writes, with the field it stands in.
type Ref struct {
	Field   string
	Path    *Path
	Write   bool // a ResultPath
	Inner   bool // reads the state's result or an item, not its input
	Present bool // asked whether it is there, so that it may miss
	Catch   *Catcher
}

// Refs returns every path of the state in a stable order.
func (s *State) Refs() []Ref {
	var refs []Ref
	read := func(field string, p *Path) {
		if p != nil && !p.null {
			refs = append(refs, Ref{Field: field, Path: p})
		}
	}
	read("InputPath", s.InputPath)
	for _, p := range s.Parameters.paths() {
		refs = append(refs, Ref{Field: "Parameters", Path: p})
	}
	read("TimeoutSecondsPath", s.TimeoutSecondsPath)
	read("HeartbeatSecondsPath", s.HeartbeatSecondsPath)
	read("SecondsPath", s.SecondsPath)
	read("TimestampPath", s.TimestampPath)
	read("ItemsPath", s.ItemsPath)
	read("MaxConcurrencyPath", s.Concurrency)
	refs = append(refs, s.Distributed.refs()...)
	for _, r := range s.Choices {
		refs = append(refs, r.refs()...)
	}
	for _, p := range s.ErrorPath.paths() {
		refs = append(refs, Ref{Field: "ErrorPath", Path: p})
	}
	for _, p := range s.CausePath.paths() {
		refs = append(refs, Ref{Field: "CausePath", Path: p})
	}
	for _, p := range s.ResultSelector.paths() {
		refs = append(refs, Ref{Field: "ResultSelector", Path: p, Inner: true})
	}
	if p := s.ResultPath; p != nil && !p.null {
		refs = append(refs, Ref{Field: "ResultPath", Path: p, Write: true})
	}
	for _, c := range s.Catch {
		if p := c.ResultPath; p != nil && !p.null {
			refs = append(refs, Ref{Field: "Catch.ResultPath", Path: p, Write: true, Catch: c})
		}
	}
	read("OutputPath", s.OutputPath)
	return refs
}

func (r *Rule) refs() []Ref {
	var refs []Ref
	for _, sub := range append(append([]*Rule{}, r.And...), r.Or...) {
		refs = append(refs, sub.refs()...)
	}
	if r.Not != nil {
		refs = append(refs, r.Not.refs()...)
	}
	if r.Variable != nil {
		refs = append(refs, Ref{Field: "Choices.Variable", Path: r.Variable, Present: r.Operator == "IsPresent"})
	}
	if r.ValuePath != nil {
		refs = append(refs, Ref{Field: "Choices." + r.Operator + "Path", Path: r.ValuePath})
	}
	return refs
}
