package aliyun_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/aliyun/ecs"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
)

// shell is a command's parameters, of which some are changed.
func shell(change ...string) []string {
	with := []string{"Type", "RunShellScript", "CommandContent", "true", "InstanceId.1", target}
	return append(with, change...)
}

// result is the first instance's.
func (w *world) result(invocation string) (status, code string, a answer) {
	w.Helper()
	a = w.call("DescribeInvocationResults", "InvokeId", invocation, "ContentEncoding", "PlainText")
	at := []any{"Invocation", "InvocationResults", "InvocationResult", 0}
	return a.text(append(at, "InvocationStatus")...), a.text(append(at, "ErrorCode")...), a
}

func (w *world) run(with ...string) (invocation string) {
	w.Helper()
	a := w.call("RunCommand", with...)
	w.refuses("RunCommand", a, "")
	return a.text("InvokeId")
}

func TestCommandsLimits(t *testing.T) {
	in(t, aliyun.Config{}, func(w *world) {
		w.rent(ecs.Instance{ID: "i-bp1stopped", State: "Stopped"})
		w.rent(ecs.Instance{ID: "i-bp1windows", OS: "windows"})
		plain := func(n int) string { return strings.Repeat("x", n) }
		encoded := func(n int) string { return base64.StdEncoding.EncodeToString([]byte(plain(n))) }
		var many []string
		for i := range 101 {
			many = append(many, fmt.Sprintf("i-bp1many%d", i))
		}
		pairs := func(n int) string {
			var all []string
			for i := range n {
				all = append(all, fmt.Sprintf(`"p%d":"v"`, i))
			}
			return "{" + strings.Join(all, ",") + "}"
		}
		for _, c := range []struct {
			name string
			with []string
			want string
		}{
			{"the least", shell(), ""},
			{"as much as there may be in Base64", shell("CommandContent", encoded(18<<10), "ContentEncoding", "Base64"), ""},
			{"a byte more", shell("CommandContent", encoded(18<<10+1), "ContentEncoding", "Base64"), "CmdContent.ExceedLimit"},
			{"the same in plain text, which is weighed in Base64", shell("CommandContent", plain(18<<10+1)), "CmdContent.ExceedLimit"},
			{"parameters that make it too much", shell("CommandContent", encoded(18<<10), "ContentEncoding", "Base64", "EnableParameter", "true", "Parameters", pairs(1)), "CmdContent.ExceedLimit"},
			{"no Base64", shell("CommandContent", "true;", "ContentEncoding", "Base64"), "CmdContent.DecodeError"},
			{"ten seconds", shell("Timeout", "10"), ""},
			{"a day", shell("Timeout", "86400"), ""},
			{"nine seconds", shell("Timeout", "9"), "InvalidParameter.Timeout"},
			{"more than a day", shell("Timeout", "86401"), "InvalidParameter.Timeout"},
			{"no number of seconds", shell("Timeout", "1m"), "InvalidParameter.Timeout"},
			{"a type that does not exist", shell("Type", "RunPythonScript"), "CommandType.NotSupport"},
			{"no content", shell("CommandContent", ""), "MissingParameter"},
			{"another type than the system's", shell("InstanceId.1", "i-bp1windows"), "InvalidInstance.NotMatch"},
			{"an instance that does not exist", shell("InstanceId.1", "i-bp1nobody"), "InvalidInstance.NotFound"},
			{"one that does not run", shell("InstanceId.1", "i-bp1stopped"), "InvalidInstance.NotRunning"},
			{"more than a hundred", shell(list("InstanceId", many...)...), "InstanceIds.ExceedLimit"},
			{"twenty parameters", shell("EnableParameter", "true", "Parameters", pairs(20)), ""},
			{"one more", shell("EnableParameter", "true", "Parameters", pairs(21)), "InvalidParameter.Parameters"},
			{"parameters that are no document", shell("EnableParameter", "true", "Parameters", "a=b"), "InvalidParameter.Parameters"},
			{"a name that may not be", shell("EnableParameter", "true", "Parameters", `{"a b":"v"}`), "CmdParamName.InvalidParamName"},
			{"a parameter without a value", shell("CommandContent", "echo {{a}}", "EnableParameter", "true", "Parameters", `{"b":"v"}`), "ParameterKey.NotFound"},
			{"a parameter that is none", shell("CommandContent", "echo {{a}}"), ""},
		} {
			w.refuses(c.name, w.call("RunCommand", c.with...), c.want)
		}
	})
}

