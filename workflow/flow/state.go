package flow

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// state translates one state; nil text means that nothing can be made of it.
func (p *translation) state(at string, v any, first bool) (name string, text []byte) {
	f := p.object(at, v)
	name = f.required("Name")
	f.at = fmt.Sprintf("state %q", name)
	if !validName.MatchString(name) {
		f.fault("Name", "wants a letter or underscore and then letters, digits, dashes and underscores")
	}
	if p.names[name] {
		f.fault("Name", "is taken")
	}
	p.names[name] = true
	kind := f.text("Type")
	out := map[string]any{"Type": kind}
	if d := f.text("Description"); d != "" {
		out["Comment"] = d
	}
	if first && kind != "Pass" {
		f.fault("Type", "is %q: the first state wants to be a Pass that writes the document", kind)
	}
	switch kind {
	case "Task":
		p.task(f, out)
	case "Choice":
		p.choice(f, out)
	case "Wait":
		p.wait(f, out)
	case "Pass":
		p.pass(f, out, first)
	case "Succeed":
		f.ends()
	case "Fail":
		f.ends()
		out["Error"], out["Cause"] = f.required("Code"), f.required("Detail")
	default:
		f.fault("Type", "%q is not among the states that are read: Task, Choice, Wait, Pass, Succeed, Fail", kind)
		return name, nil
	}
	if slices.Contains([]string{"Task", "Wait", "Pass"}, kind) {
		f.next(out)
	}
	f.done()
	text, err := json.Marshal(out)
	if err != nil {
		f.fault("Name", "cannot be encoded: %v", err)
	}
	return name, text
}

// wait takes the seconds, or where they are found. Found ones are bounded by
// whoever writes them.
func (p *translation) wait(f *fields, out map[string]any) {
	switch fixed, found := f.has("Seconds"), f.has("Seconds.$"); {
	case fixed == found:
		f.fault("Seconds", "wants either Seconds or Seconds.$")
	case fixed:
		out["Seconds"] = f.count("Seconds", 1, longestWait)
	default:
		theirs, err := path(f.text("Seconds.$"))
		if err != nil {
			f.fault("Seconds.$", "%v", err)
		}
		out["SecondsPath"] = theirs
	}
}

// ends takes the End that the states that end an execution are written with.
func (f *fields) ends() {
	if f.take("End") != true {
		f.fault("End", "wants to be true")
	}
}

func (f *fields) next(out map[string]any) {
	next, end := f.text("Next"), f.has("End") && f.take("End") == true
	if end == (next != "") {
		f.fault("Next", "wants either Next or End")
	}
	if end {
		out["End"] = true
		return
	}
	out["Next"] = next
}

// pass writes the whole document if it is the first state, else one literal or
// a copy of another place.
func (p *translation) pass(f *fields, out map[string]any, first bool) {
	v := f.take("OutputConstructor")
	if first {
		out["Parameters"] = p.value(f.join("OutputConstructor"), v)
		p.skeleton = out["Parameters"]
		return
	}
	if v == nil {
		return
	}
	var literal any
	var from string
	to := p.written(f.join("OutputConstructor"), v, func(item any) bool {
		var fixed, copied bool
		if literal, fixed = constant(item); !fixed {
			from, copied = moved(item)
		}
		return fixed || copied
	})
	switch {
	case to == "":
	case from != "":
		out["InputPath"], out["ResultPath"] = from, to
	default:
		out["Result"], out["ResultPath"] = literal, to
	}
}

var (
	function = regexp.MustCompile(`^acs:fc:[a-z0-9-]*:[0-9]*:functions/[A-Za-z_][A-Za-z0-9_-]*(/[A-Za-z0-9_-]+)?$`)
	symbolic = regexp.MustCompile(`^\$\{[A-Za-z0-9_]+\}$`)
	action   = regexp.MustCompile(`^([A-Za-z]+):([A-Za-z]+)$`)
)

const invoke = "FC:InvokeFunction"

