package flow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// failure is how a Catch keeps an error: the code by which it was matched, and
// what the function said.
var failure = map[string]string{"Error.$": "$Context.Current.Error.Code", "Cause.$": "$Context.Current.Error.Detail"}

// written finds the one place at which an OutputConstructor changes the
// document, as a path; none is "". It must carry on everything else that the
// first state wrote: what is forgotten here is gone for every later state.
func (p *translation) written(at string, v any, isResult func(any) bool) string {
	w := &writing{p: p, isResult: isResult}
	w.walk(at, "$Input", v, p.skeleton)
	switch len(w.places) {
	case 0:
		return ""
	case 1:
		return "$" + strings.TrimPrefix(w.places[0], "$Input")
	}
	p.fault(at, "writes %s, wants one place at most", strings.Join(w.places, " and "))
	return ""
}

type writing struct {
	p        *translation
	isResult func(any) bool // of what stands under a plain name
	places   []string
}

// walk compares a constructor with what it must carry on.
func (w *writing) walk(at, from string, v, skeleton any) {
	f := w.p.object(at, v)
	below, _ := skeleton.(map[string]any)
	for _, name := range f.names {
		plain, evaluated := strings.CutSuffix(name, ".$")
		here := from + "." + plain
		inner, known := below[plain]
		if !known {
			inner, known = below[plain+".$"]
		}
		switch member := f.raw[name]; {
		case !known:
			f.fault(name, "is no field of the document, which the first state writes")
		case evaluated && member == here:
		case w.isResult(yaml.MapSlice{{Key: name, Value: member}}):
			w.places = append(w.places, here)
		case !evaluated && isObject(inner):
			w.walk(f.join(name), here, member, inner)
		default:
			f.fault(name, "is %v, wants %s or the state's result", member, here)
		}
	}
	for _, name := range sorted(below) {
		plain := strings.TrimSuffix(name, ".$")
		if !slices.ContainsFunc(f.names, func(n string) bool { return strings.TrimSuffix(n, ".$") == plain }) {
			f.fault(plain, "is not carried on: %s is gone for every later state", from+"."+plain)
		}
	}
}

func isObject(v any) bool { _, ok := v.(map[string]any); return ok }

// body is the result of a function, under a name that is evaluated.
func body(v any) bool {
	item := v.(yaml.MapSlice)[0]
	return strings.HasSuffix(fmt.Sprint(item.Key), ".$") && item.Value == "$Output.Body"
}

// caught is the error of a task.
func caught(v any) bool {
	members, ok := v.(yaml.MapSlice)[0].Value.(yaml.MapSlice)
	if !ok || len(members) != len(failure) {
		return false
	}
	for _, m := range members {
		if name, _ := m.Key.(string); failure[name] != m.Value {
			return false
		}
	}
	return true
}

// moved reads a member that is a copy of another place of the document.
func moved(v any) (from string, ok bool) {
	item := v.(yaml.MapSlice)[0]
	text, _ := item.Value.(string)
	if !strings.HasSuffix(fmt.Sprint(item.Key), ".$") {
		return "", false
	}
	from, err := path(text)
	return from, err == nil
}

// constant reads a member that evaluates nothing.
func constant(v any) (any, bool) {
	item := v.(yaml.MapSlice)[0]
	if strings.HasSuffix(fmt.Sprint(item.Key), ".$") {
		return nil, false
	}
	return plain(item.Value)
}

func plain(v any) (any, bool) {
	members, ok := v.(yaml.MapSlice)
	if !ok {
		return v, v != nil
	}
	out := map[string]any{}
	for _, m := range members {
		name := fmt.Sprint(m.Key)
		value, ok := plain(m.Value)
		if !ok || strings.HasSuffix(name, ".$") {
			return nil, false
		}
		out[name] = value
	}
	return out, true
}
