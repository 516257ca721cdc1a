package bus

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Pattern is an event pattern: exact values, prefix, suffix, anything-but,
// exists and numeric. Whatever else the service knows is refused when parsed.
type Pattern struct{ root map[string]any }

// ParsePattern reads a pattern and refuses what Match would not honour.
func ParsePattern(doc []byte) (Pattern, error) {
	var root map[string]any
	if err := json.Unmarshal(doc, &root); err != nil {
		return Pattern{}, fmt.Errorf("event pattern: %w", err)
	}
	return Pattern{root}, check(root, "")
}

var matchers = []string{"prefix", "suffix", "anything-but", "exists", "numeric"}

func check(node map[string]any, at string) error {
	if len(node) == 0 {
		return fmt.Errorf("event pattern: %q is empty", at)
	}
	for name, v := range node {
		path := strings.TrimPrefix(at+"."+name, ".")
		switch v := v.(type) {
		case map[string]any:
			if err := check(v, path); err != nil {
				return err
			}
		case []any:
			if len(v) == 0 {
				return fmt.Errorf("event pattern: %q has no values", path)
			}
			for _, m := range v {
				for op := range asMap(m) {
					if !slices.Contains(matchers, op) {
						return fmt.Errorf("event pattern: %q uses %q; known are %s", path, op, strings.Join(matchers, ", "))
					}
				}
			}
		default:
			return fmt.Errorf("event pattern: %q must be a list", path)
		}
	}
	return nil
}

func asMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// may tells whether an event of this source and type can match: most cannot, and
// need not be looked into.
func (p Pattern) may(source, detailType string) bool {
	for name, have := range map[string]string{"source": source, "detail-type": detailType} {
		if want, asked := p.root[name].([]any); asked && !slices.ContainsFunc(want, func(m any) bool { return one(m, have, true) }) {
			return false
		}
	}
	return true
}

// Match tells whether an event has every field of the pattern with any of its
// values.
func (p Pattern) Match(event []byte) bool {
	var doc map[string]any
	return json.Unmarshal(event, &doc) == nil && match(p.root, doc)
}

func match(pattern, doc map[string]any) bool {
	for name, want := range pattern {
		have, there := doc[name]
		if sub, nested := want.(map[string]any); nested {
			if !match(sub, asMap(have)) {
				return false
			}
			continue
		}
		if !slices.ContainsFunc(want.([]any), func(m any) bool { return one(m, have, there) }) {
			return false
		}
	}
	return true
}

// one applies one matcher to a field; a list matches if any element does.
func one(m, have any, there bool) bool {
	if ops := asMap(m); ops != nil {
		if want, ok := ops["exists"]; ok {
			return want == there
		}
	}
	if list, ok := have.([]any); ok {
		return slices.ContainsFunc(list, func(v any) bool { return one(m, v, true) })
	}
	if !there {
		return false
	}
	ops := asMap(m)
	if ops == nil {
		return m == have
	}
	text, isText := have.(string)
	for op, arg := range ops {
		switch op {
		case "prefix", "suffix":
			part, _ := arg.(string)
			return isText && (op == "prefix" && strings.HasPrefix(text, part) || op == "suffix" && strings.HasSuffix(text, part))
		case "anything-but":
			return !excluded(arg, have)
		case "numeric":
			n, isNumber := have.(float64)
			return isNumber && numeric(arg, n)
		}
	}
	return false
}

func excluded(arg, have any) bool {
	switch arg := arg.(type) {
	case []any:
		return slices.Contains(arg, have)
	case map[string]any:
		return one(arg, have, true)
	}
	return arg == have
}

func numeric(arg any, n float64) bool {
	terms, _ := arg.([]any)
	for i := 0; i+1 < len(terms); i += 2 {
		bound, ok := terms[i+1].(float64)
		holds := map[any]bool{"<": n < bound, "<=": n <= bound, ">": n > bound, ">=": n >= bound, "=": n == bound}[terms[i]]
		if !ok || !holds {
			return false
		}
	}
	return len(terms) >= 2
}
