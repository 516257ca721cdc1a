// Package flow reads the definition language of Alibaba Cloud's CloudFlow: a
// declared subset, strict at load, translated to what package asl runs, so that
// both clouds' definitions have one interpreter and one set of checks.
//
// What differs is kept apart. A state's output takes its input's place, hence
// every OutputConstructor must carry the whole document on; one that does so
// and changes one field is what asl calls a ResultPath, any other is refused.
// An output that is too large ends the execution, past every Catch.
package flow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/quiesce/quiesce/workflow/asl"
)

// Limits are the service's: a state's input and output in bytes, and the
// events of one execution.
const (
	MaxPayload = 64 << 10
	MaxEvents  = 5000
)

// Bounds of fields, as they are documented.
const (
	longestWait     = 300 // seconds, of a standard execution
	longestInterval = 86400
	longestName     = 128
)

// Parse reads a definition and refuses, naming state and field, whatever it
// would not run as the service does. Every ${Name} is replaced from with; nil
// leaves them as they are, for a machine that is only to be checked.
func Parse(definition []byte, with map[string]string) (*asl.Machine, error) {
	p := &translation{with: with, used: map[string]bool{}, names: map[string]bool{}}
	text := p.machine(definition)
	for name := range with {
		if !p.used[name] {
			p.fault("substitution "+name, "is not in the definition")
		}
	}
	if len(p.problems) > 0 {
		return nil, errors.Join(p.problems...)
	}
	if with != nil {
		with = map[string]string{} // all are replaced already
	}
	m, err := asl.Parse(text, with)
	if err != nil {
		return nil, err
	}
	m.Limits = asl.Limits{Payload: MaxPayload, Events: MaxEvents}
	return m, nil
}

// translation collects every problem, so that one load shows them all.
type translation struct {
	problems []error
	with     map[string]string // nil: substitutions stay
	used     map[string]bool
	names    map[string]bool
	skeleton any // the document as the first state writes it
}

func (p *translation) fault(at, format string, args ...any) {
	p.problems = append(p.problems, fmt.Errorf("flow: %s: %s", at, fmt.Sprintf(format, args...)))
}

var placeholder = regexp.MustCompile(`\$\{([A-Za-z0-9_]+)\}`)

// substitute replaces the placeholders of one text.
func (p *translation) substitute(text string) string {
	if p.with == nil {
		return text
	}
	return placeholder.ReplaceAllStringFunc(text, func(match string) string {
		name := match[2 : len(match)-1]
		value, ok := p.with[name]
		if !ok && !p.used[name] {
			p.fault("substitution "+name, "is not given")
		}
		p.used[name] = true
		return value
	})
}

// machine translates the whole definition.
func (p *translation) machine(definition []byte) []byte {
	root, err := decode(definition)
	if err != nil {
		p.fault("definition", "%v", err)
		return nil
	}
	f := p.object("", root)
	f.want("Type", "StateMachine")
	f.want("SpecVersion", "v1")
	if name := f.text("Name"); !validName.MatchString(name) {
		f.fault("Name", "is %q, wants a letter or underscore and then up to %d letters, digits, dashes and underscores", name, longestName-1)
	}
	comment, start := f.text("Comment"), f.text("StartAt")
	list := f.list("States")
	f.done()
	var states bytes.Buffer
	for i, item := range list {
		name, text := p.state(fmt.Sprintf("States[%d]", i), item, i == 0)
		if text == nil {
			continue
		}
		if states.Len() > 0 {
			states.WriteByte(',')
		}
		fmt.Fprintf(&states, "%s:%s", quoted(name), text)
		if i == 0 && name != start {
			f.fault("StartAt", "names %q, wants the first state: it writes the document", start)
		}
	}
	head := fmt.Sprintf(`{"Comment":%s,"StartAt":%s,"States":{`, quoted(comment), quoted(start))
	return append(append([]byte(head), states.Bytes()...), "}}"...)
}

var validName = regexp.MustCompile(fmt.Sprintf(`^[A-Za-z_][A-Za-z0-9_-]{0,%d}$`, longestName-1))

func quoted(s string) []byte {
	text, _ := json.Marshal(s)
	return text
}
