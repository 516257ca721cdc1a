package events_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/aws/bus"
)

// kinds is each detail type with its struct and its schema.
var kinds = map[string]struct {
	detail any
	schema string
}{
	events.TypeStep:       {events.Step{}, "step.json"},
	events.TypeCompleted:  {events.Outcome{}, "completed.json"},
	events.TypeDegraded:   {events.Outcome{}, "degraded.json"},
	events.TypeFailed:     {events.Outcome{}, "failed.json"},
	events.TypeThawFailed: {events.Thaw{}, "thaw-failed.json"},
	events.TypeFleet:      {events.Fleet{}, "fleet-report.json"},
	events.TypeRetention:  {events.Retention{}, "retention-report.json"},
	events.TypeCuration:   {events.Curation{}, "curation-report.json"},
	events.TypeTest:       {events.Test{}, "restore-test.json"},
	events.TypeRestored:   {events.Restore{}, "restored.json"},
	events.TypeUnrestored: {events.Restore{}, "restore-failed.json"},
}

// envelope is an event as a subscriber gets it.
type envelope struct {
	Type   string          `json:"detail-type"`
	Detail json.RawMessage `json:"detail"`
}

func fixtures(t *testing.T) map[string][]byte { return files(t, "testdata") }

func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %v, %v", dir, paths, err)
	}
	all := map[string][]byte{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(path), ".json")] = data
	}
	return all
}

func kindOf(t *testing.T, fixture []byte) (e envelope) {
	t.Helper()
	if err := json.Unmarshal(fixture, &e); err != nil {
		t.Fatal(err)
	}
	if _, known := kinds[e.Type]; !known {
		t.Fatalf("no struct for %q", e.Type)
	}
	return e
}

func TestFixturesRoundTrip(t *testing.T) {
	covered := map[string]bool{}
	for name, fixture := range fixtures(t) {
		e := kindOf(t, fixture)
		covered[e.Type] = true
		into := reflect.New(reflect.TypeOf(kinds[e.Type].detail))
		d := json.NewDecoder(bytes.NewReader(e.Detail))
		d.DisallowUnknownFields()
		if err := d.Decode(into.Interface()); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := json.Marshal(into.Interface())
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		if err := json.Compact(&want, e.Detail); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s: got %s, want %s", name, got, want.Bytes())
		}
	}
	for kind := range kinds {
		if !covered[kind] {
			t.Errorf("%s has no fixture", kind)
		}
	}
}

func compile(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	const base = "https://github.com/quiesce/quiesce/events/schema/"
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for name, data := range files(t, "schema") {
		if err := c.AddResource(base+name+".json", decode(t, data)); err != nil {
			t.Fatal(err)
		}
	}
	all := map[string]*jsonschema.Schema{}
	for kind, k := range kinds {
		s, err := c.Compile(base + k.schema)
		if err != nil {
			t.Fatal(err)
		}
		all[kind] = s
	}
	return all
}

func decode(t *testing.T, data []byte) map[string]any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

// A fixture is an event of its own schema and of no other.
func TestFixturesAgainstSchemas(t *testing.T) {
	schemas := compile(t)
	for name, fixture := range fixtures(t) {
		own := kindOf(t, fixture).Type
		for kind, schema := range schemas {
			err := schema.Validate(decode(t, fixture))
			if kind == own && err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if kind != own && err == nil {
				t.Errorf("%s passes for a %s", name, kind)
			}
		}
	}
}

