package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// moves says where to begin when an alarm rings: what the alarm itself says is
// for somebody who has just been woken.
var moves = map[string]string{
	"thaw-failed":     "[Thaw by hand](#thaw-by-hand), then read the run's last event.",
	"frozen-too-long": "The durations of Freeze, Snapshot and Thaw in the execution; the agent's log on the instance if the thaw came late.",
	"auto-thawed":     "[Is it let go?](#is-it-let-go) It most likely is; then compare the window with `freeze.deadlineSeconds`.",
	"degraded":        "The code in the event, in the [table below](#fault-codes). The set can be restored to what its label says.",
	"failed":          "The code in the event, in the [table below](#fault-codes); for `failed-dirty` [look at the instance first](#faileddirty).",

	"janitor-undelivered":       "[Thaw by hand](#thaw-by-hand); the message is the execution's event and names the run and the instance.",
	"schedules-undelivered":     "If the backup is still wanted, start the machine `start` with the input of its last execution and another `at`.",
	"notifications-undelivered": "See whether the topic lets `events.amazonaws.com` publish.",
	"completions-undelivered":   "Nothing, for the run; see the log of `wake` for why.",
	"retention-undelivered":     "The log of `prune` and its last event name the set and the code; the next day tries again by itself.",
	"curation-undelivered":      "The log of `curate`; the next look, a quarter of an hour later, makes up for it.",
	"not-curated":               "The code in that event, in the [table below](#fault-codes); [copies.md](copies.md#when-something-does-not-work) says what else may be wrong.",
	"restore-test-failed":       "[A restore test that failed](#a-restore-test-that-failed).",
	"restore-test-timed-out":    "[A restore test that failed](#a-restore-test-that-failed): what it waited for, and whether `timeLimitMinutes` is enough for it.",
	"restore-test-not-done":     "The code in the event, in the [table below](#fault-codes): nothing is known of the set until the next test.",
	"restore-test-scratch-left": "[Copies that are left](#copies-that-are-left).",
	"tests-undelivered":         "[Copies that are left](#copies-that-are-left); the message is the execution's event, or a start that did not happen.",
	"restores-undelivered":      "[A restore that broke off](#a-restore-that-broke-off); the message is the execution's event and names the restore.",
	"restore-dirty":             "[A restore that broke off](#a-restore-that-broke-off).",
	"orphaned":                  "`quiesce sets` says of each one why. What is not wanted is deleted by hand, all members of it.",
	"missed-<policy>":           "See whether the rule or the schedule is enabled, then the executions of `start` and `fleet`.",
}

// alarms reads the alarms of the stack out of its code, which is a program of
// its own: nothing can import it.
func alarms(root string) (string, error) {
	files, err := parse(filepath.Join(root, "infra", "aws"))
	if err != nil {
		return "", err
	}
	named, err := parse(filepath.Join(root, "shared", "telemetry"))
	if err != nil {
		return "", err
	}
	r := reader{words: map[string]string{}}
	for _, c := range constants(named) {
		r.words[c.name] = c.value
	}
	undelivered := mapOf(files, "undelivered")
	var b strings.Builder
	fmt.Fprintf(&b, "| alarm | rings when | says | begin with |\n|---|---|---|---|\n")
	var seen []string
	each(files, func(n ast.Node) {
		fields := alarmOf(n)
		if fields == nil {
			return
		}
		of := []string{""}
		if uses(fields["name"], "of") {
			of = sorted(undelivered)
		}
		for _, of := range of {
			r.words["of"], r.words["undelivered"] = of, undelivered[of]
			name := r.text(fields["name"])
			seen = append(seen, name)
			if moves[name] == "" {
				err = fmt.Errorf("nobody says where to begin with the alarm %s", name)
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, r.condition(fields), italics.Replace(cell(r.text(fields["means"]))), moves[name])
		}
	})
	for name := range moves {
		if !slices.Contains(seen, name) {
			err = fmt.Errorf("there is no alarm %s", name)
		}
	}
	return b.String(), err
}

// alarmOf returns the fields of an alarm's literal, nil for anything else.
func alarmOf(n ast.Node) map[string]ast.Expr {
	lit, ok := n.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	fields := map[string]ast.Expr{}
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			fields[last(kv.Key)] = kv.Value
		}
	}
	if fields["means"] == nil || fields["name"] == nil || fields["id"] == nil {
		return nil
	}
	return fields
}

// mapOf reads a map of literals by its variable's name.
func mapOf(files []*ast.File, name string) map[string]string {
	m := map[string]string{}
	each(files, func(n ast.Node) {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != name || len(spec.Values) != 1 {
			return
		}
		lit, ok := spec.Values[0].(*ast.CompositeLit)
		if !ok {
			return
		}
		for _, e := range lit.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				k, _ := literal(kv.Key)
				switch v := kv.Value.(type) {
				case *ast.BasicLit:
					if m[k], ok = literal(v); !ok {
						m[k] = v.Value
					}
				}
			}
		}
	})
	return m
}

func sorted(m map[string]string) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// italics keeps what only a deployment knows from being taken for HTML.
var italics = strings.NewReplacer("<", "*", ">", "*")

func uses(e ast.Expr, name string) (used bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.Name == name {
			used = true
		}
		return true
	})
	return used
}

// reader makes text of expressions; what only a deployment knows it shows as
// <name>.
type reader struct{ words map[string]string }

var verb = regexp.MustCompile(`%[.0-9]*[a-z]`)

func (r reader) text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, ok := literal(e); ok {
			return s
		}
		return e.Value
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			left := r.text(e.X)
			if strings.HasSuffix(left, "-") || !strings.HasPrefix(r.text(e.Y), "<") {
				return left + strings.Replace(r.text(e.Y), "<Name>", "<policy>", 1)
			}
			return left + r.text(e.Y)
		}
	case *ast.IndexExpr:
		return r.words[last(e.X)]
	case *ast.CallExpr:
		switch last(e.Fun) {
		case "Sprintf":
			i := 0
			return verb.ReplaceAllStringFunc(r.text(e.Args[0]), func(string) string {
				i++
				return strings.Replace(r.text(e.Args[i]), "<Name>", "<policy>", 1)
			})
		case "count":
			return "`" + r.text(e.Args[0]) + "`"
		case "ofMetric":
			return r.text(e.Args[0]) + " of `" + r.text(e.Args[1]) + "`"
		case "metric":
			return "`" + r.text(e.Args[1]) + "`"
		}
	case *ast.Ident, *ast.SelectorExpr:
		if word, ok := r.words[last(e)]; ok {
			return word
		}
		return "<" + last(e) + ">"
	}
	return "?"
}

// condition is when an alarm rings.
func (r reader) condition(f map[string]ast.Expr) string {
	what := f["query"]
	if what == nil {
		what = f["metric"]
	}
	text := strings.ReplaceAll(r.text(what), "MAX of", "the largest")
	periods := r.text(f["periods"])
	length := map[string]string{"Minute": "1 minute", "Hour": "1 hour"}[last(f["period"])]
	if m, ok := f["period"].(*ast.BinaryExpr); ok {
		length = r.text(m.X) + " minutes"
	}
	switch {
	case f["missingIsBad"] != nil:
		return fmt.Sprintf("no %s of `tag` in %s hours", text, italics.Replace(periods))
	case f["above"] != nil:
		return fmt.Sprintf("%s is above `%s` in %s", text, strings.Trim(r.text(f["above"]), "<>"), length)
	}
	return fmt.Sprintf("%s is above 0 in %s", text, length)
}
