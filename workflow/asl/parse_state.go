package asl

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

var (
	arn      = regexp.MustCompile(`^(arn:[a-z-]+|acs):[a-z0-9-]+:[a-z0-9-]*:[0-9]*:.+$`)
	symbolic = regexp.MustCompile(`^\$\{[A-Za-z0-9_]+\}(\.waitForTaskToken)?$`)
)

func (p *parser) state(name string, f *fields) *State {
	s := &State{Name: name, Type: f.text("Type"), Comment: f.text("Comment")}
	f.queryLanguage()
	if s.Type != Fail {
		s.InputPath = f.path("InputPath", true, false)
		s.OutputPath = f.path("OutputPath", true, false)
	}
	switch s.Type {
	case Task:
		p.task(s, f)
	case Choice:
		p.choices(s, f)
	case Wait:
		p.wait(s, f)
	case Pass:
		s.Parameters = f.template("Parameters")
		s.ResultPath = f.path("ResultPath", true, true)
		if raw, ok := f.raw["Result"]; ok {
			delete(f.raw, "Result")
			s.Result, _ = decode(raw)
			s.hasResult = true
		}
	case Parallel:
		p.result(s, f)
		s.Parameters = f.template("Parameters")
		for i, raw := range f.list("Branches") {
			s.Branches = append(s.Branches, p.machine(fmt.Sprintf("%s.Branches[%d]", f.at, i), raw, false))
		}
		if len(s.Branches) == 0 {
			f.fault("Branches", "is missing")
		}
	case Map:
		p.each(s, f)
	case Succeed:
	case Fail:
		s.Error, s.ErrorPath = f.orPath("Error")
		s.Cause, s.CausePath = f.orPath("Cause")
	default:
		f.fault("Type", "unknown state type %q", s.Type)
		return s // its other fields mean nothing
	}
	if s.Type != Choice && s.Type != Succeed && s.Type != Fail {
		s.Next = f.text("Next")
		var end bool
		if f.take("End", &end); end == (s.Next != "") {
			f.fault("Next", "wants either Next or End")
		}
	}
	f.done()
	return s
}

// result takes the fields of the states whose work can fail.
func (p *parser) result(s *State, f *fields) {
	s.ResultSelector = f.template("ResultSelector")
	s.ResultPath = f.path("ResultPath", true, true)
	s.Retry = p.retriers(f)
	s.Catch = p.catchers(f)
}

func (p *parser) task(s *State, f *fields) {
	p.result(s, f)
	s.Parameters = f.template("Parameters")
	s.Resource = f.text("Resource")
	switch {
	case s.Resource == "":
		f.fault("Resource", "is missing")
	case p.symbolic && symbolic.MatchString(s.Resource):
	case !arn.MatchString(s.Resource):
		f.fault("Resource", "%q is no ARN", s.Resource)
	case s.Callback() && !waits.MatchString(s.Resource):
		f.fault("Resource", "%q: of callbacks lambda:invoke's alone is supported", s.Resource)
	case strings.Contains(s.Resource, ":activity:"):
		f.fault("Resource", "%q: activities are not supported", s.Resource)
	}
	s.TimeoutSeconds, s.TimeoutSecondsPath = f.seconds("TimeoutSeconds")
	s.HeartbeatSeconds, s.HeartbeatSecondsPath = f.seconds("HeartbeatSeconds")
	if s.HeartbeatSeconds > 0 && s.TimeoutSeconds > 0 && s.HeartbeatSeconds >= s.TimeoutSeconds {
		f.fault("HeartbeatSeconds", "is not less than TimeoutSeconds")
	}
}

func (f *fields) seconds(name string) (int, *Path) {
	if f.has(name) && f.has(name+"Path") {
		f.fault(name, "stands beside %sPath", name)
	}
	return f.count(name, 1), f.path(name+"Path", false, false)
}

// orPath takes a text, or its Path form, which may be an intrinsic function.
func (f *fields) orPath(name string) (string, *Template) {
	text, path := f.text(name), f.text(name+"Path")
	if path == "" {
		return text, nil
	}
	if text != "" {
		f.fault(name, "stands beside %sPath", name)
	}
	t, err := parseExpressionTemplate(path, name+"Path")
	if err != nil {
		f.p.fault(f.at, "%v", err)
		return "", nil
	}
	return "", t
}

