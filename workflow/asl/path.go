package asl

import (
	"fmt"
	"slices"
	"strings"

	"github.com/theory/jsonpath"
	"github.com/theory/jsonpath/spec"
)

// Path is a JSONPath into a state's input, or with $$ into the context object.
// A definite one names one node and fails without it; an indefinite one finds
// a list, maybe an empty one.
type Path struct {
	text     string
	null     bool // the JSON null where a path may stand: take or keep nothing
	context  bool
	definite bool
	keys     []any // of a definite path: string or int
	query    *jsonpath.Path
}

// ParsePath reads a path.
func ParsePath(text string) (*Path, error) {
	p := &Path{text: text}
	rest := text
	if strings.HasPrefix(rest, "$$") {
		p.context, rest = true, rest[1:]
	}
	if !strings.HasPrefix(rest, "$") {
		return nil, fmt.Errorf("%q is no path: it does not begin with $", text)
	}
	query, err := jsonpath.Parse(rest)
	if err != nil {
		return nil, fmt.Errorf("%q is no path: %w", text, err)
	}
	for _, segment := range query.Query().Segments() {
		if names := segment.Selectors(); len(names) > 1 && slices.ContainsFunc(names, isName) {
			return nil, fmt.Errorf("%q is no path of the subset: several names in one bracket", text)
		}
	}
	p.query, p.definite = query, query.Query().Singular() != nil
	if p.definite {
		for _, segment := range query.Query().Segments() {
			switch s := segment.Selectors()[0].(type) {
			case spec.Name:
				p.keys = append(p.keys, string(s))
			case spec.Index:
				p.keys = append(p.keys, int(s))
			default:
				return nil, fmt.Errorf("%q is no path: unknown selector", text)
			}
		}
	}
	return p, nil
}

// isName tells names from indices. Several names at once find an object where
// the service's library reads them, and a list by the standard.
func isName(s spec.Selector) bool { _, ok := s.(spec.Name); return ok }

// String returns the path as it is written.
func (p *Path) String() string { return p.text }

// Definite reports whether the path names one node.
func (p *Path) Definite() bool { return p.definite }

// Context reports whether the path leads into the context object.
func (p *Path) Context() bool { return p.context }

// Null reports whether null stands in the path's place.
func (p *Path) Null() bool { return p.null }

// Keys returns the names (string) and indices (int) of a definite path.
func (p *Path) Keys() []any { return p.keys }

// reference tells why the path cannot be written to, nil if it can.
func (p *Path) reference() error {
	if p.context {
		return fmt.Errorf("%q leads into the context object, which is read only", p.text)
	}
	if !p.definite {
		return fmt.Errorf("%q is no reference path: it may name several nodes", p.text)
	}
	for _, k := range p.keys {
		if i, ok := k.(int); ok && i < 0 {
			return fmt.Errorf("%q is no reference path: negative index", p.text)
		}
	}
	return nil
}

// scope is what paths lead into.
type scope struct {
	input   any
	context func() any
}

// get evaluates the path; ok is false if a definite path misses.
func (p *Path) get(in scope) (v any, ok bool) {
	root := in.input
	if p.context {
		root = in.context()
	}
	if !p.definite {
		return []any(p.query.Select(root)), true
	}
	for _, k := range p.keys {
		switch k := k.(type) {
		case string:
			object, isObject := root.(map[string]any)
			if !isObject {
				return nil, false
			}
			if root, ok = object[k]; !ok {
				return nil, false
			}
		case int:
			list, isList := root.([]any)
			if k < 0 {
				k += len(list)
			}
			if !isList || k < 0 || k >= len(list) {
				return nil, false
			}
			root = list[k]
		}
	}
	return root, true
}

// must is get with a miss made the error that nothing catches.
func (p *Path) must(in scope, field string) (any, error) {
	v, ok := p.get(in)
	if !ok {
		return nil, runtimeError("The JSONPath '%s' specified for the field '%s' could not be found in the input", p.text, field)
	}
	return v, nil
}

// select applies an InputPath or OutputPath: absent is everything, null is {}.
func (p *Path) narrow(in scope, field string) (any, error) {
	switch {
	case p == nil:
		return in.input, nil
	case p.null:
		return map[string]any{}, nil
	}
	return p.must(in, field)
}

// put returns input with result at the path, sharing what it leaves alone:
// no document is ever changed in place. Absent is $, null drops the result.
func (p *Path) put(input, result any) (any, error) {
	switch {
	case p == nil:
		return result, nil
	case p.null:
		return input, nil
	}
	out, ok := put(input, true, p.keys, result)
	if !ok {
		return nil, &Error{ResultPathMatchFailure, fmt.Sprintf("The ResultPath '%s' cannot be applied to the state's input", p.text)}
	}
	return out, nil
}

func put(into any, present bool, keys []any, v any) (any, bool) {
	if len(keys) == 0 {
		return v, true
	}
	switch k := keys[0].(type) {
	case string:
		object, isObject := into.(map[string]any)
		if present && !isObject {
			return nil, false
		}
		child, has := object[k]
		child, ok := put(child, has, keys[1:], v)
		if !ok {
			return nil, false
		}
		out := make(map[string]any, len(object)+1)
		for name, member := range object {
			out[name] = member
		}
		out[k] = child
		return out, true
	case int:
		list, isList := into.([]any)
		if !isList || k >= len(list) {
			return nil, false
		}
		child, ok := put(list[k], true, keys[1:], v)
		if !ok {
			return nil, false
		}
		out := append([]any(nil), list...)
		out[k] = child
		return out, true
	}
	return nil, false
}
