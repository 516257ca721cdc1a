package awscloud

import (
	"reflect"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

func TestDocumentOfTheUser(t *testing.T) {
	const content = `{\"schemaVersion\":\"2.2\",\"parameters\":{\"command\":{\"type\":\"String\",\"default\":\"dry-run\",\"allowedValues\":[\"pre-script\",\"post-script\"]},` +
		`\"executionId\":{\"type\":\"String\",\"allowedPattern\":\"^None$\"}}}`
	p, w := against(inTurn(
		response{body: `{"Name":"Ledger","DocumentType":"Command","Content":"` + content + `"}`},
		response{body: `{"Name":"Ledger","DocumentType":"Automation","Content":"{}"}`},
		response{body: `{"Name":"Ledger","DocumentType":"Command","Content":"schemaVersion: 2.2"}`},
		denial(400, "InvalidDocument"), denial(400, "AccessDeniedException"),
	))
	want := cloud.Document{Command: true, Parameters: map[string]cloud.Parameter{
		"command":     {Allowed: []string{"pre-script", "post-script"}, Optional: true},
		"executionId": {Pattern: "^None$"},
	}}
	if got, err := p.Document(t.Context(), "Ledger"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if asked := w.seen[0]; asked.action != "GetDocument" || !reflect.DeepEqual(asked.doc, map[string]any{"Name": "Ledger", "DocumentFormat": "JSON"}) {
		t.Errorf("asked %s %v", asked.action, asked.doc)
	}
	if got, err := p.Document(t.Context(), "Ledger"); err != nil || got.Command {
		t.Errorf("an automation: got %+v, %v", got, err)
	}
	for _, want := range []fault.Code{fault.CommandFailed, fault.CommandFailed, fault.AccessDenied} {
		_, err := p.Document(t.Context(), "Ledger")
		if wantCode(t, err, want); want == fault.AccessDenied && !strings.Contains(err.Error(), DocumentTag) {
			t.Errorf("%v does not name the tag", err)
		}
	}
}

func TestSendDocument(t *testing.T) {
	p, w := against(inTurn(response{body: `{"Command":{"CommandId":"c1"}}`}))
	id, err := p.SendDocument(t.Context(), cloud.DocumentCommand{
		InstanceID: "i-0a", Document: "Ledger", Parameters: map[string]string{"command": "pre-script"}, DeliverySecs: 5, Comment: strings.Repeat("c", 120),
	})
	if err != nil || id != "c1" {
		t.Fatalf("got %q, %v", id, err)
	}
	want := map[string]any{
		"DocumentName": "Ledger", "InstanceIds": []any{"i-0a"}, "TimeoutSeconds": 30.0, "Comment": strings.Repeat("c", 100),
		"Parameters": map[string]any{"command": []any{"pre-script"}},
	}
	if got := w.seen[0].doc; !reflect.DeepEqual(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
}
