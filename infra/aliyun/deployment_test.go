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
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/verify"
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

// Each flow is given every name that it has a place for, and no other.
func TestFlowsAreGivenTheirFunctions(t *testing.T) {
	for name, of := range map[string]struct {
		text      string
		functions []workflow.Function
		bus       bool
	}{
		"snapshot":        {workflow.Flow(), workflow.FlowFunctions(), true},
		"restore":         {workflow.RestoreFlow(), workflow.RestoreFunctions(), false},
		"janitor":         {workflow.JanitorFlow(), workflow.JanitorFunctions(), true},
		"restore_janitor": {workflow.RestoreJanitorFlow(), workflow.RestoreJanitorFunctions(), true},
		"verify":          {workflow.VerifyFlow(), workflow.VerifyFunctions(), false},
	} {
		given, text := template(t, name)
		for _, f := range of.functions {
			if given[f.Arn] != f.Step {
				t.Errorf("%s: %s is %q, want %s", name, f.Arn, given[f.Arn], f.Step)
			}
			delete(given, f.Arn)
		}
		if _, ok := given[workflow.EventBusName]; ok != of.bus {
			t.Errorf("%s is told the bus: %t", name, ok)
		}
		if delete(given, workflow.EventBusName); len(given) > 0 {
			t.Errorf("%s has no place for %v", name, given)
		}
		if text != of.text {
			t.Errorf("%s: the template is not the definition", name)
		}
		if strings.Contains(of.text, "%{") {
			t.Errorf("%s holds what Terraform takes for a directive", name)
		}
	}
}

// template is what a flow's definition is made of: the substitutions, each with
// the step behind it, and the file.
func template(t *testing.T, name string) (given map[string]string, text string) {
	t.Helper()
	flow := read(t).blocks("resource")[".alicloud_fnf_flow."+name]
	if flow == nil {
		t.Fatalf("there is no flow %s", name)
	}
	call, ok := flow.Body.Attributes["definition"].Expr.(*hclsyntax.FunctionCallExpr)
	if !ok || call.Name != "templatefile" {
		t.Fatalf("%s: the definition is no template", name)
	}
	given = map[string]string{}
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
	path, _ := call.Args[0].Value(&hcl.EvalContext{Variables: map[string]cty.Value{"path": cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal(".")})}})
	file, err := os.ReadFile(path.AsString())
	if err != nil {
		t.Fatal(err)
	}
	return given, string(file)
}

// The function that looks for tests that broke off is told of the flow that there
// is, and a timer starts it.
func TestTestsThatBrokeOffAreLookedFor(t *testing.T) {
	d := read(t)
	name := func(of string) string {
		i := strings.Index(of, "verifier")
		return of[max(0, i-len("local.")) : i+len("verifier")]
	}
	flow, ok := d.blocks("resource")[".alicloud_fnf_flow.verify"].Body.Attributes["name"].Expr.(*hclsyntax.ScopeTraversalExpr)
	if !ok || flow.Traversal.RootName() != "local" || name(string(d.files["functions.tf"])) != "local.verifier" {
		t.Errorf("the flow's name is not the one that the functions are told")
	}
	trigger := d.blocks("resource")[".alicloud_fcv3_trigger.verify_clean"]
	if trigger == nil {
		t.Fatal("nothing starts it")
	}
	if kind, _ := trigger.Body.Attributes["trigger_type"].Expr.Value(nil); kind.AsString() != "timer" {
		t.Errorf("a %s starts it", kind.AsString())
	}
}

// The rules are for events that exist.
func TestRulesAreForEventsThatExist(t *testing.T) {
	text := string(read(t).files["events.tf"])
	for _, want := range []string{`"` + events.Source + `"`, events.TypeFailed, events.TypeDegraded, events.TypeThawFailed, events.TypeTest, string(retention.TestFailed), string(retention.TimedOut), string(verify.NotTested), "ecs:Snapshot:CreateSnapshotCompleted"} {
		if !strings.Contains(text, want) {
			t.Errorf("no rule names %s", want)
		}
	}
	edge, err := os.ReadFile("../../functions/edge/events.go")
	if err != nil || !bytes.Contains(edge, []byte(`"ecs:Snapshot:CreateSnapshotCompleted"`)) {
		t.Errorf("the function does not know the rule's event: %v", err)
	}
}

// Each flow may call what it calls, and nothing else.
func TestFlowsMayCallTheirFunctions(t *testing.T) {
	calls := read(t).local(t, "calls").AsValueMap()
	for name, functions := range map[string][]workflow.Function{
		"snapshot": workflow.FlowFunctions(), "restore": workflow.RestoreFunctions(), "verify": workflow.VerifyFunctions(),
		"janitor": workflow.JanitorFunctions(), "restore-janitor": workflow.RestoreJanitorFunctions(),
	} {
		var got, want []string
		for _, v := range calls[name].AsValueSlice() {
			got = append(got, v.AsString())
		}
		for _, f := range functions {
			want = append(want, f.Step)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s may call %v, and calls %v", name, got, want)
		}
		delete(calls, name)
	}
	if len(calls) > 0 {
		t.Errorf("there is no flow of %v", calls)
	}
}

// The sweep's timer comes each minute, and nobody tries a minute's sweep again.
func TestTheSweepIsDeployed(t *testing.T) {
	d := read(t)
	resources := d.blocks("resource")
	files := string(d.files["functions.tf"])
	for _, kind := range []string{".alicloud_fcv3_trigger.sweep", ".alicloud_fcv3_async_invoke_config.sweep"} {
		if resources[kind] == nil {
			t.Fatalf("there is no %s", kind)
		}
	}
	trigger := resources[".alicloud_fcv3_trigger.sweep"]
	text := files[trigger.Range().Start.Byte:trigger.Body.EndRange.End.Byte]
	if !strings.Contains(text, `"@every 1m"`) || !strings.Contains(text, `"timer"`) {
		t.Errorf("the trigger is %s", text)
	}
	again, problems := resources[".alicloud_fcv3_async_invoke_config.sweep"].Body.Attributes["max_async_retry_attempts"].Expr.Value(nil)
	if n, _ := again.AsBigFloat().Int64(); problems.HasErrors() || n != 0 {
		t.Errorf("a sweep is tried %d times more, %v", n, problems)
	}
	if resources[".alicloud_cms_alarm.unswept"] == nil {
		t.Error("no alarm tells that nobody sweeps")
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