func (p *translation) task(f *fields, out map[string]any) {
	called, mode := f.required("Action"), f.text("TaskMode")
	parameters := p.object(f.join("Parameters"), f.take("Parameters"))
	if called == invoke {
		resource := parameters.required("resourceArn")
		if !function.MatchString(resource) && !(p.with == nil && symbolic.MatchString(resource)) {
			parameters.fault("resourceArn", "%q is no function's", resource)
		}
		parameters.want("invocationType", "Sync")
		switch mode {
		case "", "RequestComplete":
		case "WaitForCustomCallback":
			resource += ".waitForTaskToken"
		default:
			f.fault("TaskMode", "%s is not among those that are read: RequestComplete, WaitForCustomCallback", mode)
		}
		out["Resource"] = resource
		out["Parameters"] = p.value(parameters.join("body"), parameters.take("body"))
		parameters.done()
	} else {
		m := action.FindStringSubmatch(called)
		if m == nil || mode != "" && mode != "RequestComplete" {
			f.fault("Action", "%q is no service and API that answers by itself", called)
			return
		}
		out["Resource"] = "acs:" + strings.ToLower(m[1]) + ":::" + string(m[2][0]|0x20) + m[2][1:]
		rest := map[string]any{}
		for _, name := range parameters.names {
			rest[name] = p.value(parameters.join(name), parameters.take(name))
		}
		out["Parameters"] = rest
	}
	if out["TimeoutSeconds"] = f.count("Timeout", 1, longestInterval); out["TimeoutSeconds"] == 0 {
		f.fault("Timeout", "is missing")
		delete(out, "TimeoutSeconds")
	}
	p.keep(f.join("OutputConstructor"), f.take("OutputConstructor"), body, out)
	p.retries(f, out)
	p.catches(f, out)
}

// keep is the ResultPath that a constructor amounts to.
func (p *translation) keep(at string, v any, isResult func(any) bool, out map[string]any) {
	if v == nil {
		p.fault(at, "is missing: the state's result would take the document's place")
		return
	}
	out["ResultPath"] = nil
	if path := p.written(at, v, isResult); path != "" {
		out["ResultPath"] = path
	}
}

// errorNames takes the names of a rule.
func (f *fields) errorNames(last bool) []string {
	var out []string
	for _, v := range f.list("Errors") {
		name, ok := v.(string)
		if !ok {
			f.fault("Errors", "wants names, got %v", v)
		}
		out = append(out, nameOf(name))
	}
	if len(out) == 0 {
		f.fault("Errors", "is missing")
	}
	if slices.Contains(out, nameOf(All)) && (len(out) > 1 || !last) {
		f.fault("Errors", "%s stands neither alone nor in the last entry", All)
	}
	return out
}

func (p *translation) retries(f *fields, out map[string]any) {
	list := f.list("Retry")
	if list == nil {
		return
	}
	rules := make([]any, len(list))
	for i, v := range list {
		r := p.object(fmt.Sprintf("%s[%d]", f.join("Retry"), i), v)
		rule := map[string]any{"Comment": r.required("Description"), "ErrorEquals": r.errorNames(i == len(list)-1), "BackoffRate": 1.0}
		for _, name := range []string{"MaxAttempts", "IntervalSeconds"} {
			if !r.has(name) {
				r.fault(name, "is missing")
			}
		}
		rule["MaxAttempts"] = r.count("MaxAttempts", 1, 1000)
		rule["IntervalSeconds"] = r.count("IntervalSeconds", 1, longestInterval)
		switch rate := r.take("BackoffRate").(type) {
		case nil:
		case uint64:
			rule["BackoffRate"] = rate
		case float64:
			rule["BackoffRate"] = rate
		default:
			r.fault("BackoffRate", "wants a number")
		}
		if r.has("MaxBackoffSeconds") {
			rule["MaxDelaySeconds"] = r.count("MaxBackoffSeconds", 1, longestInterval)
		}
		r.done()
		rules[i] = rule
	}
	out["Retry"] = rules
}

func (p *translation) catches(f *fields, out map[string]any) {
	list := f.list("Catch")
	if list == nil {
		return
	}
	rules := make([]any, len(list))
	for i, v := range list {
		c := p.object(fmt.Sprintf("%s[%d]", f.join("Catch"), i), v)
		rule := map[string]any{"Comment": c.required("Description"), "ErrorEquals": c.errorNames(i == len(list)-1), "Next": c.required("Next")}
		p.keep(c.join("OutputConstructor"), c.take("OutputConstructor"), caught, rule)
		c.done()
		rules[i] = rule
	}
	out["Catch"] = rules
}

func (p *translation) choice(f *fields, out map[string]any) {
	var rules []any
	for i, v := range f.list("Branches") {
		b := p.object(fmt.Sprintf("%s[%d]", f.join("Branches"), i), v)
		rule, err := condition(b.required("Condition"))
		if err != nil {
			b.fault("Condition", "%v", err)
			rule = map[string]any{}
		}
		rule["Next"] = b.required("Next")
		b.done()
		rules = append(rules, rule)
	}
	out["Choices"], out["Default"] = rules, f.required("Default")
}
