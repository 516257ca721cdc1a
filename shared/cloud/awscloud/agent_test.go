package awscloud

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

func TestPing(t *testing.T) {
	p, w := against(inTurn(
		response{body: `{"InstanceInformationList":[{"InstanceId":"i-0a","PingStatus":"Online","LastPingDateTime":1772337600.5,"PlatformType":"Linux"}]}`},
		response{body: `{"InstanceInformationList":[{"InstanceId":"i-0a","PingStatus":"ConnectionLost","LastPingDateTime":1772337600,"PlatformType":"Windows"}]}`},
		response{body: `{"InstanceInformationList":[]}`},
		denial(400, "InvalidInstanceId"),
	))
	at := time.Unix(1772337600, 0).UTC()
	for _, want := range []cloud.Ping{{Online: true, Last: at.Add(500 * time.Millisecond), Linux: true}, {Last: at}, {}, {}} {
		got, err := p.Ping(t.Context(), "i-0a")
		if err != nil || got.Online != want.Online || got.Linux != want.Linux || !got.Last.Equal(want.Last) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	want := map[string]any{"Filters": []any{map[string]any{"Key": "InstanceIds", "Values": []any{"i-0a"}}}}
	if got := w.seen[0].doc; !reflect.DeepEqual(got, want) {
		t.Errorf("asked %v, want %v", got, want)
	}
}

func TestSend(t *testing.T) {
	p, w := against(inTurn(response{body: `{"Command":{"CommandId":"c1"}}`}))
	request := []byte(`{"runId":"it's; $(reboot)"}`)
	id, err := p.Send(t.Context(), cloud.Command{
		InstanceID: "i-0a", Verb: "freeze", Request: request, Asset: cloud.Asset{SHA256: "ab", URL: "https://b/k?x=1&y='"},
		DeliverySecs: 5, ExecutionSecs: 90, Comment: strings.Repeat("c", 120),
	})
	if err != nil || id != "c1" {
		t.Fatalf("got %q, %v", id, err)
	}
	want := map[string]any{
		"DocumentName": "Quiesce", "DocumentHash": testOptions.DocumentHash, "DocumentHashType": "Sha256",
		"InstanceIds": []any{"i-0a"}, "TimeoutSeconds": 30.0, "Comment": strings.Repeat("c", 100),
		"Parameters": map[string]any{
			"Verb": []any{"freeze"}, "Request": []any{base64.StdEncoding.EncodeToString(request)}, "Sha256": []any{"ab"},
			"Url": []any{base64.StdEncoding.EncodeToString([]byte("https://b/k?x=1&y='"))}, "ExecutionTimeout": []any{"90"},
		},
	}
	if got := w.seen[0].doc; !reflect.DeepEqual(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
	if _, err := p.Send(t.Context(), cloud.Command{InstanceID: "i-0a", Verb: "thaw", ExecutionSecs: 1, DeliverySecs: 60}); err != nil {
		t.Fatal(err)
	}
	parameters := w.seen[1].doc["Parameters"].(map[string]any)
	if _, given := parameters["Url"]; given || parameters["ExecutionTimeout"].([]any)[0] != "5" || w.seen[1].doc["TimeoutSeconds"] != 60.0 {
		t.Errorf("sent %v", w.seen[1].doc)
	}
}

func TestSendFails(t *testing.T) {
	for code, want := range map[string]fault.Code{
		"InvalidInstanceId":                         fault.AgentOffline,
		"AccessDeniedException":                     fault.AccessDenied,
		"InvalidDocument":                           fault.CommandFailed,
		"InvalidParameters":                         fault.CommandFailed,
		"com.amazonaws.ssm#UnsupportedPlatformType": fault.CommandFailed,
	} {
		p, w := against(inTurn(denial(400, code)))
		_, err := p.Send(t.Context(), cloud.Command{InstanceID: "i-0a", Verb: "thaw"})
		wantCode(t, err, want)
		if len(w.seen) != 1 {
			t.Errorf("%s: got %d attempts, want 1", code, len(w.seen))
		}
	}
	p, w := against(nil)
	p.options.Document = ""
	_, err := p.Send(t.Context(), cloud.Command{InstanceID: "i-0a", Verb: "thaw"})
	if wantCode(t, err, fault.Internal); len(w.seen) > 0 {
		t.Error("it sent a command without a document")
	}
}

func TestResult(t *testing.T) {
	invocation := func(status, details, code string) response {
		return response{body: `{"CommandId":"c1","Status":"` + status + `","StatusDetails":"` + details + `","ResponseCode":` + code +
			`,"StandardOutputContent":"out","StandardErrorContent":"err"}`}
	}
	result := func(done bool, status string, code int, timedOut bool) cloud.Result {
		return cloud.Result{Done: done, Status: status, ExitCode: code, TimedOut: timedOut, Stdout: "out", Stderr: "err"}
	}
	for name, c := range map[string]struct {
		answer response
		want   cloud.Result
	}{
		"not known yet":       {denial(400, "InvocationDoesNotExist"), cloud.Result{Status: "Pending", ExitCode: -1}},
		"pending":             {invocation("Pending", "Pending", "-1"), result(false, "Pending", -1, false)},
		"running":             {invocation("InProgress", "In Progress", "-1"), result(false, "InProgress", -1, false)},
		"delayed":             {invocation("Delayed", "Delayed", "-1"), result(false, "Delayed", -1, false)},
		"cancelling":          {invocation("Cancelling", "Cancelling", "-1"), result(false, "Cancelling", -1, false)},
		"success":             {invocation("Success", "Success", "0"), result(true, "Success", 0, false)},
		"exit code":           {invocation("Failed", "Failed", "203"), result(true, "Failed", 203, false)},
		"never delivered":     {invocation("TimedOut", "Delivery Timed Out", "-1"), result(true, "DeliveryTimedOut", -1, true)},
		"the same, unspaced":  {invocation("TimedOut", "DeliveryTimedOut", "-1"), result(true, "DeliveryTimedOut", -1, true)},
		"killed":              {invocation("TimedOut", "Execution Timed Out", "137"), result(true, "ExecutionTimedOut", 137, true)},
		"undeliverable":       {invocation("Failed", "Undeliverable", "-1"), result(true, "Undeliverable", -1, true)},
		"terminated":          {invocation("Failed", "Terminated", "-1"), result(true, "Terminated", -1, true)},
		"not for Linux":       {invocation("Failed", "InvalidPlatform", "-1"), result(true, "InvalidPlatform", -1, false)},
		"cancelled":           {invocation("Cancelled", "Cancelled", "137"), result(true, "Cancelled", 137, true)},
		"details are missing": {invocation("Success", "", "0"), result(true, "Success", 0, false)},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.Running = name == "running" || name == "cancelling"
			p, w := against(inTurn(c.answer))
			got, err := p.Result(t.Context(), "i-0a", "c1")
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
			if len(w.seen) != 1 {
				t.Errorf("got %d calls, want 1", len(w.seen))
			}
		})
	}
}

func TestCancel(t *testing.T) {
	p, w := against(inTurn(response{body: `{}`}))
	if err := p.Cancel(t.Context(), "i-0a", "c1"); err != nil {
		t.Fatal(err)
	}
	if got, want := w.seen[0].doc, (map[string]any{"CommandId": "c1", "InstanceIds": []any{"i-0a"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("asked %v, want %v", got, want)
	}
}