// A dry run tells what could be told, and runs nothing.
func TestDryRunOfACommand(t *testing.T) {
	in(t, aliyun.Config{}, func(w *world) {
		w.refuses("with its agent there", w.call("RunCommand", shell("RepeatMode", "DryRun")...), "")
		w.Assistant.SetOnline(target, false)
		time.Sleep(5 * time.Minute)
		w.refuses("with its agent gone", w.call("RunCommand", shell("RepeatMode", "DryRun")...), "InvalidInstance.ClientNotRunning")
		if ran := w.machine.ran(); len(ran) != 0 {
			t.Errorf("ran %q", ran)
		}
	})
}

// How commands end, and when: the service gives one up that it cannot deliver
// within a minute, and the agent one that outlasts its own time.
func TestHowCommandsEnd(t *testing.T) {
	takes := func(d time.Duration, exit int) func(context.Context, instance.Command) instance.Result {
		return func(ctx context.Context, _ instance.Command) instance.Result {
			select {
			case <-time.After(d):
				return instance.Result{ExitCode: exit, Stdout: []byte("out"), Stderr: []byte("err")}
			case <-ctx.Done():
				return instance.Result{ExitCode: 137}
			}
		}
	}
	for _, c := range []struct {
		name         string
		do           func(context.Context, instance.Command) instance.Result
		before       func(w *world)
		after        time.Duration // look then
		status, code string
	}{
		{name: "well", do: takes(time.Second, 0), after: 2 * time.Second, status: "Success"},
		{name: "by itself", do: takes(time.Second, 7), after: 2 * time.Second, status: "Failed", code: "ExitCodeNonzero"},
		{name: "not yet", do: takes(time.Minute, 0), after: 2 * time.Second, status: "Running"},
		{name: "at the default time of a minute", do: takes(time.Hour, 0), after: 61 * time.Second, status: "Timeout", code: "ExecutionTimeout"},
		{name: "not before it", do: takes(time.Hour, 0), after: 59 * time.Second, status: "Running"},
		{name: "as one that could not be started", do: takes(0, -1), after: time.Second, status: "Error", code: "ExecutionException"},
		{
			name: "undelivered, within the minute", do: takes(0, 0), after: 59 * time.Second, status: "Pending",
			before: func(w *world) { w.Assistant.SetOnline(target, false) },
		},
		{
			name: "undelivered", do: takes(0, 0), after: 61 * time.Second, status: "Aborted", code: "DeliveryTimeout",
			before: func(w *world) { w.Assistant.SetOnline(target, false) },
		},
		{
			name: "delivered just in time", do: takes(0, 0), after: time.Minute, status: "Success",
			before: func(w *world) {
				w.Assistant.SetOnline(target, false)
				time.AfterFunc(50*time.Second, func() { w.Assistant.SetOnline(target, true) })
			},
		},
		{
			name: "without its agent's word", do: takes(time.Second, 0), after: 63 * time.Second, status: "Timeout", code: "ClientNotResponse",
			before: func(w *world) { time.AfterFunc(500*time.Millisecond, func() { w.Assistant.SetOnline(target, false) }) },
		},
		{
			name: "on an instance that was stopped", do: takes(0, 0), after: 61 * time.Second, status: "Aborted", code: "InstanceNotRunning",
			before: func(w *world) {
				time.AfterFunc(10*time.Millisecond, func() { w.ECS.Change(target, func(i *ecs.Instance) { i.State = "Stopped" }) })
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, aliyun.Config{}, func(w *world) {
				w.machine.do = c.do
				if c.before != nil {
					c.before(w)
				}
				id := w.run(shell()...)
				time.Sleep(c.after)
				if status, code, a := w.result(id); status != c.status || code != c.code {
					t.Errorf("got %s %s, want %s %s: %v", status, code, c.status, c.code, a.doc)
				}
			})
		})
	}
}

