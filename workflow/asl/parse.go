package asl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
)

var placeholder = regexp.MustCompile(`\$\{([A-Za-z0-9_]+)\}`)

// Parse reads a definition and refuses, naming state and field, whatever it
// would not run exactly as the service does. Every ${Name} is replaced from
// with; nil leaves them as they are, for a machine that is only to be checked.
func Parse(definition []byte, with map[string]string) (*Machine, error) {
	p := &parser{names: map[string]bool{}, symbolic: with == nil}
	if with != nil {
		definition = p.substitute(definition, with)
	}
	m := p.machine("", definition, true)
	if len(p.problems) > 0 {
		return nil, errors.Join(p.problems...)
	}
	return m, nil
}

// parser collects every problem, so that one load shows them all.
type parser struct {
	problems []error
	names    map[string]bool // of all states, which are unique over all branches
	symbolic bool            // resources may still be substitutions
}

func (p *parser) fault(at, format string, args ...any) {
	p.problems = append(p.problems, fmt.Errorf("asl: %s: %s", at, fmt.Sprintf(format, args...)))
}

func (p *parser) substitute(definition []byte, with map[string]string) []byte {
	used := map[string]bool{}
	out := placeholder.ReplaceAllFunc(definition, func(match []byte) []byte {
		name := string(match[2 : len(match)-1])
		value, ok := with[name]
		if !ok && !used[name] {
			p.fault("substitution "+name, "is not given")
		}
		used[name] = true
		text := appendString(nil, value)
		return text[1 : len(text)-1]
	})
	for _, name := range sortedKeys(with) {
		if !used[name] {
			p.fault("substitution "+name, "is not in the definition")
		}
	}
	return out
}

// fields is one JSON object whose members are taken one by one; what is left
// over is unknown.
type fields struct {
	p     *parser
	at    string
	names []string
	raw   map[string]json.RawMessage
}

func (p *parser) object(at string, data json.RawMessage) *fields {
	f := &fields{p: p, at: at, raw: map[string]json.RawMessage{}}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		p.fault(at, "wants an object")
		return f
	}
	for d.More() {
		t, err := d.Token()
		name, _ := t.(string)
		var raw json.RawMessage
		if err == nil {
			err = d.Decode(&raw)
		}
		if err != nil {
			p.fault(at, "is not JSON: %v", err)
			return f
		}
		if _, twice := f.raw[name]; twice {
			f.fault(name, "stands twice")
		}
		f.names, f.raw[name] = append(f.names, name), raw
	}
	if _, err := d.Token(); err != nil {
		p.fault(at, "is not JSON: %v", err)
	}
	return f
}

func (f *fields) fault(field, format string, args ...any) {
	f.p.fault(f.join(field), format, args...)
}

func (f *fields) join(field string) string {
	if f.at == "" {
		return field
	}
	return f.at + "." + field
}

func (f *fields) has(name string) bool { _, ok := f.raw[name]; return ok }

// take decodes one member if it is there.
func (f *fields) take(name string, into any) bool {
	raw, ok := f.raw[name]
	if !ok {
		return false
	}
	delete(f.raw, name)
	if string(raw) == "null" {
		f.fault(name, "is null")
		return false
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		f.fault(name, "%v", err)
		return false
	}
	return true
}

func (f *fields) text(name string) (s string) { f.take(name, &s); return s }

// count takes an integer of at least least.
func (f *fields) count(name string, least int) (n int) {
	if f.take(name, &n) && n < least {
		f.fault(name, "is %d, wants at least %d", n, least)
	}
	return n
}

func (f *fields) list(name string) (list []json.RawMessage) { f.take(name, &list); return list }

// path takes a path; with nullable, null is one too.
func (f *fields) path(name string, nullable, reference bool) *Path {
	if nullable && string(f.raw[name]) == "null" {
		delete(f.raw, name)
		return &Path{text: "null", null: true}
	}
	var text string
	if !f.take(name, &text) {
		return nil
	}
	p, err := ParsePath(text)
	if err == nil && reference {
		err = p.reference()
	}
	if err != nil {
		f.fault(name, "%v", err)
		return nil
	}
	return p
}

func (f *fields) template(name string) *Template {
	raw, ok := f.raw[name]
	if !ok {
		return nil
	}
	delete(f.raw, name)
	v, err := decode(raw)
	if err != nil {
		f.fault(name, "%v", err)
		return nil
	}
	t, err := parseTemplate(v, name)
	if err != nil {
		f.p.fault(f.at, "%v", err)
	}
	return t
}

// done refuses what nobody took.
func (f *fields) done() {
	for _, name := range f.names {
		if f.has(name) {
			f.fault(name, "unknown field")
			delete(f.raw, name)
		}
	}
}

