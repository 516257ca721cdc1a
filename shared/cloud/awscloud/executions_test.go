package awscloud

import (
	"slices"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/shared/fault"
)

const onInstance = "i-0123456789abcdef0"

// executionsOf lists running executions, two a page, by their names and inputs.
func executionsOf(inputs map[string]string, names ...string) func(request) response {
	return func(r request) response {
		if r.action == "ListExecutions" {
			if strings.HasSuffix(r.doc["stateMachineArn"].(string), ":empty") {
				return response{body: `{"executions":[]}`}
			}
			page, next := names, ""
			if len(names) > 2 {
				page, next = names[:2], `"nextToken":"more",`
				if r.doc["nextToken"] == "more" {
					page, next = names[2:], ""
				}
			}
			var items []string
			for _, n := range page {
				items = append(items, `{"executionArn":"arn:aws:states:eu-central-1:1:execution:m:`+n+`","name":"`+n+`","status":"RUNNING","startDate":1,"stateMachineArn":"arn"}`)
			}
			return response{body: `{` + next + `"executions":[` + strings.Join(items, ",") + `]}`}
		}
		arn := r.doc["executionArn"].(string)
		input, there := inputs[arn[strings.LastIndex(arn, ":")+1:]]
		if !there {
			return denial(400, "ExecutionDoesNotExist")
		}
		status := "RUNNING"
		if rest, over := strings.CutPrefix(input, "over "); over {
			input, status = rest, "SUCCEEDED"
		}
		return response{body: `{"executionArn":"` + arn + `","stateMachineArn":"arn","status":"` + status + `","startDate":1,"input":"` + strings.ReplaceAll(input, `"`, `\"`) + `"}`}
	}
}

func TestRunningGoesByTheInput(t *testing.T) {
	const other = "i-0123456789abcdef1"
	p, w := against(executionsOf(map[string]string{
		"by-hand":                             `{"instanceId":"` + onInstance + `"}`,
		"nightly-" + onInstance + "-boast":    `{"instanceId":"` + other + `"}`,
		onInstance + "-20261128T030000Z":      `{"instanceId":"` + onInstance + `","policy":{"name":"nightly"}}`,
		"nightly-" + other + "-20261128T":     `{"instanceId":"` + onInstance + `"}`,
		"group-of-two":                        `{"members":[{"instanceId":"` + other + `"},{"instanceId":"` + onInstance + `"}]}`,
		"ended-meanwhile":                     `over {"instanceId":"` + onInstance + `"}`,
		"nightly-" + other + "-20261128T0300": `["no request"]`,
	}, "by-hand", "nightly-"+onInstance+"-boast", onInstance+"-20261128T030000Z", "nightly-"+other+"-20261128T", "group-of-two", "ended-meanwhile",
		"gone-meanwhile", "nightly-"+other+"-20261128T0300", "nightly-"+other+"-20261128T030000Z"))
	p.options.Machines = []string{"arn:aws:states:eu-central-1:1:stateMachine:empty", "arn:aws:states:eu-central-1:1:stateMachine:m"}
	got, err := p.Running(t.Context(), onInstance)
	want := []string{"by-hand", onInstance + "-20261128T030000Z", "nightly-" + other + "-20261128T", "group-of-two"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if n := w.count("DescribeExecution"); n != 8 {
		t.Errorf("asked after %d executions, want 8: the one that says another instance is let be", n)
	}
	for _, r := range w.seen {
		if r.action == "ListExecutions" && r.doc["statusFilter"] != "RUNNING" {
			t.Errorf("listed %v", r.doc)
		}
	}
}

func TestRunningWithoutAnAnswer(t *testing.T) {
	for code, want := range map[string]fault.Code{"AccessDeniedException": fault.AccessDenied, "StateMachineDoesNotExist": fault.Internal} {
		p, _ := against(func(request) response { return denial(400, code) })
		p.options.Machines = []string{"arn:aws:states:eu-central-1:1:stateMachine:m"}
		_, err := p.Running(t.Context(), onInstance)
		wantCode(t, err, want)
	}
	p, w := against(func(request) response { return denial(400, "AccessDeniedException") })
	if got, err := p.Running(t.Context(), onInstance); err != nil || len(got) > 0 || len(w.seen) > 0 {
		t.Errorf("without a machine: %v, %v, %d calls", got, err, len(w.seen))
	}
}
