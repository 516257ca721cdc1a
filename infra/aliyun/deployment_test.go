package aliyun_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/zclconf/go-cty/cty"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/workflow"
)

func TestEveryFunctionIsDeployed(t *testing.T) {
	d := read(t)
	want := slices.Sorted(slices.Values(functions.FlowNames))
	timeouts := d.local(t, "timeouts").AsValueMap()
	if got := slices.Sorted(maps.Keys(timeouts)); !slices.Equal(got, want) {
		t.Errorf("timeouts are of %v, the functions are %v", got, want)
	}
	if got := slices.Sorted(maps.Keys(d.local(t, "rights").AsValueMap())); !slices.Equal(got, want) {
		t.Errorf("rights are of %v, the functions are %v", got, want)
	}
	for name, v := range timeouts {
		seconds, _ := v.AsBigFloat().Int64()
		if got := time.Duration(seconds) * time.Second; got != functions.Timeouts[name] {
			t.Errorf("%s runs for %v, the code says %v", name, got, functions.Timeouts[name])
		}
	}
}

// The flow is given every name that it has a place for, and no other.
func TestFlowIsGivenItsFunctions(t *testing.T) {
	flow := read(t).blocks("resource")[".alicloud_fnf_flow.snapshot"]
	if flow == nil {
		t.Fatal("there is no flow")
	}
	call, ok := flow.Body.Attributes["definition"].Expr.(*hclsyntax.FunctionCallExpr)
	if !ok || call.Name != "templatefile" {
		t.Fatal("the definition is no template")
	}
	given := map[string]string{}
	for _, item := range call.Args[1].(*hclsyntax.ObjectConsExpr).Items {
		key, _ := item.KeyExpr.Value(nil)
		given[key.AsString()] = ""
		if i, ok := item.ValueExpr.(*hclsyntax.ScopeTraversalExpr); ok {
			for _, step := range i.Traversal {
				if index, ok := step.(hcl.TraverseIndex); ok {
					given[key.AsString()] = index.Key.AsString()
				}
			}
		}
	}
	for _, f := range workflow.FlowFunctions() {
		if given[f.Arn] != f.Step {
			t.Errorf("%s is %q, want %s", f.Arn, given[f.Arn], f.Step)
		}
		delete(given, f.Arn)
	}
	if _, ok := given[workflow.EventBusName]; !ok {
		t.Error("the flow is not told the bus")
	}
	if delete(given, workflow.EventBusName); len(given) > 0 {
		t.Errorf("the flow has no place for %v", given)
	}
	path, _ := call.Args[0].Value(&hcl.EvalContext{Variables: map[string]cty.Value{"path": cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal(".")})}})
	text, err := os.ReadFile(path.AsString())
	if err != nil || string(text) != workflow.Flow() {
		t.Errorf("the template is not the definition: %v", err)
	}
	if strings.Contains(workflow.Flow(), "%{") {
		t.Error("the definition holds what Terraform takes for a directive")
	}
}

// The rules are for events that exist.
func TestRulesAreForEventsThatExist(t *testing.T) {
	text := string(read(t).files["events.tf"])
	for _, want := range []string{`"` + events.Source + `"`, events.TypeFailed, events.TypeDegraded, events.TypeThawFailed, "ecs:Snapshot:CreateSnapshotCompleted"} {
		if !strings.Contains(text, want) {
			t.Errorf("no rule names %s", want)
		}
	}
	edge, err := os.ReadFile("../../functions/edge/events.go")
	if err != nil || !bytes.Contains(edge, []byte(`"ecs:Snapshot:CreateSnapshotCompleted"`)) {
		t.Errorf("the function does not know the rule's event: %v", err)
	}
}

// The environment of a function is what its program reads.
func TestEnvironmentIsRead(t *testing.T) {
	program, err := os.ReadFile("../../functions/fc/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(read(t).files["functions.tf"]), yamlText(t)} {
		names := regexp.MustCompile(`QUIESCE_[A-Z_0-9]+`).FindAllString(text, -1)
		if len(names) < 4 {
			t.Errorf("only %v", names)
		}
		for _, name := range names {
			if !bytes.Contains(program, []byte(`"`+name)) {
				t.Errorf("%s is set, and nobody reads it", name)
			}
		}
	}
}

func yamlText(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("s.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

type packaging struct {
	Vars      map[string]string
	Resources map[string]struct {
		Component string
		Props     map[string]any
	}
}

func packaged(t *testing.T) packaging {
	t.Helper()
	var raw packaging
	if err := yaml.Unmarshal([]byte(yamlText(t)), &raw); err != nil {
		t.Fatal(err)
	}
	text := yamlText(t)
	for name, value := range raw.Vars {
		text = strings.ReplaceAll(text, "${vars."+name+"}", value)
	}
	if strings.Contains(text, "${") {
		t.Error("a variable has no value")
	}
	var whole packaging
	if err := yaml.Unmarshal([]byte(text), &whole); err != nil {
		t.Fatal(err)
	}
	return whole
}

func TestPackagingHasTheFunctions(t *testing.T) {
	found := packaged(t).Resources
	if got, want := slices.Sorted(maps.Keys(found)), slices.Sorted(slices.Values(functions.FlowNames)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for name, r := range found {
		environment, _ := r.Props["environmentVariables"].(map[string]any)
		if r.Component != "fc3" || r.Props["functionName"] != "quiesce-"+name || environment["QUIESCE_STEP"] != name {
			t.Errorf("%s: got %s %v, step %v", name, r.Component, r.Props["functionName"], environment["QUIESCE_STEP"])
		}
		seconds, _ := r.Props["timeout"].(uint64)
		if got := time.Duration(seconds) * time.Second; got != functions.Timeouts[name] {
			t.Errorf("%s runs for %v, the code says %v", name, got, functions.Timeouts[name])
		}
	}
}

// The published schema of the component is no part of the project: where it is
// not beside it, nothing is said.
func TestPackagingFollowsThePublishedSchema(t *testing.T) {
	text, err := os.ReadFile(filepath.FromSlash("../../../shared/schemas/fc3.schema.json"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the schema of fc3 is not at ../shared/schemas/fc3.schema.json beside the repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("fc3.schema.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("fc3.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	check := func(props map[string]any) error {
		text, err := json.Marshal(props)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return compiled.Validate(doc)
	}
	for name, r := range packaged(t).Resources {
		if err := check(r.Props); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for field, wrong := range map[string]any{"runtime": "go9", "diskSize": "much", "functionName": nil} {
			broken := maps.Clone(r.Props)
			if broken[field] = wrong; wrong == nil {
				delete(broken, field)
			}
			if check(broken) == nil {
				t.Errorf("%s: the schema takes %s = %v, so that it shows nothing", name, field, wrong)
			}
		}
	}
}