func TestSchemasRefuse(t *testing.T) {
	schemas, all := compile(t), fixtures(t)
	for name, c := range map[string]struct {
		fixture string
		spoil   func(event, detail map[string]any)
	}{
		"another source":                {"completed", func(e, _ map[string]any) { e["source"] = "aws.ec2" }},
		"no time":                       {"completed", func(e, _ map[string]any) { delete(e, "time") }},
		"no run":                        {"completed", func(_, d map[string]any) { delete(d, "runId") }},
		"another cloud":                 {"step-failed", func(_, d map[string]any) { d["provider"] = "azure" }},
		"an unknown step":               {"step-succeeded", func(_, d map[string]any) { d["step"] = "lock" }},
		"an unknown status":             {"step-succeeded", func(_, d map[string]any) { d["status"] = "skipped" }},
		"a failed step with no code":    {"step-failed", func(_, d map[string]any) { delete(d, "code") }},
		"a good step with a code":       {"step-succeeded", func(_, d map[string]any) { d["code"] = "Internal" }},
		"a time of day":                 {"step-succeeded", func(_, d map[string]any) { d["startedAt"] = "04:00" }},
		"a sentence for a code":         {"failed-clean", func(_, d map[string]any) { d["code"] = "it failed" }},
		"completed with no set":         {"completed", func(_, d map[string]any) { delete(d, "snapshotIds") }},
		"completed but dirty":           {"completed", func(_, d map[string]any) { d["outcome"] = "failed-dirty" }},
		"degraded to the highest":       {"degraded", func(_, d map[string]any) { d["consistency"] = "application" }},
		"degraded from nothing":         {"degraded", func(_, d map[string]any) { delete(d, "asked") }},
		"an unknown consistency":        {"failed-dirty", func(_, d map[string]any) { d["consistency"] = "good" }},
		"negative time":                 {"failed-clean", func(_, d map[string]any) { d["frozenMs"] = -1 }},
		"no reason":                     {"failed-clean", func(_, d map[string]any) { d["reason"] = "" }},
		"no next move":                  {"thaw-failed", func(_, d map[string]any) { delete(d, "nextMove") }},
		"a fleet of another end":        {"fleet-with-errors", func(_, d map[string]any) { d["outcome"] = "so-so" }},
		"a fleet of minus one":          {"fleet-with-errors", func(_, d map[string]any) { d["failed"] = -1 }},
		"a nameless failure":            {"fleet-with-errors", func(_, d map[string]any) { d["failures"] = []any{map[string]any{"error": "E"}} }},
		"a set of another fate":         {"retention-report", func(_, d map[string]any) { d["lines"].([]any)[0].(map[string]any)["fate"] = "lost" }},
		"a set without a reason":        {"retention-report", func(_, d map[string]any) { d["lines"].([]any)[0].(map[string]any)["why"] = "" }},
		"minus one set":                 {"retention-report", func(_, d map[string]any) { d["deleted"] = -1 }},
		"a test of another verdict":     {"restore-test-successful", func(_, d map[string]any) { d["verdict"] = "PASSED" }},
		"a success without seconds":     {"restore-test-successful", func(_, d map[string]any) { d["recoverySeconds"] = 0 }},
		"a success with problems":       {"restore-test-successful", func(_, d map[string]any) { d["problems"] = []any{"a hole"} }},
		"a failure without a code":      {"restore-test-failed", func(_, d map[string]any) { delete(d, "code") }},
		"a test that lists nothing":     {"restore-test-failed", func(_, d map[string]any) { delete(d, "left") }},
		"restored and dirty":            {"restored", func(_, d map[string]any) { d["outcome"] = "failed-dirty" }},
		"a restore of another mode":     {"restored", func(_, d map[string]any) { d["mode"] = "sideways" }},
		"a restore that lists none":     {"restored", func(_, d map[string]any) { delete(d, "created") }},
		"a failed restore without code": {"restore-refused", func(_, d map[string]any) { delete(d, "code") }},
		"another action":                {"restore-broken-off", func(_, d map[string]any) { d["action"] = "undo" }},
		"a deed that is none":           {"curation-report", func(_, d map[string]any) { d["lines"].([]any)[0].(map[string]any)["what"] = "blessed" }},
		"a deed without a reason":       {"curation-report", func(_, d map[string]any) { d["lines"].([]any)[0].(map[string]any)["reason"] = "" }},
		"a mount that is no path":       {"thaw-failed", func(_, d map[string]any) { d["mounts"] = []any{"data"} }},
	} {
		event := decode(t, all[c.fixture])
		c.spoil(event, event["detail"].(map[string]any))
		if schemas[kindOf(t, all[c.fixture]).Type].Validate(event) == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// The schemas are open, for subscribers to outlive new fields; that every
// field of a struct is in its schema, and no other, is shown here.
func TestSchemasNameTheFields(t *testing.T) {
	type properties struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	details := func(file string) (names []string) {
		data, err := os.ReadFile("schema/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var schema struct {
			Properties struct{ Detail properties }
		}
		if err := json.Unmarshal(data, &schema); err != nil {
			t.Fatal(err)
		}
		return slices.Collect(maps.Keys(schema.Properties.Detail.Properties))
	}
	common := details("envelope.json")
	for kind, k := range kinds {
		var want []string
		for _, f := range reflect.VisibleFields(reflect.TypeOf(k.detail)) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
				want = append(want, name)
			}
		}
		got := append(details(k.schema), common...)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the schema has %v, the struct %v", kind, got, want)
		}
	}
}

func TestRules(t *testing.T) {
	rules, all := files(t, "rules"), fixtures(t)
	for name, want := range map[string][]string{
		"act-now":       {"thaw-failed"},
		"failed":        {"failed-clean", "failed-dirty"},
		"failed-dirty":  {"failed-dirty"},
		"not-as-asked":  {"degraded", "failed-clean", "failed-dirty"},
		"restorable":    {"completed"},
		"long-pause":    {"completed"},
		"step-failed":   {"step-failed", "step-lost"},
		"fleet":         {"fleet-with-errors", "group-completed"},
		"orphans":       {"retention-report"},
		"not-curated":   {"curation-report"},
		"not-restored":  {"restore-test-failed", "restore-test-not-tested"},
		"restore-dirty": {"restore-broken-off"},
	} {
		rule, ok := rules[name]
		if !ok {
			t.Errorf("there is no rule %s", name)
			continue
		}
		delete(rules, name)
		pattern, err := bus.ParsePattern(rule)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for fixture, event := range all {
			if pattern.Match(event) {
				got = append(got, fixture)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	for name := range rules {
		t.Errorf("rule %s is not tested", name)
	}
}
