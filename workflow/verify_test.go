package workflow

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/verify"
	"github.com/quiesce/quiesce/workflow/asl"
	"github.com/quiesce/quiesce/workflow/contract"
)

// verifyRules is what the restore test's definition is held to: from Create on
// every way leads through CleanUp, and none back.
func verifyRules() contract.Rules {
	r := contract.Rules{
		Document: reflect.TypeFor[verify.State](), Raw: []string{"request"},
		Quiescing: "Create", Window: []string{"CleanUp"},
	}
	for _, c := range fault.Codes() {
		r.Codes = append(r.Codes, string(c))
	}
	for _, f := range VerifyFunctions() {
		r.Functions = append(r.Functions, contract.Function{Step: f.Step, Resource: "${" + f.Arn + "}", Timeout: f.Timeout})
	}
	return r
}

func verifyFindings(t *testing.T, text []byte) (all []string) {
	t.Helper()
	m, err := asl.Parse(text, nil)
	if err != nil {
		return []string{err.Error()}
	}
	for _, f := range contract.Check(m, verifyRules()) {
		all = append(all, f.String())
	}
	return all
}

func TestVerifyKeepsItsContract(t *testing.T) {
	for _, f := range verifyFindings(t, []byte(Verify())) {
		t.Error(f)
	}
	own := map[string]bool{}
	for _, f := range VerifyFunctions() {
		own[f.Step] = true
		if functions.Timeouts[f.Step] != f.Timeout {
			t.Errorf("%s: the definition counts on %v, the function has %v", f.Step, f.Timeout, functions.Timeouts[f.Step])
		}
	}
	for _, step := range functions.VerifySteps {
		if !own[step] {
			t.Errorf("nothing calls %s", step)
		}
	}
}

// The machine's own limit comes after whatever a policy may ask for, and after
// the cleaning: it would cut that off.
func TestVerifyOutlastsItsTimeLimit(t *testing.T) {
	m, err := asl.Parse([]byte(Verify()), nil)
	if err != nil {
		t.Fatal(err)
	}
	longest := policy.RestoreTest{TimeLimitMinutes: 360}.TimeLimit()
	if got := float64(m.TimeoutSeconds) - longest.Seconds(); got < 2*3600 {
		t.Errorf("leaves %v s past the longest time limit", got)
	}
}

func TestContractFindsDefectsOfARestoreTest(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`"$.failures.create", "Next": "CleanUp"`, `"$.failures.create", "Next": "Report"`, `thaw: state "Create": ends without CleanUp: Create > Report`},
		{`"$.failures.recover", "Next": "CleanUp"`, `"$.failures.recover", "Next": "Report"`, `thaw: state "Create": ends without CleanUp`},
		{`"Default": "CleanUp"`, `"Default": "Report"`, `thaw: state "Create": ends without CleanUp`},
		{`"$.failures.clean", "Next": "Report"`, `"$.failures.clean", "Next": "Create"`, `thaw: state "CleanUp": leads back`},
		{`"Type": "Wait", "Seconds": 20, "Next": "Recover"`, `"Type": "Pass", "Next": "Recover"`, `loop: state "Recover": runs without a Wait`},
		{`"request.$": "$.choice.restore"`, `"request.$": "$.request.restore"`, "$.request is whatever was typed"},
		{`"marked": null,`, ``, "does not write $.marked"},
		{`"TimeoutSeconds": 310`, `"TimeoutSeconds": 290`, `timeout: state "CleanUp": gives up`},
	} {
		if !strings.Contains(Verify(), c.old) {
			t.Fatalf("the definition has no %s", c.old)
		}
		text := strings.ReplaceAll(Verify(), c.old, c.new)
		if !json.Valid([]byte(text)) {
			t.Fatalf("%s is no JSON", c.new)
		}
		if got := strings.Join(verifyFindings(t, []byte(text)), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s: got\n%s\nwant %s", c.new, got, c.want)
		}
	}
}
