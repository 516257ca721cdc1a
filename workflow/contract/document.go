package contract

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/workflow/asl"
)

// document checks that no path can miss: the first state writes every field,
// every path leads along fields that are always there, and one that passes a
// field which may be null does so only where it was set on every way.
func (c *checker) document() {
	if c.r.Document == nil {
		return
	}
	known := c.known()
	for _, name := range c.m.Order {
		s := c.m.States[name]
		for _, ref := range s.Refs() {
			switch {
			case ref.Inner || ref.Path.Context():
			case name == c.m.StartAt && !c.item:
				if !ref.Write && len(ref.Path.Keys()) > 0 {
					c.found("document", s, "%s reads %s of whatever was typed", ref.Field, ref.Path)
				}
			case !ref.Path.Definite() && slices.Contains(c.r.Lists, ref.Path.String()):
			case !ref.Path.Definite():
				c.found("document", s, "%s is %s, which may find anything", ref.Field, ref.Path)
			default:
				if why := c.resolve(ref, known[name]); why != "" {
					c.found("document", s, "%s: %s: %s", ref.Field, ref.Path, why)
				}
			}
		}
	}
}

// skeleton checks that the first state writes every field of the document
// that is not below a pointer.
func (c *checker) skeleton() {
	if c.r.Document == nil {
		return
	}
	s := c.m.States[c.m.StartAt]
	if s.Type != asl.Pass || s.Parameters == nil || s.ResultPath != nil {
		c.found("document", s, "the first state does not write the document")
		return
	}
	var walk func(t reflect.Type, names []string)
	walk = func(t reflect.Type, names []string) {
		for i := range t.NumField() {
			f := t.Field(i)
			name, _ := tag(f)
			at := append(slices.Clone(names), name)
			if slices.Contains(c.r.Absent, strings.Join(at, ".")) {
				continue
			}
			if !s.Parameters.Has(at...) {
				c.found("document", s, "does not write $.%s", strings.Join(at, "."))
			} else if f.Type.Kind() == reflect.Struct && f.Type.NumField() > 0 && f.Type.Field(0).IsExported() && !slices.Contains(c.r.Raw, name) {
				walk(f.Type, at)
			}
		}
	}
	walk(c.r.Document, nil)
}

// resolve follows a path along the document's type and tells why it may miss.
func (c *checker) resolve(ref asl.Ref, known map[string]bool) string {
	t := c.r.Document
	at := "$"
	keys := ref.Path.Keys()
	for i, key := range keys {
		last := i == len(keys)-1
		if t.Kind() == reflect.Pointer {
			if !known[at] && !(ref.Present && last) {
				return at + " may be null here"
			}
			t = t.Elem()
		}
		if i > 0 && slices.Contains(c.r.Raw, keys[0].(string)) {
			return at + " is whatever was typed"
		}
		if _, isIndex := key.(int); isIndex && t.Kind() == reflect.Slice {
			if !ref.Present || !last {
				return at + " may be empty"
			}
			return ""
		}
		if t.Kind() != reflect.Struct {
			return fmt.Sprintf("%s has no %v that is always there", at, key)
		}
		f, optional, ok := field(t, key)
		switch {
		case !ok:
			return fmt.Sprintf("%s has no field %v", at, key)
		case optional && !(ref.Present && last):
			return fmt.Sprintf("%s.%v is left out when it is empty", at, key)
		}
		t, at = f, fmt.Sprintf("%s.%v", at, key)
	}
	return ""
}

func tag(f reflect.StructField) (name string, optional bool) {
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name, strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
}

func field(t reflect.Type, key any) (of reflect.Type, optional, ok bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		if name, optional := tag(f); name == key {
			return f.Type, optional, true
		}
		if f.Anonymous {
			if of, optional, ok := field(f.Type, key); ok {
				return of, optional, true
			}
		}
	}
	return nil, false, false
}

// known computes for every state which paths are certainly not null when it is
// entered, whichever way led there.
func (c *checker) known() map[string]map[string]bool {
	known := map[string]map[string]bool{c.m.StartAt: {}}
	for queue := []string{c.m.StartAt}; len(queue) > 0; queue = queue[1:] {
		s := c.m.States[queue[0]]
		for _, e := range s.Edges() {
			after := maps.Clone(known[s.Name])
			c.learn(after, s, e)
			before, seen := known[e.To]
			if seen {
				maps.DeleteFunc(after, func(p string, _ bool) bool { return !before[p] })
				if len(after) == len(before) {
					continue
				}
			}
			known[e.To] = after
			queue = append(queue, e.To)
		}
	}
	return known
}

// learn adds what is certain once an edge was taken.
func (c *checker) learn(known map[string]bool, s *asl.State, e asl.Edge) {
	wrote := s.ResultPath
	if e.Catch != nil {
		wrote = e.Catch.ResultPath
	}
	if (s.Type == asl.Task || s.Type == asl.Pass || s.Type == asl.Map) && wrote != nil && wrote.Definite() {
		known[wrote.String()] = true
	}
	if e.Rule != nil && e.Rule.Not != nil && isNull(e.Rule.Not) {
		known[e.Rule.Not.Variable.String()] = true
	}
	for _, r := range s.Choices {
		if e.Default && isNull(r) {
			known[r.Variable.String()] = true
		}
	}
}

func isNull(r *asl.Rule) bool { return r.Operator == "IsNull" && r.Value == true }
