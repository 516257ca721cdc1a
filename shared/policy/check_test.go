package policy_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
)

// plugged is a policy of mode plugin with a change.
func plugged(with func(*policy.Policy)) func(*policy.Policy) {
	return func(p *policy.Policy) {
		p.Mode, p.RamRole = policy.Plugin, "Snapshotter"
		with(p)
	}
}

func TestCheck(t *testing.T) {
	script := func(pre string) func(*policy.Policy) {
		return func(p *policy.Policy) {
			p.Application.Kind = policy.Script
			p.Application.PreScript, p.Application.PostScript = pre, "/opt/post"
		}
	}
	document := func(name string) func(*policy.Policy) {
		return func(p *policy.Policy) { p.Application.Kind, p.Application.Document = policy.ByDocument, name }
	}
	tests := []struct {
		name  string
		with  func(*policy.Policy)
		field string // empty: allowed
	}{
		{"the default", func(*policy.Policy) {}, ""},
		{"a script", script("/opt/quiesce/pre.sh"), ""},
		{"a relative script", script("pre.sh"), "policy.application.preScript"},
		{"a script with dots", script("/opt/../etc/pre"), "policy.application.preScript"},
		{"a script with a quote", script(`/opt/a"b`), "policy.application.preScript"},
		{"a script with a single quote", script(`/opt/a'b`), "policy.application.preScript"},
		{"a script with a newline", script("/opt/a\nb"), "policy.application.preScript"},
		{"a script with a substitution", script("/opt/$(reboot)"), "policy.application.preScript"},
		{"a script with backticks", script("/opt/`reboot`"), "policy.application.preScript"},
		{"no post-script", func(p *policy.Policy) { script("/a")(p); p.Application.PostScript = "" }, "policy.application.postScript"},
		{"scripts without the kind", func(p *policy.Policy) { p.Application.PreScript = "/a" }, "policy.application.preScript"},
		{"a document", document("Ledger-Quiesce_1.2"), ""},
		{"a document by its ARN", document("arn:aws:ssm:eu-west-1:123456789012:document/Ledger"), ""},
		{"no document", document(""), "policy.application.document"},
		{"a document's name of two letters", document("ab"), "policy.application.document"},
		{"a document with a blank", document("my document"), "policy.application.document"},
		{"a document with a substitution", document("$(reboot)"), "policy.application.document"},
		{"a document with a newline", document("Ledger\n"), "policy.application.document"},
		{"a document without the kind", func(p *policy.Policy) { p.Application.Document = "Ledger" }, "policy.application.document"},
		{"a document, and no freeze", func(p *policy.Policy) { document("Ledger")(p); p.Freeze.Enabled = false }, ""},
		{"a document with retries", func(p *policy.Policy) { document("Ledger")(p); p.Application.Retries = 3 }, ""},
		{"a document with a socket", func(p *policy.Policy) { document("Ledger")(p); p.Application.Socket = "/s" }, "policy.application.socket"},
		{"auto", func(p *policy.Policy) { p.Application.Kind = policy.Auto }, ""},
		{"auto, and no freeze", func(p *policy.Policy) { p.Application.Kind, p.Freeze.Enabled = policy.Auto, false }, "policy.freeze.enabled"},
		{"auto with a mode", func(p *policy.Policy) { p.Application.Kind, p.Application.Mode = policy.Auto, "ftwrl" }, "policy.application.mode"},
		{"auto with a socket", func(p *policy.Policy) { p.Application.Kind, p.Application.Socket = policy.Auto, "/s" }, ""},
		{"vss without a mode for Windows", func(p *policy.Policy) { p.Application.Kind = policy.VSS }, "policy.application.kind"},
		{"vss by AWS's document", func(p *policy.Policy) { p.Mode, p.Application.Kind = policy.ByVSS, policy.VSS }, ""},
		{"AWS's document without writers", func(p *policy.Policy) { p.Mode = policy.ByVSS }, ""},
		{"vss by diskshadow", func(p *policy.Policy) { p.Mode, p.Application.Kind = policy.ByDiskshadow, policy.VSS }, ""},
		{"a variable tag", func(p *policy.Policy) { p.Tags = map[string]string{"a": "$(policy)"} }, ""},
		{"an unknown variable", func(p *policy.Policy) { p.Tags = map[string]string{"a": "$(x)"} }, "policy.tags.a"},
		{"no opt-in tag", func(p *policy.Policy) { p.OptIn.Key = "" }, "policy.optIn.key"},
		{"an unknown kind", func(p *policy.Policy) { p.Application.Kind = "oracle" }, "policy.application.kind"},
		{"a timeout of 9", func(p *policy.Policy) { p.Application.TimeoutSeconds = 9 }, "policy.application.timeoutSeconds"},
		{"a timeout of 10", func(p *policy.Policy) { p.Application.TimeoutSeconds = 10 }, ""},
		{"a timeout of 120", func(p *policy.Policy) { p.Application.TimeoutSeconds = 120 }, ""},
		{"a timeout of 121", func(p *policy.Policy) { p.Application.TimeoutSeconds = 121 }, "policy.application.timeoutSeconds"},
		{"4 retries", func(p *policy.Policy) { p.Application.Retries = 4 }, "policy.application.retries"},
		{"a deadline of 4", func(p *policy.Policy) { p.Freeze.DeadlineSeconds = 4 }, "policy.freeze.deadlineSeconds"},
		{"a relative mount", func(p *policy.Policy) { p.Freeze.Mounts = []string{"/data", "log"} }, "policy.freeze.mounts[1]"},
		{"a mount with a substitution", func(p *policy.Policy) { p.Freeze.Mounts = []string{"/$(x)"} }, "policy.freeze.mounts[0]"},
		{"a maybe for root", func(p *policy.Policy) { p.Freeze.Root = "maybe" }, "policy.freeze.root"},
		{"a name with a quote", func(p *policy.Policy) { p.Name = `a"b` }, "policy.name"},
		{"a name with a substitution", func(p *policy.Policy) { p.Name = "$(id)" }, "policy.name"},
		{"an unknown onFailure", func(p *policy.Policy) { p.OnFailure = "ignore" }, "policy.onFailure"},
		{"a malformed volume", func(p *policy.Policy) { p.Volumes.ExcludeIDs = []string{"vol-XYZ"} }, "policy.volumes.excludeIds[0]"},
		{"a reserved tag", func(p *policy.Policy) { p.Tags = map[string]string{"quiesce:run": "x"} }, "policy.tags.quiesce:run"},
		{"a tag with a quote", func(p *policy.Policy) { p.Tags = map[string]string{"a": `"`} }, "policy.tags.a"},
		{"a mode that is none", func(p *policy.Policy) { p.Mode = "magic" }, "policy.mode"},
		{"the plug-in", plugged(func(*policy.Policy) {}), ""},
		{"the plug-in and Windows' writers", plugged(func(p *policy.Policy) { p.Application.Kind = policy.VSS }), ""},
		{"the plug-in without a role", plugged(func(p *policy.Policy) { p.RamRole = "" }), "policy.ramRole"},
		{"the plug-in and a role with a comma", plugged(func(p *policy.Policy) { p.RamRole = "a,b" }), "policy.ramRole"},
		{"the plug-in and a server", plugged(func(p *policy.Policy) { p.Application.Kind = policy.MariaDB }), "policy.application.kind"},
		{"the plug-in and retries", plugged(func(p *policy.Policy) { script("/a")(p); p.Application.Retries = 1 }), "policy.application.retries"},
		{"the plug-in and mounts", plugged(func(p *policy.Policy) { p.Freeze.Mounts = []string{"/data"} }), "policy.freeze.mounts"},
		{"a role without the plug-in", func(p *policy.Policy) { p.RamRole = "a" }, "policy.ramRole"},
		{"a completion of 0", func(p *policy.Policy) { p.Completion.TimeoutMinutes = 0 }, "policy.completion.timeoutMinutes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := policy.Default()
			tt.with(&p)
			var refused *fault.Error
			switch err := p.Check(); {
			case tt.field == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.field != "" && (!errors.As(err, &refused) || refused.Code != fault.InvalidInput || refused.Field != tt.field):
				t.Errorf("got %v, want %s refused", err, tt.field)
			}
		})
	}
}

func TestDecodingFillsDefaultsAndKeepsWhatIsWritten(t *testing.T) {
	var p policy.Policy
	if err := json.Unmarshal([]byte(`{"name":"db","application":{"timeoutSeconds":0}}`), &p); err != nil {
		t.Fatal(err)
	}
	if p.Application.TimeoutSeconds != 0 {
		t.Error("a written 0 was replaced by the default")
	}
	if p.Freeze.DeadlineSeconds != 60 || p.OnFailure != policy.Degrade || !p.Volumes.ExcludeBoot {
		t.Errorf("defaults are missing: %+v", p)
	}
	if err := json.Unmarshal([]byte(`{"freez":{}}`), &p); err == nil || !strings.Contains(err.Error(), `"freez"`) {
		t.Errorf("an unknown field was taken: %v", err)
	}
}
