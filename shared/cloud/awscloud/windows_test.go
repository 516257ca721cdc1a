package awscloud

import (
	"encoding/base64"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/shadow"
)

// The document that must not run twice is sent once, whatever became of the
// answer, and only an answer that says no says that nothing runs.
func TestSendOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer response
		want   fault.Code
	}{
		{"sent", response{body: `{"Command":{"CommandId":"c1"}}`}, ""},
		{"the answer is lost", response{err: errReset}, fault.CommandUnknown},
		{"the service broke", response{status: 500, body: `{"__type":"InternalServerError"}`}, fault.CommandUnknown},
		{"it is busy", response{status: 503, body: `{"__type":"ServiceUnavailable"}`}, fault.CommandUnknown},
		{"it refuses for the rate", denial(400, "ThrottlingException"), fault.Throttled},
		{"no right", denial(400, "AccessDeniedException"), fault.AccessDenied},
		{"no agent", denial(400, "InvalidInstanceId"), fault.AgentOffline},
		{"no document", denial(400, "InvalidDocument"), fault.CommandFailed},
		{"another platform", denial(400, "UnsupportedPlatformType"), fault.CommandFailed},
		{"a parameter that it does not take", denial(400, "InvalidParameters"), fault.CommandFailed},
	} {
		p, w := against(inTurn(c.answer))
		id, err := p.SendOnce(t.Context(), cloud.DocumentCommand{
			InstanceID: "i-0a", Document: "AWSEC2-VssInstallAndSnapshot", Parameters: map[string]string{"tags": "Key=a,Value=b"}, DeliverySecs: 60, Comment: "quiesce vss 0 run-1",
		})
		if wantCode(t, err, c.want); c.want == "" && id != "c1" {
			t.Errorf("%s: got %q", c.name, id)
		}
		if len(w.seen) != 1 {
			t.Errorf("%s: %d calls", c.name, len(w.seen))
		}
		want := map[string]any{
			"DocumentName": "AWSEC2-VssInstallAndSnapshot", "InstanceIds": []any{"i-0a"}, "TimeoutSeconds": 60.0, "Comment": "quiesce vss 0 run-1",
			"Parameters": map[string]any{"tags": []any{"Key=a,Value=b"}},
		}
		if got := w.seen[0].doc; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: sent %v", c.name, got)
		}
	}
}

func TestFindCommand(t *testing.T) {
	p, w := against(inTurn(
		response{body: `{"Commands":[{"CommandId":"c1","Comment":"quiesce vss 0 run-10"}],"NextToken":"2"}`},
		response{body: `{"Commands":[{"CommandId":"c2","Comment":"quiesce vss 0 run-1"}]}`},
		response{body: `{"Commands":[]}`},
		denial(400, "AccessDeniedException"),
	))
	since := time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)
	for _, want := range []struct {
		id   string
		code fault.Code
	}{{"c2", ""}, {"", ""}, {"", fault.AccessDenied}} {
		id, err := p.FindCommand(t.Context(), "i-0a", "quiesce vss 0 run-1", since)
		if wantCode(t, err, want.code); id != want.id {
			t.Errorf("got %q, want %q", id, want.id)
		}
	}
	if got, want := w.seen[0].doc["Filters"], []any{map[string]any{"key": "InvokedAfter", "value": "2026-03-01T04:00:00Z"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("asked for %v", got)
	}
}

func TestInvocation(t *testing.T) {
	const steps = `"CommandPlugins":[{"Name":"a","Status":"Success","ResponseCode":0,"Output":"x"},{"Name":"CreateVssSnapshot","Status":"Failed","ResponseCode":1,"Output":"y"}]`
	both := []cloud.StepResult{{Name: "a", Status: "Success", Output: "x"}, {Name: "CreateVssSnapshot", Status: "Failed", ExitCode: 1, Output: "y"}}
	for _, c := range []struct {
		answer response
		want   cloud.Invocation
		code   fault.Code
	}{
		{response{body: `{"CommandInvocations":[{"Status":"InProgress","StatusDetails":"InProgress"}]}`}, cloud.Invocation{Status: "InProgress"}, ""},
		{response{body: `{"CommandInvocations":[{"Status":"Failed","StatusDetails":"Failed",` + steps + `}]}`}, cloud.Invocation{Done: true, Status: "Failed", Steps: both}, ""},
		{response{body: `{"CommandInvocations":[{"Status":"TimedOut","StatusDetails":"Delivery Timed Out"}]}`}, cloud.Invocation{Done: true, Status: "DeliveryTimedOut"}, ""},
		{response{body: `{"CommandInvocations":[{"Status":"TimedOut","StatusDetails":"ExecutionTimedOut"}]}`}, cloud.Invocation{Done: true, Status: "ExecutionTimedOut"}, ""},
		{response{body: `{"CommandInvocations":[{"Status":"Failed","StatusDetails":"Undeliverable"}]}`}, cloud.Invocation{Done: true, Status: "Undeliverable"}, ""},
		{response{body: `{"CommandInvocations":[{"Status":"Success"}]}`}, cloud.Invocation{Done: true, Status: "Success"}, ""},
		{response{body: `{"CommandInvocations":[]}`}, cloud.Invocation{Status: "Pending"}, ""},
		{denial(400, "InvalidCommandId"), cloud.Invocation{Status: "Pending"}, ""},
		{denial(400, "AccessDeniedException"), cloud.Invocation{}, fault.AccessDenied},
	} {
		p, w := against(inTurn(c.answer))
		got, err := p.Invocation(t.Context(), "i-0a", "c1")
		if wantCode(t, err, c.code); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.answer.body, got, c.want)
		}
		if want := map[string]any{"CommandId": "c1", "InstanceId": "i-0a", "Details": true}; !reflect.DeepEqual(w.seen[0].doc, want) {
			t.Errorf("asked %v", w.seen[0].doc)
		}
	}
}

