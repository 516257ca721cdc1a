package alicloud

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// The request travels as a parameter in base64; the text is the same for every
// command.
func TestSend(t *testing.T) {
	p, w := against(inTurn(response{body: `{"InvokeId":"t-1","CommandId":"c-1"}`}))
	request := []byte(`{"runId":"it's; $(reboot)"}`)
	id, err := p.Send(t.Context(), cloud.Command{
		InstanceID: "i-1", Verb: "freeze", Request: request, Asset: cloud.Asset{SHA256: strings.Repeat("a", 64), URL: "https://b/k?x='"}, ExecutionSecs: 5,
	})
	if err != nil || id != "t-1" {
		t.Fatalf("got %q, %v", id, err)
	}
	q := w.seen[0].URL.Query()
	for name, want := range map[string]string{
		"Action": "RunCommand", "Type": "RunShellScript", "InstanceId.1": "i-1", "Timeout": "10", "EnableParameter": "true",
		"CommandContent": base64.StdEncoding.EncodeToString([]byte(Script())), "ContentEncoding": "Base64",
	} {
		if got := q.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	var parameters map[string]string
	if err := json.Unmarshal([]byte(q.Get("Parameters")), &parameters); err != nil {
		t.Fatal(err)
	}
	if parameters["Request"] != base64.StdEncoding.EncodeToString(request) || parameters["Url"] != base64.StdEncoding.EncodeToString([]byte("https://b/k?x='")) {
		t.Errorf("sent %v", parameters)
	}
	if len(q.Get("ClientToken")) == 0 || len(q.Get("ClientToken")) > 64 {
		t.Errorf("the token is %q", q.Get("ClientToken"))
	}
}

// What does not have its form never becomes a command.
func TestSendRefuses(t *testing.T) {
	good := cloud.Command{InstanceID: "i-1", Verb: "freeze", Asset: cloud.Asset{SHA256: strings.Repeat("a", 64)}}
	for field, spoil := range map[string]func(*cloud.Command){
		"command.verb":         func(c *cloud.Command) { c.Verb = "freeze'; reboot" },
		"command.asset.sha256": func(c *cloud.Command) { c.Asset.SHA256 = "$(reboot)" },
		"command.request":      func(c *cloud.Command) { c.Request = make([]byte, maxContent) },
	} {
		p, w := against(inTurn(response{body: `{}`}))
		cmd := good
		spoil(&cmd)
		_, err := p.Send(t.Context(), cmd)
		wantCode(t, err, fault.InvalidInput)
		if !strings.Contains(err.Error(), field) || len(w.seen) > 0 {
			t.Errorf("got %v and %d calls, want one that names %s and none", err, len(w.seen), field)
		}
	}
}

func TestResult(t *testing.T) {
	for status, want := range map[string]cloud.Result{
		"Pending":    {Status: "Pending", ExitCode: -1},
		"Running":    {Running: true, Status: "Running", ExitCode: -1},
		"Stopping":   {Status: "Stopping", ExitCode: -1},
		"Success":    {Done: true, Status: "Success", Stdout: `{"a":1}`, Stderr: "hello"},
		"Failed":     {Done: true, Status: "Failed", ExitCode: 0, Stdout: `{"a":1}`, Stderr: "hello"},
		"Timeout":    {Done: true, TimedOut: true, Status: "Timeout (ExecutionTimeout)", ExitCode: -1, Stdout: `{"a":1}`, Stderr: "helloExecutionTimeout: too long"},
		"Aborted":    {Done: true, TimedOut: true, Status: "Aborted (ExecutionTimeout)", ExitCode: -1, Stdout: `{"a":1}`, Stderr: "helloExecutionTimeout: too long"},
		"Cancelled":  {Done: true, TimedOut: true, Status: "Cancelled (ExecutionTimeout)", ExitCode: -1, Stdout: `{"a":1}`, Stderr: "helloExecutionTimeout: too long"},
		"Terminated": {Done: true, TimedOut: true, Status: "Terminated (ExecutionTimeout)", ExitCode: -1, Stdout: `{"a":1}`, Stderr: "helloExecutionTimeout: too long"},
	} {
		code := ""
		if want.TimedOut {
			code = "ExecutionTimeout"
		}
		body, _ := json.Marshal(map[string]any{"Invocation": map[string]any{"InvocationResults": map[string]any{"InvocationResult": []any{map[string]any{
			"InstanceId": "i-1", "InvocationStatus": status, "Output": "hello" + Answer(`{"a":1}`), "ErrorCode": code, "ErrorInfo": "too long",
		}}}}})
		p, _ := against(inTurn(response{body: string(body)}))
		got, err := p.Result(t.Context(), "i-1", "t-1")
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", status, got, err, want)
		}
	}
	p, _ := against(inTurn(refused(http.StatusNotFound, "InvalidInvokeId.NotFound")))
	if got, err := p.Result(t.Context(), "i-1", "t-1"); err != nil || got.Done {
		t.Errorf("got %+v, %v of one that is not known yet", got, err)
	}
}

// The text is run by a real shell: the answer of a helper comes back behind its
// mark, with its exit code, whatever it says on standard error.
func TestScript(t *testing.T) {
	home := t.TempDir()
	sum := strings.Repeat("a", 64)
	if err := os.MkdirAll(filepath.Join(home, sum), 0o700); err != nil {
		t.Fatal(err)
	}
	helper := "#!/bin/sh\necho noise >&2\necho \"{\\\"verb\\\":\\\"$1\\\",\\\"request\\\":\\\"$2\\\"}\"\nexit 7\n"
	if err := os.WriteFile(filepath.Join(home, sum, "quiesce-guest"), []byte(helper), 0o700); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("{{Verb}}", "thaw", "{{Request}}", "e30=", "{{Sha256}}", sum, "{{Url}}", "").Replace(Script())
	if strings.Contains(text, "{{") {
		t.Fatalf("a parameter is left: %s", text)
	}
	run := exec.CommandContext(t.Context(), "/bin/sh", "-c", text)
	run.Env = []string{"QUIESCE_HOME=" + home, "PATH=/usr/bin:/bin"}
	output, err := run.CombinedOutput()
	if run.ProcessState.ExitCode() != 7 {
		t.Errorf("got exit code %d, %v", run.ProcessState.ExitCode(), err)
	}
	stdout, stderr := apart(string(output))
	if stdout != `{"verb":"thaw","request":"e30="}` || !strings.Contains(stderr, "noise") {
		t.Errorf("got %q and %q", stdout, stderr)
	}
}
