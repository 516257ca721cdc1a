package flow

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// member is what a path is made of: .name or [0].
const member = `(?:\.[A-Za-z_][A-Za-z0-9_]*|\[[0-9]+\])`

var input = regexp.MustCompile(`^\$Input(` + member + `*)$`)

// contextual are the paths into the context object that the interpreter has too.
var contextual = map[string]string{
	"$Context.Execution.Name":     "$$.Execution.Name",
	"$Context.Execution.RoleArn":  "$$.Execution.RoleArn",
	"$Context.Execution.Input":    "$$.Execution.Input",
	"$Context.Current.Name":       "$$.State.Name",
	"$Context.Current.RetryCount": "$$.State.RetryCount",
	"$Context.Current.TaskToken":  "$$.Task.Token",
}

// path translates one expression; the longer form of $Input is the same.
func path(text string) (string, error) {
	if theirs, ok := contextual[text]; ok {
		return theirs, nil
	}
	if rest, long := strings.CutPrefix(text, "$Context.Current.Input"); long {
		text = "$Input" + rest
	}
	if m := input.FindStringSubmatch(text); m != nil {
		return "$" + m[1], nil
	}
	return "", fmt.Errorf("%q is no expression of those that are read: $Input with names and indices, or one of $Context", text)
}

// value translates a tree in which a name that ends in .$ is evaluated.
func (p *translation) value(at string, v any) any {
	switch v := v.(type) {
	case string:
		return p.substitute(v)
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = p.value(fmt.Sprintf("%s[%d]", at, i), item)
		}
		return out
	case nil, bool, uint64, int64, float64:
		return v
	}
	f := p.object(at, v)
	out := map[string]any{}
	for _, name := range f.names {
		if !strings.HasSuffix(name, ".$") {
			out[name] = p.value(f.join(name), f.raw[name])
			continue
		}
		if f.has(strings.TrimSuffix(name, ".$")) {
			f.fault(name, "stands beside a field of the same name")
		}
		text, _ := f.raw[name].(string)
		theirs, err := path(text)
		if err != nil {
			f.fault(name, "%v", err)
		}
		out[name] = theirs
	}
	return out
}

var (
	comparison = regexp.MustCompile(`^(\$\S+?)\s*(==|!=|<=|>=|<|>)\s*(.+)$`)
	numbers    = map[string]string{"==": "NumericEquals", "<": "NumericLessThan", "<=": "NumericLessThanEquals", ">": "NumericGreaterThan", ">=": "NumericGreaterThanEquals"}
)

// condition translates comparisons of a path with a literal, joined by && or by
// ||, never by both.
func condition(text string) (map[string]any, error) {
	and, or := split(text, "&&"), split(text, "||")
	if len(and) > 1 && len(or) > 1 {
		return nil, fmt.Errorf("%q joins by && and by ||, wants one of them", text)
	}
	name, parts := "And", and
	if len(or) > 1 {
		name, parts = "Or", or
	}
	rules := make([]any, len(parts))
	for i, part := range parts {
		rule, err := compare(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		rules[i] = rule
	}
	if len(rules) == 1 {
		return rules[0].(map[string]any), nil
	}
	return map[string]any{name: rules}, nil
}

// split cuts at an operator that stands outside of quotes.
func split(text, at string) (parts []string) {
	quote, from := false, 0
	for i := range len(text) {
		if text[i] == '"' {
			quote = !quote
		}
		if !quote && strings.HasPrefix(text[i:], at) {
			parts = append(parts, text[from:i])
			from = i + len(at)
		}
	}
	return append(parts, text[from:])
}

func compare(text string) (map[string]any, error) {
	m := comparison.FindStringSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("%q is no comparison of a path with a literal", text)
	}
	variable, err := path(m[1])
	if err != nil {
		return nil, err
	}
	rule := map[string]any{"Variable": variable}
	operator := m[2]
	negated := operator == "!="
	if negated {
		operator = "=="
	}
	if err := literal(rule, operator, m[3]); err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	if negated {
		return map[string]any{"Not": rule}, nil
	}
	return rule, nil
}

// literal puts the comparison itself into the rule.
func literal(rule map[string]any, operator, text string) error {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return fmt.Errorf("%s is no literal", text)
	}
	names := map[string]string{"==": ""}
	switch v.(type) {
	case nil:
		names["=="], v = "IsNull", true
	case string:
		names["=="] = "StringEquals"
	case bool:
		names["=="] = "BooleanEquals"
	case float64:
		names = numbers
	default:
		return errors.New("wants a text, a number, true, false or null")
	}
	name, ok := names[operator]
	if !ok {
		return fmt.Errorf("compares by %s what is no number", operator)
	}
	rule[name] = v
	return nil
}

// sorted returns the keys of a map in their order.
func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
