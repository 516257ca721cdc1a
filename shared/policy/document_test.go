package policy_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
)

func TestDocumentTravelsAsJSON(t *testing.T) {
	var d policy.Document
	text := `{"$schema":"x","name":"db","targets":{"tags":{"a":"b"}},"maxErrors":"5%","application":{"retries":2},"retention":{"within":"1y6m","daily":7}}`
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	if d.Name != "db" || d.Targets.Tags["a"] != "b" || d.MaxErrors != (policy.Tolerance{Value: 5, Percent: true}) || d.Application.Retries != 2 {
		t.Errorf("got %+v", d)
	}
	if d.Freeze.DeadlineSeconds != 60 || d.StartLateMinutes != 60 || d.OptIn.Value != "true" || d.GroupBudgetSeconds != 30 {
		t.Errorf("defaults are missing: %+v", d)
	}
	out, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var again policy.Document
	if err := json.Unmarshal(out, &again); err != nil || !reflect.DeepEqual(d, again) {
		t.Errorf("got %+v, want %+v (%v)", again, d, err)
	}
	if err := json.Unmarshal([]byte(`{"target":{}}`), &d); err == nil || !strings.Contains(err.Error(), `"target"`) {
		t.Errorf("an unknown field was taken: %v", err)
	}
}

func TestTolerance(t *testing.T) {
	for text, want := range map[string]struct{ of10, of10000 int }{
		`0`: {0, 0}, `5`: {5, 5}, `"5%"`: {0, 500}, `"100%"`: {10, 10000}, `"3"`: {3, 3},
	} {
		var got policy.Tolerance
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if got.Of(10) != want.of10 || got.Of(10000) != want.of10000 {
			t.Errorf("%s: got %d of 10 and %d of 10000, want %+v", text, got.Of(10), got.Of(10000), want)
		}
	}
	for _, text := range []string{`-1`, `"x"`, `5.5`, `"%"`, `null`, `[]`} {
		if err := json.Unmarshal([]byte(text), new(policy.Tolerance)); err == nil && text != `null` {
			t.Errorf("%s was taken", text)
		}
	}
}

func TestDocumentCheckTellsEveryFieldWithoutAFile(t *testing.T) {
	d := policy.DefaultDocument()
	if err := d.Check(now); err != nil {
		t.Error(err)
	}
	d.MaxConcurrency, d.StartLateMinutes = -1, 0
	err := d.Check(now)
	if want := "maxConcurrency: wants 0-10000, got -1\nstartLateMinutes: wants 1-1440, got 0"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if fault.CodeOf(err) != fault.InvalidInput {
		t.Errorf("got the code %s", fault.CodeOf(err))
	}
}
