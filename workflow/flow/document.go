package flow

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// decode reads one YAML document in its own order. What a YAML file may hide a
// value behind is refused: the service's parser is not known to follow it.
func decode(text []byte) (any, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, fmt.Errorf("is not YAML: %w", err)
	}
	if len(file.Docs) != 1 {
		return nil, fmt.Errorf("holds %d documents, wants one", len(file.Docs))
	}
	var hidden finder
	ast.Walk(&hidden, file.Docs[0])
	if hidden.what != "" {
		return nil, fmt.Errorf("line %d: uses %s, wants the value itself", hidden.line, hidden.what)
	}
	var root any
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.UseOrderedMap()).Decode(&root); err != nil {
		return nil, fmt.Errorf("is not YAML: %w", err)
	}
	if root == nil {
		return nil, errors.New("is empty")
	}
	return root, nil
}

// finder notes the first node that stands for another.
type finder struct {
	what string
	line int
}

func (f *finder) Visit(n ast.Node) ast.Visitor {
	what := ""
	switch n.(type) {
	case *ast.AnchorNode:
		what = "an anchor"
	case *ast.AliasNode:
		what = "an alias"
	case *ast.TagNode:
		what = "a tag"
	case *ast.MergeKeyNode:
		what = "a merge key"
	}
	if what != "" && f.what == "" {
		f.what, f.line = what, n.GetToken().Position.Line
	}
	return f
}

// fields is one mapping whose members are taken one by one; what is left over
// is unknown.
type fields struct {
	p     *translation
	at    string
	names []string
	raw   map[string]any
}

func (p *translation) object(at string, v any) *fields {
	f := &fields{p: p, at: at, raw: map[string]any{}}
	m, ok := v.(yaml.MapSlice)
	if !ok {
		p.fault(at, "wants a mapping")
		return f
	}
	for _, item := range m {
		name, ok := item.Key.(string)
		if !ok {
			p.fault(at, "has the key %v, wants text", item.Key)
			continue
		}
		f.names, f.raw[name] = append(f.names, name), item.Value
	}
	return f
}

func (f *fields) join(field string) string {
	if f.at == "" {
		return field
	}
	return f.at + "." + field
}

func (f *fields) fault(field, format string, args ...any) { f.p.fault(f.join(field), format, args...) }

func (f *fields) has(name string) bool { _, ok := f.raw[name]; return ok }

func (f *fields) take(name string) any {
	v := f.raw[name]
	delete(f.raw, name)
	return v
}

// text takes a text, empty if there is none, with its substitutions replaced.
func (f *fields) text(name string) string {
	if !f.has(name) {
		return ""
	}
	s, ok := f.take(name).(string)
	if !ok {
		f.fault(name, "wants text")
	}
	return f.p.substitute(s)
}

// required is text that must not be empty.
func (f *fields) required(name string) string {
	missing := !f.has(name)
	s := f.text(name)
	if missing || s == "" {
		f.fault(name, "is missing")
	}
	return s
}

// want takes a text that can only be one.
func (f *fields) want(name, only string) {
	if got := f.text(name); got != only {
		f.fault(name, "is %q, wants %s", got, only)
	}
}

func (f *fields) list(name string) []any {
	if !f.has(name) {
		return nil
	}
	list, ok := f.take(name).([]any)
	if !ok || len(list) == 0 {
		f.fault(name, "wants a list that is not empty")
	}
	return list
}

// count takes a whole number between two bounds; absent it is 0.
func (f *fields) count(name string, least, most int) int {
	if !f.has(name) {
		return 0
	}
	n, ok := f.take(name).(uint64)
	if !ok || n < uint64(least) || n > uint64(most) {
		f.fault(name, "wants a whole number from %d to %d", least, most)
		return least
	}
	return int(n)
}

// done refuses what nobody took.
func (f *fields) done() {
	for _, name := range f.names {
		if f.has(name) {
			f.fault(name, "unknown field")
		}
	}
}
