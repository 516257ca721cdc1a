package workflow

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/workflow/asl"
	"github.com/quiesce/quiesce/workflow/contract"
	"github.com/quiesce/quiesce/workflow/flow"
)

// What holds two definitions of one workflow together, one for each cloud.

// flowFindings are what a flow is found to break of the rules of its twin.
func flowFindings(text string, rules contract.Rules) (all []string) {
	rules.Services, rules.Fatal = flow.Services, true
	m, err := flow.Parse([]byte(text), nil)
	if err != nil {
		return []string{err.Error()}
	}
	for _, f := range contract.Check(m, rules) {
		all = append(all, f.String())
	}
	return all
}

// defect is what is planted into a flow, and what the contract says of it.
type defect struct{ old, replaced, want string }

func findsDefects(t *testing.T, text string, rules contract.Rules, planted []defect) {
	t.Helper()
	for _, c := range planted {
		if !strings.Contains(text, c.old) {
			t.Errorf("the definition has no %q", c.old)
			continue
		}
		got := strings.Join(flowFindings(strings.ReplaceAll(text, c.old, c.replaced), rules), "\n")
		if !strings.Contains(got, c.want) {
			t.Errorf("%q: got\n%s\nwant %s", c.replaced, got, c.want)
		}
	}
}

func keepsItsContract(t *testing.T, text string, rules contract.Rules) {
	t.Helper()
	for _, f := range flowFindings(text, rules) {
		t.Error(f)
	}
}

type made func(arn func(step string) string) (*asl.Machine, error)

// twins are both, each with its own cloud's names.
func twins(t *testing.T, mine, theirs made) []*asl.Machine {
	t.Helper()
	first, err := mine(func(step string) string { return "arn:aws:lambda:eu-west-1:123456789012:function:" + step })
	if err != nil {
		t.Fatal(err)
	}
	second, err := theirs(func(step string) string { return "acs:fc:cn-hangzhou:1234567890:functions/quiesce-" + step + "/LATEST" })
	if err != nil {
		t.Fatal(err)
	}
	return []*asl.Machine{first, second}
}

// callTheSame wants the same states, calling the same functions with the same
// input.
func callTheSame(t *testing.T, machine, itsFlow string) {
	t.Helper()
	mine, err := asl.Parse([]byte(machine), nil)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := flow.Parse([]byte(itsFlow), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(mine.States) != len(theirs.States) {
		t.Errorf("the flow has %d states, the machine %d", len(theirs.States), len(mine.States))
	}
	for name, s := range mine.States {
		other := theirs.States[name]
		switch {
		case other == nil:
			t.Errorf("the flow has no %s", name)
		case s.Type != other.Type:
			t.Errorf("%s: the flow's is a %s, the machine's a %s", name, other.Type, s.Type)
		case s.Type == asl.Task && (s.Calls() != other.Calls() || !slices.Equal(paths(s), paths(other))):
			t.Errorf("%s: the flow calls %s with %v, the machine %s with %v", name, other.Calls(), paths(other), s.Calls(), paths(s))
		}
	}
}

// story is a workflow in which everything goes well, as its functions answer.
type story struct {
	name    string
	answers func() map[string][]reply
}

// takeTheSamePath lets every function fail in every way, once and for good, and
// wants the same states to the same end; it tells how often.
func takeTheSamePath(t *testing.T, machines []*asl.Machine, functions []Function, stories []story) (told int) {
	t.Helper()
	ways := []string{"Lambda.Unknown", "Lambda.ServiceException", "Lambda.TooManyRequestsException", "Sandbox.Timedout", asl.Timeout, "Error.Nobody.Knows"}
	for _, c := range fault.Codes() {
		ways = append(ways, string(c))
	}
	for _, s := range stories {
		for _, f := range functions {
			for _, way := range ways {
				for _, repeat := range []int{1, 100} {
					var got []string
					for i, m := range machines {
						synctest.Test(t, func(t *testing.T) {
							w := &world{plan: s.answers()}
							w.plan[f.Step] = append(times(repeat, failsAs(way)), w.plan[f.Step]...)
							tr := executeOn(t, m, w, i == 1)
							got = append(got, same(tr.states)+": "+endOf(tr)+" by "+strings.Join(order(w.calls), " "))
						})
					}
					if told++; got[0] != got[1] {
						t.Errorf("%s, %s fails %d times with %s:\n got %s\nwant %s", s.name, f.Step, repeat, way, got[1], got[0])
					}
				}
			}
		}
	}
	return told
}