func (p *parser) machine(at string, data json.RawMessage, top bool) *Machine {
	f := p.object(at, data)
	return p.machineOf(f, top)
}

func (p *parser) machineOf(f *fields, top bool) *Machine {
	m := &Machine{Comment: f.text("Comment"), StartAt: f.text("StartAt"), States: map[string]*State{}}
	f.queryLanguage()
	if top {
		m.TimeoutSeconds = f.count("TimeoutSeconds", 1)
		if v := f.text("Version"); v != "" && v != "1.0" {
			f.fault("Version", "is %q, wants 1.0", v)
		}
	}
	raw := f.raw["States"]
	delete(f.raw, "States")
	f.done()
	states := p.object(f.join("States"), raw)
	m.Order = states.names
	for _, name := range states.names {
		at := fmt.Sprintf("state %q", name)
		if p.names[name] {
			p.fault(at, "its name is taken")
		}
		if len(name) > 80 {
			p.fault(at, "its name is longer than 80 characters")
		}
		p.names[name] = true
		m.States[name] = p.state(name, p.object(at, states.raw[name]))
	}
	p.links(f, m)
	return m
}

// links checks that every edge leads somewhere and every state is led to.
func (p *parser) links(f *fields, m *Machine) {
	if m.States[m.StartAt] == nil {
		f.fault("StartAt", "names no state: %q", m.StartAt)
		return
	}
	reached := map[string]bool{m.StartAt: true}
	for queue := []string{m.StartAt}; len(queue) > 0; queue = queue[1:] {
		for _, e := range m.States[queue[0]].Edges() {
			if m.States[e.To] == nil {
				p.fault(fmt.Sprintf("state %q", queue[0]), "leads to no state of its machine: %q", e.To)
			} else if !reached[e.To] {
				reached[e.To] = true
				queue = append(queue, e.To)
			}
		}
	}
	for _, name := range m.Order {
		if !reached[name] {
			p.fault(fmt.Sprintf("state %q", name), "cannot be reached")
		}
	}
}

func (f *fields) queryLanguage() {
	if q := f.text("QueryLanguage"); q != "" && q != "JSONPath" {
		f.fault("QueryLanguage", "%s is not supported, JSONPath is", q)
	}
}

func (p *parser) retriers(f *fields) []*Retrier {
	var out []*Retrier
	list := f.list("Retry")
	for i, raw := range list {
		r := p.object(f.join("Retry["+strconv.Itoa(i)+"]"), raw)
		t := &Retrier{Comment: r.text("Comment"), IntervalSeconds: 1, MaxAttempts: 3, BackoffRate: 2}
		t.ErrorEquals = r.errorEquals(i == len(list)-1)
		if r.has("IntervalSeconds") {
			t.IntervalSeconds = r.count("IntervalSeconds", 1)
		}
		if r.has("MaxAttempts") {
			t.MaxAttempts = r.count("MaxAttempts", 0)
		}
		if r.take("BackoffRate", &t.BackoffRate) && t.BackoffRate < 1 {
			r.fault("BackoffRate", "is %v, wants at least 1", t.BackoffRate)
		}
		if r.has("MaxDelaySeconds") {
			if t.MaxDelaySeconds = r.count("MaxDelaySeconds", 1); t.MaxDelaySeconds <= t.IntervalSeconds {
				r.fault("MaxDelaySeconds", "is not greater than IntervalSeconds")
			}
		}
		switch s := r.text("JitterStrategy"); s {
		case "FULL":
			t.FullJitter = true
		case "", "NONE":
		default:
			r.fault("JitterStrategy", "is %q, wants FULL or NONE", s)
		}
		r.done()
		out = append(out, t)
	}
	return out
}

func (p *parser) catchers(f *fields) []*Catcher {
	var out []*Catcher
	list := f.list("Catch")
	for i, raw := range list {
		c := p.object(f.join("Catch["+strconv.Itoa(i)+"]"), raw)
		t := &Catcher{Comment: c.text("Comment"), Next: c.text("Next"), ResultPath: c.path("ResultPath", true, true)}
		t.ErrorEquals = c.errorEquals(i == len(list)-1)
		c.done()
		out = append(out, t)
	}
	return out
}

func (f *fields) errorEquals(last bool) (names []string) {
	if f.take("ErrorEquals", &names); len(names) == 0 {
		f.fault("ErrorEquals", "is empty")
	}
	if slices.Contains(names, All) && (len(names) > 1 || !last) {
		f.fault("ErrorEquals", "%s stands neither alone nor in the last entry", All)
	}
	return names
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
