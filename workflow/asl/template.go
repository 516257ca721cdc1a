package asl

import (
	"fmt"
	"strings"
)

// Template is a payload template: JSON in which a name that ends in .$ takes
// its value from a path or an intrinsic function.
type Template struct {
	literal any // when nothing below is dynamic
	fields  map[string]*Template
	items   []*Template
	expr    *expression
	at      string // where it stands, for errors
}

// parseTemplate compiles a decoded value.
func parseTemplate(v any, at string) (*Template, error) {
	switch v := v.(type) {
	case map[string]any:
		t := &Template{fields: make(map[string]*Template, len(v)), at: at}
		dynamic := false
		for name, member := range v {
			field := name
			var sub *Template
			var err error
			if base, isExpr := strings.CutSuffix(name, ".$"); isExpr {
				text, isText := member.(string)
				if !isText {
					return nil, fmt.Errorf("%s.%s: wants a path or an intrinsic function", at, name)
				}
				field = base
				if _, twice := v[base]; twice {
					return nil, fmt.Errorf("%s.%s: stands beside a field of the same name", at, name)
				}
				sub, err = parseExpressionTemplate(text, at+"."+name)
			} else {
				sub, err = parseTemplate(member, at+"."+name)
			}
			if err != nil {
				return nil, err
			}
			dynamic = dynamic || sub.dynamic()
			t.fields[field] = sub
		}
		if !dynamic {
			return &Template{literal: v, at: at}, nil
		}
		return t, nil
	case []any:
		t := &Template{at: at}
		dynamic := false
		for i, item := range v {
			sub, err := parseTemplate(item, fmt.Sprintf("%s[%d]", at, i))
			if err != nil {
				return nil, err
			}
			dynamic = dynamic || sub.dynamic()
			t.items = append(t.items, sub)
		}
		if !dynamic {
			return &Template{literal: v, at: at}, nil
		}
		return t, nil
	}
	return &Template{literal: v, at: at}, nil
}

// parseExpressionTemplate makes a template of one path or intrinsic function.
func parseExpressionTemplate(text, at string) (*Template, error) {
	e, err := parseExpression(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return &Template{expr: e, at: at}, nil
}

func (t *Template) dynamic() bool { return t.expr != nil || t.fields != nil || t.items != nil }

// render fills the template in.
func (t *Template) render(in scope, fx *effects) (any, error) {
	switch {
	case t.expr != nil:
		return t.expr.eval(in, fx, t.at)
	case t.fields != nil:
		out := make(map[string]any, len(t.fields))
		for name, sub := range t.fields {
			v, err := sub.render(in, fx)
			if err != nil {
				return nil, err
			}
			out[name] = v
		}
		return out, nil
	case t.items != nil:
		out := make([]any, len(t.items))
		for i, sub := range t.items {
			v, err := sub.render(in, fx)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	}
	return t.literal, nil
}

// apply is render for a field that may be absent.
func (t *Template) apply(in scope, fx *effects) (any, error) {
	if t == nil {
		return in.input, nil
	}
	return t.render(in, fx)
}

// paths returns every path of the template, in a stable order.
func (t *Template) paths() []*Path {
	if t == nil {
		return nil
	}
	var paths []*Path
	if t.expr != nil {
		paths = t.expr.paths()
	}
	for _, name := range sortedKeys(t.fields) {
		paths = append(paths, t.fields[name].paths()...)
	}
	for _, sub := range t.items {
		paths = append(paths, sub.paths()...)
	}
	return paths
}

// Text returns the text that the template writes under a name whatever its
// input is, empty if it writes none.
func (t *Template) Text(name string) string {
	if t == nil {
		return ""
	}
	v := t.literal
	if sub := t.fields[name]; sub != nil {
		v = map[string]any{name: sub.literal}
	}
	object, _ := v.(map[string]any)
	text, _ := object[name].(string)
	return text
}

// Has reports whether the template writes the field that the names lead to.
func (t *Template) Has(names ...string) bool {
	for i, name := range names {
		if t.fields == nil {
			v := t.literal
			for _, name := range names[i:] {
				object, _ := v.(map[string]any)
				member, ok := object[name]
				if !ok {
					return false
				}
				v = member
			}
			return true
		}
		if t = t.fields[name]; t == nil {
			return false
		}
	}
	return true
}
