package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/workflow"
)

// when says when an event is published: the code says by whom.
var when = map[string]string{
	"TypeStep":       "a step of a run has ended, well or not",
	"TypeCompleted":  "a run has its set, and what the policy asked for was proved",
	"TypeDegraded":   "a run has its set, and less was proved",
	"TypeFailed":     "a run has no set that can be restored, or a person must look (`failed-dirty`)",
	"TypeThawFailed": "it is not known that the instance was let go, or the application was not released: act now",
	"TypeFleet":      "a fleet or a group has ended",
	"TypeCuration":   "a policy's sets were looked after, and something was done with them, or could not be",
	"TypeRetention":  "a policy's sets were gone through, and what is not kept was deleted",
	"TypeTest":       "a restore test has ended, whatever its verdict",
	"TypeRestored":   "a restore, or what was to become of one, ended as it was asked for; not for a dry run",
	"TypeUnrestored": "it did not: `failed-clean`, the original is as it was; `failed-dirty`, a person must look",
}

// entries are the structs that stand in a list of a detail, by its field.
var entries = map[string]string{"Failed": "failures", "Fate": "lines", "Deed": "lines"}

type schema struct {
	Title      string
	Properties struct {
		DetailType struct{ Const string } `json:"detail-type"`
		Detail     struct {
			Required   []string
			Properties map[string]property
		}
	}
}

type property struct {
	Description string
	Const       string
	Enum        []string
}

// says is what a field means: its words in the schema, else its comment in the
// code, and the values that it may have.
func (p property) says(comment string) string {
	text := p.Description
	if text == "" && comment != "" && (len(p.Enum) == 0 || !strings.Contains(comment, p.Enum[0])) {
		text = strings.ToUpper(comment[:1]) + comment[1:]
	}
	if len(p.Enum) > 0 {
		text += " One of `" + strings.Join(p.Enum, "`, `") + "`."
	}
	return cell(text)
}

var detailOf = regexp.MustCompile(`is the detail of ([^:]+):? ?`)

func eventTypes(root string) (string, error) {
	files, err := parse(filepath.Join(root, "events"))
	if err != nil {
		return "", err
	}
	types := map[string]string{}
	var order []string
	for _, c := range constants(files) {
		if strings.HasPrefix(c.name, "Type") {
			types[c.name] = c.value
			order = append(order, c.name)
		}
	}
	by, err := publishers(root)
	if err != nil {
		return "", err
	}
	fixtures, err := fixtures(root)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| detail type | published when | by | schema | fixtures |\n|---|---|---|---|---|\n")
	schemas := map[string]schema{}
	for _, name := range order {
		if when[name] == "" {
			return "", fmt.Errorf("nobody says when %s is published", name)
		}
		file, s, err := schemaOf(root, types[name])
		if err != nil {
			return "", err
		}
		schemas[name] = s
		var examples []string
		for _, f := range fixtures[types[name]] {
			examples = append(examples, fmt.Sprintf("[%s](../events/testdata/%s.json)", f, f))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | [%s](../events/schema/%s) | %s |\n", types[name], when[name], strings.Join(by[name], ", "), strings.TrimSuffix(file, ".json"), file, strings.Join(examples, ", "))
	}
	for _, r := range records(files) {
		m := detailOf.FindStringSubmatch(r.doc)
		switch {
		case r.name == "Subject":
			var envelope schema
			if err := readJSON(filepath.Join(root, "events", "schema", "envelope.json"), &envelope); err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "\n### What every detail begins with\n")
			table(&b, r, envelope)
		case entries[r.name] != "":
			fmt.Fprintf(&b, "\n### An entry of `%s`\nOne %s\n", entries[r.name], strings.TrimPrefix(r.doc, r.name+" is one "))
			table(&b, r, schema{})
		case m != nil:
			var of, names []string
			for _, name := range order {
				if strings.Contains(m[1]+" ", name) && regexp.MustCompile(name+`\b`).MatchString(m[1]) {
					of, names = append(of, name), append(names, "`"+types[name]+"`")
				}
			}
			if len(of) == 0 {
				return "", fmt.Errorf("%s is the detail of nothing known", r.name)
			}
			fmt.Fprintf(&b, "\n### %s\n", strings.Join(names, ", "))
			about := detailOf.ReplaceAllString(r.doc, "")
			if about = strings.TrimPrefix(about, r.name+" "); strings.Trim(about, ".") != "" {
				fmt.Fprintf(&b, "%s%s\n", strings.ToUpper(about[:1]), about[1:])
			}
			common := schemas[of[0]]
			for _, name := range of[1:] { // what is there in each of them
				common.Properties.Detail.Required = slices.DeleteFunc(slices.Clone(common.Properties.Detail.Required), func(field string) bool {
					return !slices.Contains(schemas[name].Properties.Detail.Required, field)
				})
			}
			table(&b, r, common)
			example, err := os.ReadFile(filepath.Join(root, "events", "testdata", fixtures[types[of[0]]][0]+".json"))
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "\n<details><summary>An example</summary>\n\n```json\n%s```\n</details>\n", example)
		}
	}
	return b.String(), nil
}

