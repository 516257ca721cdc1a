package asl

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// operators are the comparisons of two values of one kind.
var operators = map[string]func(order int) bool{
	"Equals":            func(o int) bool { return o == 0 },
	"LessThan":          func(o int) bool { return o < 0 },
	"LessThanEquals":    func(o int) bool { return o <= 0 },
	"GreaterThan":       func(o int) bool { return o > 0 },
	"GreaterThanEquals": func(o int) bool { return o >= 0 },
}

// kinds order two values of one kind; ok is false for any other, which is no
// failure: the comparison just does not hold.
var kinds = map[string]func(a, b any) (order int, ok bool){
	"String": func(a, b any) (int, bool) {
		x, okX := a.(string)
		y, okY := b.(string)
		return cmp.Compare(x, y), okX && okY
	},
	"Numeric": numeric,
	"Boolean": func(a, b any) (int, bool) {
		x, okX := a.(bool)
		y, okY := b.(bool)
		return cmp.Compare(strconv.FormatBool(x), strconv.FormatBool(y)), okX && okY
	},
	"Timestamp": func(a, b any) (int, bool) {
		x, okX := timestamp(a)
		y, okY := timestamp(b)
		return x.Compare(y), okX && okY
	},
}

// predicates are the operators that ask of the variable alone.
var predicates = map[string]func(v any) bool{
	"IsNull":      func(v any) bool { return v == nil },
	"IsNumeric":   func(v any) bool { _, ok := v.(json.Number); return ok },
	"IsString":    func(v any) bool { _, ok := v.(string); return ok },
	"IsBoolean":   func(v any) bool { _, ok := v.(bool); return ok },
	"IsTimestamp": func(v any) bool { _, ok := timestamp(v); return ok },
}

func numeric(a, b any) (int, bool) {
	x, okX := a.(json.Number)
	y, okY := b.(json.Number)
	if !okX || !okY {
		return 0, false
	}
	if i, j := integer(x), integer(y); i != nil && j != nil {
		return cmp.Compare(*i, *j), true
	}
	f, err := x.Float64()
	g, err2 := y.Float64()
	return cmp.Compare(f, g), err == nil && err2 == nil
}

func timestamp(v any) (time.Time, bool) {
	s, ok := v.(string)
	if !ok {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t, err == nil
}

// splitOperator takes a comparison's name apart: StringLessThanEqualsPath is
// String, LessThanEquals, from a path.
func splitOperator(name string) (kind, operator string, path, ok bool) {
	base, path := strings.CutSuffix(name, "Path")
	for kind := range kinds {
		operator, has := strings.CutPrefix(base, kind)
		if !has {
			continue
		}
		_, known := operators[operator]
		return kind, operator, path, known && (kind != "Boolean" || operator == "Equals")
	}
	return "", "", false, false
}

// holds evaluates the rule; a variable that is not there is a failure, unless
// that is what is asked, and so is a bound that is none.
func (r *Rule) holds(in scope) (bool, error) {
	switch {
	case r.Not != nil:
		ok, err := r.Not.holds(in)
		return !ok, err
	case r.And != nil:
		for _, sub := range r.And {
			if ok, err := sub.holds(in); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	case r.Or != nil:
		for _, sub := range r.Or {
			if ok, err := sub.holds(in); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	}
	v, present := r.Variable.get(in)
	if r.Operator == "IsPresent" {
		return present == r.Value.(bool), nil
	}
	if !present {
		return false, runtimeError("Invalid path '%s': The choice state's condition path references an invalid value.", r.Variable)
	}
	if is, ok := predicates[r.Operator]; ok {
		return is(v) == r.Value.(bool), nil
	}
	if r.Operator == "StringMatches" {
		s, ok := v.(string)
		return ok && wildcard(r.Value.(string), s), nil
	}
	want := r.Value
	if r.ValuePath != nil {
		var err error
		if want, err = r.ValuePath.must(in, r.Operator+"Path"); err != nil {
			return false, err
		}
	}
	if _, comparable := r.order(want, want); !comparable && r.ranks {
		return false, runtimeError("Invalid value provided at path '%s'", r.ValuePath)
	}
	order, same := r.order(v, want)
	return same && r.test(order), nil
}

// wildcard matches * with anything; a backslash takes it literally.
func wildcard(pattern, s string) bool {
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '*':
			for j := 0; j <= len(s); j++ {
				if wildcard(pattern[i+1:], s[j:]) {
					return true
				}
			}
			return false
		case c == '\\' && i+1 < len(pattern):
			i++
			c = pattern[i]
			fallthrough
		default:
			if s == "" || s[0] != c {
				return false
			}
			s = s[1:]
		}
	}
	return s == ""
}

// literal checks that a comparison's constant is of the operator's kind.
func literal(operator string, v any) error {
	wrong := func(what string) error { return fmt.Errorf("%s wants %s", operator, what) }
	if _, ok := predicates[operator]; ok || operator == "IsPresent" {
		if _, ok := v.(bool); !ok {
			return wrong("true or false")
		}
		return nil
	}
	if operator == "StringMatches" {
		if _, ok := v.(string); !ok {
			return wrong("a string")
		}
		return nil
	}
	kind, _, _, _ := splitOperator(operator)
	if _, ok := kinds[kind](v, v); !ok {
		return wrong("a " + strings.ToLower(kind))
	}
	return nil
}