// Stopping reaches what has not begun. What runs once goes on.
func TestStopInvocation(t *testing.T) {
	in(t, aliyun.Config{}, func(w *world) {
		w.machine.do = func(context.Context, instance.Command) instance.Result {
			time.Sleep(10 * time.Second)
			return instance.Result{}
		}
		begun := w.run(shell()...)
		time.Sleep(time.Second)
		w.refuses("stop", w.call("StopInvocation", "InvokeId", begun, "InstanceId.1", target), "")
		w.Assistant.SetOnline(target, false)
		waiting := w.run(shell()...)
		w.refuses("stop", w.call("StopInvocation", "InvokeId", waiting), "")
		w.Assistant.SetOnline(target, true)
		time.Sleep(15 * time.Second)
		for id, want := range map[string]string{begun: "Success", waiting: "Cancelled"} {
			if got, _, _ := w.result(id); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		if ran := w.machine.ran(); len(ran) != 1 {
			t.Errorf("%d commands ran, want the one that had begun", len(ran))
		}
		w.refuses("another", w.call("StopInvocation", "InvokeId", "t-nobody"), "InvalidInvokeId.NotFound")
	})
}

// A client token makes a repeated call the same command, and an output that is
// too long says how much of it is missing.
func TestTokensAndLongOutputs(t *testing.T) {
	in(t, aliyun.Config{}, func(w *world) {
		w.machine.do = func(context.Context, instance.Command) instance.Result {
			return instance.Result{Stdout: []byte(strings.Repeat("x", 25<<10))}
		}
		once := w.run(shell("ClientToken", "one")...)
		if again := w.run(shell("ClientToken", "one")...); again != once {
			t.Errorf("the same token is another command: %s and %s", once, again)
		}
		time.Sleep(time.Second)
		_, _, a := w.result(once)
		at := []any{"Invocation", "InvocationResults", "InvocationResult", 0}
		if got, dropped := len(a.text(append(at, "Output")...)), a.text(append(at, "Dropped")...); got != 24<<10 || dropped != "1024" || len(w.machine.ran()) != 1 {
			t.Errorf("got %d bytes, %s dropped, of %d commands", got, dropped, len(w.machine.ran()))
		}
		other := w.call("DescribeInvocationResults", "InvokeId", once)
		if text := other.text(append(at, "Output")...); text == "" || strings.HasPrefix(text, "xxx") {
			t.Error("an output that nobody wants in plain text is not in Base64")
		}
	})
}

// What is planned for a command happens to it.
func TestPlannedDeliveries(t *testing.T) {
	for plan, want := range map[string]string{
		"RunCommand:slow":              "one two",
		"tester/RunCommand:duplicate":  "one one two",
		"tester/RunCommand:reorder":    "two one",
		"tester/RunCommand:late":       "two one",
		"tester/RunCommand:wrong-data": "one two",
	} {
		faults := &fault.Plan{Lateness: 30 * time.Second}
		target, kind, _ := strings.Cut(plan, ":")
		faults.Add(fault.Fault{Target: target, Kind: fault.Kind(kind)})
		in(t, aliyun.Config{Faults: faults}, func(w *world) {
			if strings.HasSuffix(plan, "wrong-data") { // the reply breaks off, the command is sent
				params := w.common("RunCommand")
				for i, with := 0, shell("CommandContent", "one"); i < len(with); i += 2 {
					params.Set(with[i], with[i+1])
				}
				sign(params, w.keys.Secret)
				w.broken(params)
			} else {
				w.run(shell("CommandContent", "one")...)
			}
			time.Sleep(time.Second)
			w.run(shell("CommandContent", "two")...)
			time.Sleep(time.Minute)
			if got := strings.Join(w.machine.ran(), " "); got != want {
				t.Errorf("%s: ran %q, want %q", plan, got, want)
			}
		})
	}
}

// A call that hangs has neither an effect nor an answer.
func TestPlannedHang(t *testing.T) {
	plan, err := fault.New("CreateSnapshotGroup:hang")
	if err != nil {
		t.Fatal(err)
	}
	in(t, aliyun.Config{Faults: plan}, func(w *world) {
		params := w.common("CreateSnapshotGroup")
		params.Set("InstanceId", target)
		sign(params, w.keys.Secret)
		if took := w.hangs(params, time.Minute); took != time.Minute {
			t.Errorf("answered after %s", took)
		}
		if n := len(w.ECS.All()); n != 0 {
			t.Errorf("%d snapshots were made", n)
		}
	})
}