func (p *parser) wait(s *State, f *fields) {
	given := 0
	for _, name := range []string{"Seconds", "SecondsPath", "Timestamp", "TimestampPath"} {
		if f.has(name) {
			given++
		}
	}
	if given != 1 {
		f.fault("Seconds", "wants exactly one of Seconds, SecondsPath, Timestamp and TimestampPath")
	}
	if f.has("Seconds") {
		n := f.count("Seconds", 0)
		s.Seconds = &n
	}
	s.SecondsPath = f.path("SecondsPath", false, false)
	s.TimestampPath = f.path("TimestampPath", false, false)
	if s.Timestamp = f.text("Timestamp"); s.Timestamp != "" {
		if _, err := time.Parse(time.RFC3339Nano, s.Timestamp); err != nil {
			f.fault("Timestamp", "%q is no timestamp", s.Timestamp)
		}
	}
}

func (p *parser) each(s *State, f *fields) {
	p.result(s, f)
	s.Parameters = f.template("ItemSelector")
	s.ItemsPath = f.path("ItemsPath", false, false)
	if f.has("MaxConcurrency") && f.has("MaxConcurrencyPath") {
		f.fault("MaxConcurrency", "stands beside MaxConcurrencyPath")
	}
	s.MaxConcurrency, s.Concurrency = f.count("MaxConcurrency", 0), f.path("MaxConcurrencyPath", false, false)
	var raw json.RawMessage
	if !f.take("ItemProcessor", &raw) {
		f.fault("ItemProcessor", "is missing")
		return
	}
	processor := p.object(f.join("ItemProcessor"), raw)
	if processor.take("ProcessorConfig", &raw) {
		config := p.object(processor.join("ProcessorConfig"), raw)
		switch mode := config.text("Mode"); mode {
		case "", "INLINE":
		case "DISTRIBUTED":
			p.distributed(s, f, config)
		default:
			config.fault("Mode", "is %q, wants INLINE or DISTRIBUTED", mode)
		}
		config.done()
	}
	s.Branches = []*Machine{p.machineOf(processor, false)}
}

func (p *parser) choices(s *State, f *fields) {
	list := f.list("Choices")
	if len(list) == 0 {
		f.fault("Choices", "is empty")
	}
	for i, raw := range list {
		s.Choices = append(s.Choices, p.rule(p.object(fmt.Sprintf("%s.Choices[%d]", f.at, i), raw), true))
	}
	s.Default = f.text("Default")
}

func (p *parser) rule(f *fields, outermost bool) *Rule {
	r := &Rule{Comment: f.text("Comment")}
	if outermost {
		if r.Next = f.text("Next"); r.Next == "" {
			f.fault("Next", "is missing")
		}
	}
	for _, name := range f.names {
		switch raw := f.raw[name]; name {
		case "And", "Or":
			list := f.list(name)
			if len(list) == 0 {
				f.fault(name, "is empty")
			}
			rules := make([]*Rule, len(list))
			for i, raw := range list {
				rules[i] = p.rule(p.object(fmt.Sprintf("%s.%s[%d]", f.at, name, i), raw), false)
			}
			if name == "And" {
				r.And = rules
			} else {
				r.Or = rules
			}
			f.operator(r, name)
		case "Not":
			delete(f.raw, name)
			r.Not = p.rule(p.object(f.join(name), raw), false)
			f.operator(r, name)
		case "Variable":
			r.Variable = f.path(name, false, false)
		default:
			f.comparison(r, name)
		}
	}
	boolean := r.And != nil || r.Or != nil || r.Not != nil
	switch {
	case r.Operator == "":
		f.fault("Variable", "has no operator")
	case !boolean && r.Variable == nil:
		f.fault("Variable", "is missing")
	case r.Variable != nil && (boolean || !r.Variable.definite):
		f.fault("Variable", "wants one reference path and one comparison")
	}
	if boolean {
		r.Operator = ""
	}
	f.done()
	return r
}

// operator notes the rule's one operator.
func (f *fields) operator(r *Rule, name string) {
	if r.Operator != "" {
		f.fault(name, "stands beside %s", r.Operator)
	}
	r.Operator = name
}

// comparison takes a comparison or predicate, and leaves what is none of them
// to be refused as unknown.
func (f *fields) comparison(r *Rule, name string) {
	kind, operator, fromPath, ok := splitOperator(name)
	if _, is := predicates[name]; is || name == "IsPresent" || name == "StringMatches" {
		ok, fromPath = true, false
	} else if ok {
		r.order, r.test, r.ranks = kinds[kind], operators[operator], operator != "Equals"
	}
	if !ok || !f.has(name) {
		return
	}
	if fromPath {
		f.operator(r, strings.TrimSuffix(name, "Path"))
		r.ValuePath = f.path(name, false, false)
		return
	}
	f.operator(r, name)
	if f.take(name, &r.Value) {
		if err := literal(name, r.Value); err != nil {
			f.fault(name, "%v", err)
		}
	}
}
