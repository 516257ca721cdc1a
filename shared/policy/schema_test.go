package policy_test

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

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/quiesce/quiesce/shared/policy"
)

func schema(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile("policy.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

// leaves are a struct's fields by their path in a file.
func leaves(t reflect.Type, path string) (list []string) {
	for t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[policy.Tolerance]() || t == reflect.TypeFor[policy.Age]() {
		return []string{path}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous {
			list = append(list, leaves(f.Type, path)...)
		} else {
			list = append(list, leaves(f.Type, strings.TrimPrefix(path+"."+name, "."))...)
		}
	}
	return list
}

// described are a schema's properties by path, with what each says.
func described(s map[string]any, path string, into map[string]map[string]any) {
	if items, ok := s["items"].(map[string]any); ok && items["properties"] != nil {
		described(items, path, into)
		return
	}
	properties, ok := s["properties"].(map[string]any)
	if !ok {
		into[path] = s
		return
	}
	for name, p := range properties {
		described(p.(map[string]any), strings.TrimPrefix(path+"."+name, "."), into)
	}
}

func TestSchemaAndStructSayTheSame(t *testing.T) {
	s := map[string]map[string]any{}
	described(schema(t), "", s)
	want := leaves(reflect.TypeFor[policy.Document](), "")
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(s)); !slices.Equal(got, want) {
		t.Errorf("the schema has %v\nthe struct has %v", got, want)
	}
	for path, p := range s {
		if d, _ := p["description"].(string); len(d) < 10 {
			t.Errorf("%s has no description for its completion", path)
		}
	}
}

func TestSchemaDefaultsAreTheStructs(t *testing.T) {
	s := map[string]map[string]any{}
	described(schema(t), "", s)
	text, err := json.Marshal(policy.DefaultDocument())
	if err != nil {
		t.Fatal(err)
	}
	defaults, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]any{}
	var walk func(v any, path string)
	walk = func(v any, path string) {
		if m, ok := v.(map[string]any); ok {
			for k, v := range m {
				walk(v, strings.TrimPrefix(path+"."+k, "."))
			}
			return
		}
		written[path] = v
	}
	walk(defaults, "")
	for path, p := range s {
		if got, want := p["default"], written[path]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the schema's default is %v, the struct's %v", path, got, want)
		}
	}
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	if err := c.AddResource("policy.schema.json", schema(t)); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("policy.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	doc, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

func TestReadyPoliciesAreGood(t *testing.T) {
	s := compiled(t)
	files, err := filepath.Glob("../../policies/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("found %v (%v)", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(text, []byte("# yaml-language-server: $schema=../shared/policy/policy.schema.json\n")) {
			t.Errorf("%s does not name the schema for editors", file)
		}
		if err := valid(t, s, text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		d, err := policy.ReadAt(filepath.Base(file), text, now)
		if err != nil {
			t.Error(err)
		}
		if name := strings.TrimSuffix(filepath.Base(file), ".yaml"); d.Name != name {
			t.Errorf("%s has the name %s", file, d.Name)
		}
	}
}

// TestSchemaRefusesWhatReadRefuses holds an editor's opinion against the
// reader's, wherever a schema can have one.
func TestSchemaRefusesWhatReadRefuses(t *testing.T) {
	s := compiled(t)
	for _, tt := range refusals {
		if tt.schema == blind || tt.syntax {
			continue
		}
		if err := valid(t, s, []byte(tt.text)); err == nil {
			t.Errorf("%s: the schema takes it", tt.name)
		}
	}
	for _, text := range accepted {
		if err := valid(t, s, []byte(text)); err != nil {
			t.Errorf("%s\nthe schema refuses it: %v", text, err)
		}
	}
}