func TestSendShadow(t *testing.T) {
	p, w := against(inTurn(response{body: `{"Command":{"CommandId":"c1"}}`}))
	p.options.Shadow, p.options.ShadowHash = "Quiesce-Shadow", strings.Repeat("e", 64)
	request := []byte(`{"runId":"'; Restart-Computer"}`)
	if _, err := p.SendShadow(t.Context(), cloud.ShadowCommand{InstanceID: "i-0a", Request: request, ExecutionSecs: 600, Comment: "c"}); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"DocumentName": "Quiesce-Shadow", "DocumentHash": strings.Repeat("e", 64), "DocumentHashType": "Sha256", "InstanceIds": []any{"i-0a"}, "TimeoutSeconds": 30.0, "Comment": "c",
		"Parameters": map[string]any{"Request": []any{base64.StdEncoding.EncodeToString(request)}, "ExecutionTimeout": []any{"600"}},
	}
	if got := w.seen[0].doc; !reflect.DeepEqual(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
	p, _ = against(inTurn(response{}))
	_, err := p.SendShadow(t.Context(), cloud.ShadowCommand{InstanceID: "i-0a"})
	wantCode(t, err, fault.Internal)
}

// One parameter stands in the PowerShell, once, between quotes that its pattern
// holds no character against; and every exit code that the scripts end with is
// known to who reads it.
func TestWindowsDocuments(t *testing.T) {
	reference := regexp.MustCompile(`\{\{[^}]*\}\}`)
	exits := regexp.MustCompile(`Fail (\d+)`)
	seen := map[string]bool{}
	for name, d := range map[string]struct{ text, script string }{
		"shadow": {ShadowDocument(), ShadowScript()}, "revert": {RevertDocument(), RevertScript()},
	} {
		var doc parsed
		if err := yaml.Unmarshal([]byte(d.text), &doc); err != nil {
			t.Fatal(err)
		}
		if doc.SchemaVersion != "2.2" || len(doc.MainSteps) != 1 || doc.MainSteps[0].Action != "aws:runPowerShellScript" ||
			!reflect.DeepEqual(doc.MainSteps[0].Precondition, map[string][]string{"StringEquals": {"platformType", "Windows"}}) {
			t.Errorf("%s: %+v", name, doc)
		}
		if got := strings.TrimRight(strings.Join(doc.MainSteps[0].Inputs.RunCommand, "\n"), "\n"); got != strings.TrimRight(d.script, "\n") {
			t.Errorf("%s: the document says other than the script:\n%s", name, got)
		}
		if got := reference.FindAllString(d.script, -1); !slices.Equal(got, []string{"{{ Request }}"}) || !strings.Contains(d.script, "Read-Request '{{ Request }}'") {
			t.Errorf("%s: the parameters in its text are %v", name, got)
		}
		pattern := regexp.MustCompile(doc.Parameters["Request"].AllowedPattern)
		for _, bad := range []string{"", "a'b", "a`b", "a$b", "a\nb", "a;b", "a b", `a"b`, "a{{b", "abc=\n"} {
			if pattern.MatchString(bad) {
				t.Errorf("%s: the pattern allows %q", name, bad)
			}
		}
		if !pattern.MatchString(base64.StdEncoding.EncodeToString([]byte(`{"verb":"make"}`))) {
			t.Errorf("%s: the pattern refuses base64", name)
		}
		for _, m := range exits.FindAllStringSubmatch(d.script, -1) {
			seen[m[1]] = true
		}
		if strings.Contains(d.script, "Invoke-Expression") || strings.Contains(d.script, "iex ") {
			t.Errorf("%s makes code of text", name)
		}
		if len(d.text) > 64<<10 {
			t.Errorf("%s has %d bytes, of 64 KiB that a document may have", name, len(d.text))
		}
	}
	for exit := range shadow.Codes {
		if text := "22" + string(rune('0'+exit-220)); !seen[text] {
			t.Errorf("no script ends with %d", exit)
		}
		delete(seen, "22"+string(rune('0'+exit-220)))
	}
	for exit := range seen {
		t.Errorf("a script ends with %s, which nobody knows", exit)
	}
}
