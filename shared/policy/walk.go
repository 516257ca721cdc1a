package policy

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// field is one key that a mapping may have.
type field struct {
	name string
	kind reflect.Type
}

// fields lists a struct's keys, those of embedded ones among them.
func fields(t reflect.Type) (list []field) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			list = append(list, fields(f.Type)...)
			continue
		}
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		list = append(list, field{key, f.Type})
	}
	return list
}

// value reads a node as a type, and returns what JSON has for it; false means
// that the problem is told and there is no value.
func (r *reader) value(n ast.Node, t reflect.Type, path string) (any, bool) {
	switch n := n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		return r.wrong(n, path, "wants the value itself: anchors, aliases and tags of YAML are not read")
	}
	switch {
	case t == reflect.TypeFor[Tolerance]():
		return r.tolerance(n, path)
	case t == reflect.TypeFor[Age]():
		return r.age(n, path)
	case t.Kind() == reflect.Struct:
		return r.structure(n, fields(t), path)
	case t.Kind() == reflect.Map:
		return r.table(n, t.Elem(), path)
	case t.Kind() == reflect.Slice:
		return r.list(n, t.Elem(), path)
	case t.Kind() == reflect.String:
		return r.text(n, path)
	case t.Kind() == reflect.Int:
		return r.number(n, path)
	case t.Kind() == reflect.Float64:
		return r.amount(n, path)
	}
	if b, ok := n.(*ast.BoolNode); ok {
		return b.Value, true
	}
	return r.wrong(n, path, "wants true or false, got %s", called(n))
}

func (r *reader) wrong(n ast.Node, path, format string, args ...any) (any, bool) {
	r.broken = append(r.broken, path)
	r.refuse(r.at(n, path), path, format, args...)
	return nil, false
}

// at is where a node begins: a block, at its key.
func (r *reader) at(n ast.Node, path string) *token.Token {
	switch n := n.(type) {
	case *ast.MappingNode:
		if n.IsFlowStyle {
			return n.Start
		}
	case *ast.SequenceNode:
		if n.IsFlowStyle {
			return n.Start
		}
	case *ast.MappingValueNode:
	case *ast.NullNode: // nothing is written
	case *ast.LiteralNode:
		return n.Start
	default:
		return n.GetToken()
	}
	if t, ok := r.places[path]; ok {
		return t
	}
	return n.GetToken()
}

// entries walks a mapping; each key is noted, and told if it comes twice.
func (r *reader) entries(n ast.Node, path string, each func(key *token.Token, n ast.Node, path string)) (any, bool) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		return r.wrong(n, path, "wants a mapping of keys to values, got %s", called(n))
	}
	seen := map[string]bool{}
	for _, v := range values {
		at := v.Key.GetToken()
		if v.Key.IsMergeKey() {
			r.refuse(at, path, "wants the keys themselves: the merge key << of YAML is not read")
			continue
		}
		under := strings.TrimPrefix(path+"."+at.Value, ".")
		if seen[under] {
			r.refuse(at, under, "is given a second time")
			continue
		}
		seen[under] = true
		r.places[under] = at // for a block, which begins there
		r.places[under] = r.at(v.Value, under)
		each(at, v.Value, under)
	}
	return nil, true
}

func (r *reader) structure(n ast.Node, known []field, path string) (any, bool) {
	object := map[string]any{}
	_, ok := r.entries(n, path, func(key *token.Token, n ast.Node, under string) {
		for _, f := range known {
			if f.name != key.Value {
				continue
			}
			if v, ok := r.value(n, f.kind, under); ok {
				object[f.name] = v
			}
			return
		}
		r.unknown(key, known, under)
	})
	return object, ok
}

func (r *reader) unknown(key *token.Token, known []field, path string) {
	names := make([]string, len(known))
	for i, f := range known {
		names[i] = f.name
		if near(strings.ToLower(f.name), strings.ToLower(key.Value)) {
			r.refuse(key, path, "is unknown: perhaps %s", f.name)
			return
		}
	}
	r.refuse(key, path, "is unknown: wants one of %s", strings.Join(names, ", "))
}

func (r *reader) table(n ast.Node, t reflect.Type, path string) (any, bool) {
	object := map[string]any{}
	_, ok := r.entries(n, path, func(key *token.Token, n ast.Node, under string) {
		if v, ok := r.value(n, t, under); ok {
			object[key.Value] = v
		}
	})
	return object, ok
}

func (r *reader) list(n ast.Node, t reflect.Type, path string) (any, bool) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		return r.wrong(n, path, "wants a list, got %s", called(n))
	}
	list := []any{}
	for i, item := range s.Values {
		under := fmt.Sprintf("%s[%d]", path, i)
		r.places[under] = item.GetToken()
		if m, ok := item.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
			r.places[under] = m.Values[0].Key.GetToken()
		}
		v, _ := r.value(item, t, under) // in its place even so, because the others are named by theirs
		list = append(list, v)
	}
	return list, true
}

func (r *reader) text(n ast.Node, path string) (any, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return r.wrong(n, path, "wants text, got %s: put it in quotes", called(n))
	}
	return r.wrong(n, path, "wants text, got %s", called(n))
}

// decimal is a number as people mean it: 010 is not eight.
var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,8})$`)

func (r *reader) number(n ast.Node, path string) (any, bool) {
	if i, ok := n.(*ast.IntegerNode); ok && decimal.MatchString(i.Token.Value) {
		v, err := strconv.Atoi(i.Token.Value)
		return v, err == nil
	}
	return r.wrong(n, path, "wants a whole number, got %s", called(n))
}

// amount is a number of money, as people write one.
var amount = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})([.][0-9]{1,9})?$`)

func (r *reader) amount(n ast.Node, path string) (any, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		if text := n.GetToken().Value; amount.MatchString(text) {
			v, err := strconv.ParseFloat(text, 64)
			return v, err == nil
		}
	}
	return r.wrong(n, path, "wants a number such as 2 or 0.05, got %s", called(n))
}

var share = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})%?$`)

func (r *reader) tolerance(n ast.Node, path string) (any, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		if share.MatchString(n.Token.Value) {
			return r.number(n, path)
		}
	case *ast.StringNode:
		if share.MatchString(n.Value) {
			return n.Value, true
		}
	}
	return r.wrong(n, path, `wants a number of instances such as 5, or a share such as "10%%", got %s`, called(n))
}

func (r *reader) age(n ast.Node, path string) (any, bool) {
	s, ok := n.(*ast.StringNode)
	if !ok {
		return r.wrong(n, path, "wants an age such as 30d, 36h or 1y6m, got %s", called(n))
	}
	if _, err := ParseAge(s.Value); err != nil {
		return r.wrong(n, path, "%v", err)
	}
	return s.Value, true
}

// called names what stands in the file, shortly.
func called(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.StringNode:
		return strconv.Quote(n.Value)
	case *ast.LiteralNode:
		return "a block of text"
	}
	return n.GetToken().Value
}

// near reports that two words differ by a slip of the finger or two.
func near(a, b string) bool {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)] <= min(2, len(a)/3)
}
