package workflow

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/workflow/asl"
	"github.com/quiesce/quiesce/workflow/contract"
)

// restoreRules is what the restore's definition is held to.
func restoreRules() contract.Rules {
	r := contract.Rules{
		Document: reflect.TypeFor[restore.State](), Raw: []string{"request"},
		Undone: []string{"Stop", "Swap", "Start", "Halt"}, Undoes: "PutBack",
	}
	for _, c := range fault.Codes() {
		r.Codes = append(r.Codes, string(c))
	}
	for _, f := range RestoreFunctions() {
		r.Functions = append(r.Functions, contract.Function{Step: f.Step, Resource: "${" + f.Arn + "}", Timeout: f.Timeout})
	}
	return r
}

func restoreFindings(t *testing.T, text []byte) (all []string) {
	t.Helper()
	m, err := asl.Parse(text, nil)
	if err != nil {
		return []string{err.Error()}
	}
	for _, f := range contract.Check(m, restoreRules()) {
		all = append(all, f.String())
	}
	return all
}

func TestRestoreKeepsItsContract(t *testing.T) {
	for _, f := range restoreFindings(t, []byte(Restore())) {
		t.Error(f)
	}
	for _, f := range RestoreFunctions() {
		if functions.Timeouts[f.Step] != f.Timeout {
			t.Errorf("%s: the definition counts on %v, the function has %v", f.Step, f.Timeout, functions.Timeouts[f.Step])
		}
	}
}

func TestContractFindsDefectsOfARestore(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`"$.failures.move", "Next": "PutBack"`, `"$.failures.move", "Next": "Report"`, `undo: state "Swap": fails without PutBack: Swap > Report`},
		{`"$.failures.start", "Next": "Halt"`, `"$.failures.start", "Next": "StartAgain"`, `undo: state "Start": fails without PutBack: Start > StartAgain`},
		{`"$.failures.halt", "Next": "PutBack"`, `"$.failures.halt", "Next": "Report"`, `undo: state "Halt": fails without PutBack: Halt > Report`},
		{`"to": "new"`, `"to.$": "$.request.to"`, "$.request is whatever was typed"},
		{`"again": null,
        "forgot"`, `"forgot"`, "does not write $.again"},
		{`"$.plan.do", "StringEquals": "back"`, `"$.plan.next", "StringEquals": "back"`, "$.plan.next is left out when it is empty"},
		{`"Type": "Wait", "Seconds": 15, "Next": "Stop"`, `"Type": "Pass", "Next": "Stop"`, `loop: state "Stop": runs without a Wait`},
	} {
		if !strings.Contains(Restore(), c.old) {
			t.Fatalf("the definition has no %s", c.old)
		}
		text := strings.ReplaceAll(Restore(), c.old, c.new)
		if !json.Valid([]byte(text)) {
			t.Fatalf("%s is no JSON", c.new)
		}
		if got := strings.Join(restoreFindings(t, []byte(text)), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s: got\n%s\nwant %s", c.new, got, c.want)
		}
	}
}
