package workflow

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/workflow/contract"
	"github.com/quiesce/quiesce/workflow/flow"
)

// swept is the document of the janitor's flow.
type swept struct {
	Run        run.Run         `json:"run"`
	Request    json.RawMessage `json:"request"`
	Ended      json.RawMessage `json:"ended"`
	InstanceID string          `json:"instanceId"`
	Thaw       *run.Thaw       `json:"thaw"`
	Failures   struct {
		Thaw *run.Failure `json:"thaw"`
	} `json:"failures"`
}

// told is the document of the flow of a restore's janitor.
type told struct {
	Run        run.Run          `json:"run"`
	Request    json.RawMessage  `json:"request"`
	Ended      json.RawMessage  `json:"ended"`
	InstanceID string           `json:"instanceId"`
	Verdict    *restore.Verdict `json:"verdict"`
	Failures   struct {
		Report *run.Failure `json:"report"`
	} `json:"failures"`
}

func janitorFindings(text string, functions []Function, document reflect.Type) (all []string) {
	m, err := flow.Parse([]byte(text), nil)
	if err != nil {
		return []string{err.Error()}
	}
	rules := rulesOf(functions, contract.Rules{
		Integrations: []string{"acs:eventbridge:::putEvents"}, Services: flow.Services, Fatal: true, Document: document,
	})
	for _, f := range contract.Check(m, rules) {
		// Nobody types what it is started with: sweep makes these three fields.
		if made := f.State == "Open" && strings.Contains(f.Message, "of whatever was typed"); !made {
			all = append(all, f.String())
		}
	}
	return all
}

func TestTheJanitorKeepsItsContract(t *testing.T) {
	of, restored := reflect.TypeFor[swept](), reflect.TypeFor[told]()
	for _, f := range append(janitorFindings(JanitorFlow(), JanitorFunctions(), of), janitorFindings(RestoreJanitorFlow(), RestoreJanitorFunctions(), restored)...) {
		t.Error(f)
	}
	for _, c := range []struct{ old, replaced, want string }{
		{"${ThawFunctionArn}", "${SomeFunctionArn}", "calls ${SomeFunctionArn}, which is no step"},
		{"    Timeout: 910\n", "    Timeout: 900\n", "gives up after"},
		{"InstanceNotFound, ", "InstanceNotfound, ", `names "InstanceNotfound", which nobody returns`},
		{"        Next: Tell\n", "        Next: Nowhere\n", "leads to no state"},
	} {
		if got := strings.Join(janitorFindings(strings.Replace(JanitorFlow(), c.old, c.replaced, 1), JanitorFunctions(), of), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%q: got\n%s\nwant %s", c.replaced, got, c.want)
		}
	}
}

// What the function cannot do at once is tried again, and what it cannot do at
// all is told by the flow.
func TestAJanitorsWays(t *testing.T) {
	done := answers(`{"evidence":null,"record":{}}`)
	for _, c := range []struct {
		name    string
		replies []reply
		calls   int
		within  time.Duration
		ends    string // empty: well
	}{
		{"all is well", []reply{done}, 1, time.Second, ""},
		{"throttled", []reply{fails(fault.Throttled), fails(fault.Throttled), done}, 3, 7 * time.Second, ""},
		{"the agent is away for a while", []reply{fails(fault.AgentOffline), fails(fault.AgentOffline), done}, 3, 80 * time.Second, ""},
		{"it dies once", []reply{failsAs("FC.Unknown"), done}, 2, 20 * time.Second, ""},
		{"the instance is gone", times(9, fails(fault.InstanceNotFound)), 2, 5 * time.Second, "ThawFailed"},
		{"it never answers", times(9, fails(fault.ThawFailed)), 4, 6 * time.Minute, "ThawFailed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, err := JanitorFlowMachine("quiesce", func(step string) string { return "acs:fc:cn-hangzhou:1234567890:functions/quiesce-" + step + "/LATEST" })
				if err != nil {
					t.Fatal(err)
				}
				w := &world{plan: map[string][]reply{"thaw": c.replies}}
				got := executeAs(t.Context(), m, w, abroad{w}, `{"instanceId":"i-1","request":{"instanceId":"i-1"},"ended":{"status":"Stopped"}}`)
				name := ""
				if got.err != nil {
					name = got.err.Name
				}
				if name != c.ends || got.took > c.within {
					t.Errorf("ended %q after %s by %s", name, got.took, got.path())
				}
				thaws, told := 0, 0
				for _, call := range w.calls {
					if call.step == "thaw" {
						thaws++
						if want := `{"ended":{"status":"Stopped"},"plan":null,"request":{"instanceId":"i-1"},"run":{"id":"run-1","startedAt":null}}`; call.input != want {
							t.Errorf("thaw was given %s, want %s", call.input, want)
						}
					} else if told++; !strings.Contains(call.input, `"Thaw Failed"`) || !strings.Contains(call.input, `"runId":"run-1"`) {
						t.Errorf("%s was given %s", call.step, call.input)
					}
				}
				if thaws != c.calls || (told == 1) != (c.ends != "") {
					t.Errorf("thaw was called %d times, want %d; told %d times", thaws, c.calls, told)
				}
			})
		})
	}
}

// A restore's janitor asks for the report until it is there, and else tells by
// itself that nobody knows.
func TestARestoresJanitorsWays(t *testing.T) {
	for _, c := range []struct {
		name    string
		replies []reply
		calls   int
		ends    string // empty: well
	}{
		{"all is well", []reply{answers(`{"outcome":"failed-dirty"}`)}, 1, ""},
		{"throttled, then it dies", []reply{fails(fault.Throttled), failsAs("FC.Unknown"), answers(`{"outcome":"failed-clean"}`)}, 3, ""},
		{"it never answers", times(20, fails(fault.AccessDenied)), 11, "FailedUnreported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, err := RestoreJanitorFlowMachine("quiesce", func(step string) string { return "acs:fc:cn-hangzhou:1234567890:functions/quiesce-" + step + "/LATEST" })
				if err != nil {
					t.Fatal(err)
				}
				w := &world{plan: map[string][]reply{"restore-report": c.replies}}
				got := executeAs(t.Context(), m, w, abroad{w}, `{"instanceId":"","request":{"runId":"run-0","mode":"in-place"},"ended":{"status":"Stopped"}}`)
				name := ""
				if got.err != nil {
					name = got.err.Name
				}
				if name != c.ends || got.took > 20*time.Minute {
					t.Errorf("ended %q after %s by %s", name, got.took, got.path())
				}
				reports, told := 0, 0
				for _, call := range w.calls {
					if call.step == "restore-report" {
						reports++
						if want := `{"ended":{"status":"Stopped"},"failures":{},"plan":null,"recovered":null,"request":{"mode":"in-place","runId":"run-0"},"run":{"id":"run-1","startedAt":null}}`; call.input != want {
							t.Errorf("it was given %s, want %s", call.input, want)
						}
					} else if told++; !strings.Contains(call.input, `"Restore Failed"`) || !strings.Contains(call.input, `"restoreId":"run-1"`) {
						t.Errorf("%s was given %s", call.step, call.input)
					}
				}
				if reports != c.calls || (told == 1) != (c.ends != "") {
					t.Errorf("it was called %d times, want %d; told %d times", reports, c.calls, told)
				}
			})
		})
	}
}