func table(b *strings.Builder, r record, s schema) {
	fmt.Fprintf(b, "\n| field | type | always there | meaning |\n|---|---|---|---|\n")
	for _, f := range r.fields {
		always := ""
		if slices.Contains(s.Properties.Detail.Required, f.name) || len(s.Properties.Detail.Properties) == 0 {
			always = "yes"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.name, f.kind, always, s.Properties.Detail.Properties[f.name].says(f.comment))
	}
}

func schemaOf(root, detailType string) (file string, s schema, err error) {
	paths, err := filepath.Glob(filepath.Join(root, "events", "schema", "*.json"))
	if err != nil {
		return "", s, err
	}
	for _, path := range paths {
		s = schema{}
		if err := readJSON(path, &s); err != nil {
			return "", s, err
		}
		if s.Properties.DetailType.Const == detailType {
			return filepath.Base(path), s, nil
		}
	}
	return "", s, fmt.Errorf("%s has no schema", detailType)
}

// fixtures are the names of the sample events by detail type.
func fixtures(root string) (map[string][]string, error) {
	paths, err := filepath.Glob(filepath.Join(root, "events", "testdata", "*.json"))
	if err != nil {
		return nil, err
	}
	all := map[string][]string{}
	for _, path := range paths {
		var e struct {
			Type string `json:"detail-type"`
		}
		if err := readJSON(path, &e); err != nil {
			return nil, err
		}
		all[e.Type] = append(all[e.Type], strings.TrimSuffix(filepath.Base(path), ".json"))
	}
	return all, nil
}

// publishers are who publishes an event, by the constant of its type: the
// functions whose code names it, and the state machine itself. The events of
// steps come from the seam that all of them share, hence are found by trying.
func publishers(root string) (map[string][]string, error) {
	by := map[string][]string{}
	err := eachFunction(root, func(step string, files []*ast.File) {
		each(files, func(n ast.Node) {
			if s, ok := n.(*ast.SelectorExpr); ok && last(s.X) == "events" && strings.HasPrefix(s.Sel.Name, "Type") && !slices.Contains(by[s.Sel.Name], step) {
				by[s.Sel.Name] = append(by[s.Sel.Name], step)
			}
		})
	})
	if err != nil {
		return nil, err
	}
	for _, s := range watched() {
		if s.publishes {
			by["TypeStep"] = append(by["TypeStep"], s.name)
		}
	}
	by["TypeStep"] = append(by["TypeStep"], "thaw for the steps in the application's pause")
	if bytes.Contains([]byte(workflow.Snapshot()), []byte(`"DetailType": "Consistent Snapshot Failed"`)) {
		by["TypeFailed"] = append(by["TypeFailed"], "the state machine if tag does not work")
	}
	return by, nil
}
