package aws_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ssm"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
)

func (w *world) send(t *testing.T, script string, change ...func(*awsssm.SendCommandInput)) string {
	t.Helper()
	in := &awsssm.SendCommandInput{
		DocumentName: sdk.String("AWS-RunShellScript"), InstanceIds: []string{target}, TimeoutSeconds: sdk.Int32(30),
		Parameters: map[string][]string{"commands": {script}, "executionTimeout": {"60"}},
	}
	for _, f := range change {
		f(in)
	}
	out, err := w.ssm.SendCommand(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return *out.Command.CommandId
}

func (w *world) invocation(t *testing.T, id string) *awsssm.GetCommandInvocationOutput {
	t.Helper()
	out, err := w.ssm.GetCommandInvocation(t.Context(), &awsssm.GetCommandInvocationInput{CommandId: &id, InstanceId: sdk.String(target)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// takes lets a command run for so long unless it is killed.
func takes(d time.Duration, code int) func(context.Context, instance.Command) instance.Result {
	return func(ctx context.Context, c instance.Command) instance.Result {
		select {
		case <-time.After(d):
			return instance.Result{ExitCode: code, Stdout: []byte("out"), Stderr: []byte("err ")}
		case <-ctx.Done():
			return instance.Result{ExitCode: 137}
		}
	}
}

func TestLifeOfACommand(t *testing.T) {
	run(t, aws.Config{Latency: map[string]time.Duration{"*": 0}}, func(t *testing.T, w *world) {
		w.machine.do = takes(10*time.Second, 0)
		id := w.send(t, "date")
		_, err := w.ssm.GetCommandInvocation(t.Context(), &awsssm.GetCommandInvocationInput{CommandId: &id, InstanceId: sdk.String(target)})
		var unknown *types.InvocationDoesNotExist
		if !errors.As(err, &unknown) {
			t.Fatalf("right after SendCommand: got %v, want InvocationDoesNotExist", err)
		}
		time.Sleep(100 * time.Millisecond)
		if i := w.invocation(t, id); i.Status != types.CommandInvocationStatusPending || i.ResponseCode != -1 {
			t.Errorf("got %s %d", i.Status, i.ResponseCode)
		}
		time.Sleep(time.Second)
		if i := w.invocation(t, id); i.Status != types.CommandInvocationStatusInProgress || i.ResponseCode != -1 || *i.StandardOutputContent != "" {
			t.Errorf("got %s %d %q", i.Status, i.ResponseCode, *i.StandardOutputContent)
		}
		time.Sleep(10 * time.Second)
		if i := w.invocation(t, id); i.Status != types.CommandInvocationStatusSuccess || i.ResponseCode != 0 || *i.StandardOutputContent != "out" {
			t.Errorf("got %s %d %q", i.Status, i.ResponseCode, *i.StandardOutputContent)
		}
		if e := w.Bus.Events(); len(e) != 2 || e[1].DetailType != "EC2 Command Invocation Status-change Notification" {
			t.Errorf("got %d events", len(e))
		}
	})
}

func TestEndsOfACommand(t *testing.T) {
	none := func(*world, *testing.T, string) {}
	for _, c := range []struct {
		name            string
		do              func(context.Context, instance.Command) instance.Result
		then            func(*world, *testing.T, string)
		wait            time.Duration
		status, details string
		code            int32
	}{
		{"fails", takes(time.Second, 3), none, 5 * time.Second, "Failed", "Failed", 3},
		{"outlasts its execution timeout", takes(time.Hour, 0), none, 61 * time.Second, "TimedOut", "Execution Timed Out", 137},
		{"is cancelled before delivery", takes(time.Second, 0), (*world).cancel, time.Minute, "Cancelled", "Cancelled", -1},
		{"is cancelled while it runs", takes(time.Hour, 0), func(w *world, t *testing.T, id string) {
			time.Sleep(5 * time.Second)
			w.cancel(t, id)
		}, 5 * time.Second, "Cancelled", "Cancelled", 137},
		{"never reaches an agent that is offline", takes(time.Second, 0), func(w *world, _ *testing.T, _ string) {
			w.SSM.SetOnline(target, false)
		}, 31 * time.Second, "TimedOut", "Delivery Timed Out", -1},
		{"waits for an agent that comes back", takes(time.Second, 0), func(w *world, _ *testing.T, _ string) {
			w.SSM.SetOnline(target, false)
			time.Sleep(20 * time.Second)
			w.SSM.SetOnline(target, true)
		}, 5 * time.Second, "Success", "Success", 0},
		{"ran, but its result was never heard of", takes(5*time.Second, 0), func(w *world, _ *testing.T, _ string) {
			time.Sleep(time.Second)
			w.SSM.SetOnline(target, false)
		}, 2 * time.Minute, "TimedOut", "Delivery Timed Out", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, aws.Config{}, func(t *testing.T, w *world) {
				w.machine.do = c.do
				id := w.send(t, "x")
				c.then(w, t, id)
				time.Sleep(c.wait)
				i := w.invocation(t, id)
				if string(i.Status) != c.status || *i.StatusDetails != c.details || i.ResponseCode != c.code {
					t.Errorf("got %s, %s, %d; want %s, %s, %d", i.Status, *i.StatusDetails, i.ResponseCode, c.status, c.details, c.code)
				}
			})
		})
	}
}

func (w *world) cancel(t *testing.T, id string) {
	t.Helper()
	if _, err := w.ssm.CancelCommand(t.Context(), &awsssm.CancelCommandInput{CommandId: &id}); err != nil {
		t.Fatal(err)
	}
}

func TestWorkersQueueCommands(t *testing.T) {
	run(t, aws.Config{}, func(t *testing.T, w *world) {
		w.machine.do = takes(20*time.Second, 0)
		for range 5 {
			w.send(t, "long")
		}
		sixth := w.send(t, "thaw")
		time.Sleep(10 * time.Second)
		if i := w.invocation(t, sixth); i.Status != types.CommandInvocationStatusPending {
			t.Errorf("the sixth command is %s while five run", i.Status)
		}
		time.Sleep(15 * time.Second)
		if i := w.invocation(t, sixth); i.Status != types.CommandInvocationStatusInProgress {
			t.Errorf("the sixth command is %s when they are done", i.Status)
		}
	})
}

func TestPlannedFaultsOfACommand(t *testing.T) {
	plan, err := fault.New("freeze:duplicate", "thaw:late", "freeze:agent-offline@2")
	if err != nil {
		t.Fatal(err)
	}
	run(t, aws.Config{Faults: plan}, func(t *testing.T, w *world) {
		var runs atomic.Int32
		w.machine.do = func(context.Context, instance.Command) instance.Result {
			runs.Add(1)
			return instance.Result{}
		}
		asRole := func(role string) string {
			w.ssm = awsssm.NewFromConfig(once(w.Client(role)))
			return w.send(t, "x")
		}
		id := asRole("freeze") // the key names the step
		time.Sleep(5 * time.Second)
		if got := runs.Load(); got != 2 || w.invocation(t, id).Status != types.CommandInvocationStatusSuccess {
			t.Errorf("ran %d times, want 2", got)
		}
		late := asRole("thaw")
		time.Sleep(40 * time.Second) // delivery limit 30 s, delivered after 45 s
		if i := w.invocation(t, late); i.Status != types.CommandInvocationStatusPending {
			t.Errorf("got %s", i.Status)
		}
		time.Sleep(10 * time.Second)
		if i := w.invocation(t, late); *i.StatusDetails != "Delivery Timed Out" || runs.Load() != 2 {
			t.Errorf("got %s after %d runs", *i.StatusDetails, runs.Load())
		}
		asRole("freeze")
		time.Sleep(20 * time.Minute)
		_, err := w.ssm.SendCommand(t.Context(), &awsssm.SendCommandInput{
			DocumentName: sdk.String("AWS-RunShellScript"), InstanceIds: []string{target}, Parameters: map[string][]string{"commands": {"x"}},
		})
		wantCode(t, err, "InvalidInstanceId")
		if left := plan.Unreached(); len(left) != 0 {
			t.Errorf("unreached: %v", left)
		}
	})
}

func TestOtherPeoplesCommands(t *testing.T) {
	run(t, aws.Config{}, func(t *testing.T, w *world) {
		w.machine.do = takes(time.Second, 0)
		w.SSM.Occupy(target, 20*time.Second)
		id := w.send(t, "x")
		time.Sleep(15 * time.Second)
		if i := w.invocation(t, id); i.Status != types.CommandInvocationStatusPending {
			t.Errorf("got %s", i.Status)
		}
		time.Sleep(10 * time.Second)
		if i := w.invocation(t, id); i.Status != types.CommandInvocationStatusSuccess {
			t.Errorf("got %s", i.Status)
		}
	})
}

// A command that is overtaken runs after the next one, even when the service has
// given it up by then.
func TestAnOvertakenCommand(t *testing.T) {
	plan, err := fault.New("freeze:reorder", "freeze:reorder@3")
	if err != nil {
		t.Fatal(err)
	}
	run(t, aws.Config{Faults: plan}, func(t *testing.T, w *world) {
		var mu sync.Mutex
		var ran []string
		w.machine.do = func(_ context.Context, c instance.Command) instance.Result {
			mu.Lock()
			defer mu.Unlock()
			ran = append(ran, strings.TrimSpace(c.Script))
			return instance.Result{}
		}
		w.ssm = awsssm.NewFromConfig(once(w.Client("freeze")))
		w.send(t, "one")
		w.send(t, "two")
		time.Sleep(time.Second)
		late := w.send(t, "three")
		time.Sleep(40 * time.Second)
		if i := w.invocation(t, late); *i.StatusDetails != "Delivery Timed Out" {
			t.Errorf("got %s", *i.StatusDetails)
		}
		w.send(t, "four")
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if got := strings.Join(ran, " "); got != "two one four three" {
			t.Errorf("ran %s", got)
		}
	})
}

// A wrong answer tells a part of the truth; one that never comes leaves its
// client to its own patience, and nothing is done.
func TestWrongAndMissingAnswers(t *testing.T) {
	plan, err := fault.New("GetCommandInvocation:wrong-data", "SendCommand:hang@2")
	if err != nil {
		t.Fatal(err)
	}
	run(t, aws.Config{Faults: plan}, func(t *testing.T, w *world) {
		w.machine.do = takes(time.Second, 0)
		id := w.send(t, "x")
		time.Sleep(5 * time.Second)
		if first, then := *w.invocation(t, id).StandardOutputContent, *w.invocation(t, id).StandardOutputContent; first != "o" || then != "out" {
			t.Errorf("got %q, then %q", first, then)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		_, err := w.ssm.SendCommand(ctx, &awsssm.SendCommandInput{
			DocumentName: sdk.String("AWS-RunShellScript"), InstanceIds: []string{target}, Parameters: map[string][]string{"commands": {"x"}},
		})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}

const document = `
schemaVersion: "2.2"
description: test
parameters:
  command: {type: String, default: dry-run, allowedValues: [dry-run, freeze]}
  request: {type: String, allowedPattern: "^[A-Za-z0-9+/=]+$"}
mainSteps:
  - action: aws:runShellScript
    name: quiesce
    precondition: {StringEquals: [platformType, Linux]}
    inputs:
      timeoutSeconds: "60"
      runCommand:
        - "set -e"
        - "helper '{{ command }}' '{{request}}' # {{ unknown }}"
`

func TestDocuments(t *testing.T) {
	run(t, aws.Config{}, func(t *testing.T, w *world) {
		if err := w.SSM.RegisterDocument("Quiesce", []byte(document)); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(document))
		send := func(change func(*awsssm.SendCommandInput)) (*awsssm.SendCommandOutput, error) {
			in := &awsssm.SendCommandInput{
				DocumentName: sdk.String("Quiesce"), DocumentHash: sdk.String(hex.EncodeToString(sum[:])), InstanceIds: []string{target},
				Parameters: map[string][]string{"request": {"e30="}},
			}
			change(in)
			return w.ssm.SendCommand(t.Context(), in)
		}
		out, err := send(func(*awsssm.SendCommandInput) {})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got, want := *w.invocation(t, *out.Command.CommandId).StandardOutputContent, "set -e\nhelper 'dry-run' 'e30=' # {{ unknown }}"; got != want {
			t.Errorf("ran %q, want %q", got, want)
		}
		for name, c := range map[string]struct {
			change func(*awsssm.SendCommandInput)
			code   string
		}{
			"hash":     {func(in *awsssm.SendCommandInput) { in.DocumentHash = sdk.String(strings.Repeat("0", 64)) }, "InvalidDocument"},
			"name":     {func(in *awsssm.SendCommandInput) { in.DocumentName = sdk.String("None") }, "InvalidDocument"},
			"pattern":  {func(in *awsssm.SendCommandInput) { in.Parameters["request"] = []string{"'; reboot"} }, "InvalidParameters"},
			"values":   {func(in *awsssm.SendCommandInput) { in.Parameters["command"] = []string{"reboot"} }, "InvalidParameters"},
			"missing":  {func(in *awsssm.SendCommandInput) { in.Parameters = nil }, "InvalidParameters"},
			"unknown":  {func(in *awsssm.SendCommandInput) { in.Parameters["other"] = []string{"x"} }, "InvalidParameters"},
			"delivery": {func(in *awsssm.SendCommandInput) { in.TimeoutSeconds = sdk.Int32(29) }, "ValidationException"},
			"instance": {func(in *awsssm.SendCommandInput) { in.InstanceIds = []string{"i-0fffffffffffffff0"} }, "InvalidInstanceId"},
			"twice":    {func(in *awsssm.SendCommandInput) { in.InstanceIds = []string{target, target} }, "DuplicateInstanceId"},
			"many":     {func(in *awsssm.SendCommandInput) { in.InstanceIds = make([]string, 51) }, "ThrottlingException"},
		} {
			_, err := send(c.change)
			t.Log(name)
			wantCode(t, err, c.code)
		}
	})
}

func TestHeartbeatGoesStale(t *testing.T) {
	run(t, aws.Config{SSM: ssm.Config{}}, func(t *testing.T, w *world) {
		ping := func() types.InstanceInformation {
			out, err := w.ssm.DescribeInstanceInformation(t.Context(), &awsssm.DescribeInstanceInformationInput{
				Filters: []types.InstanceInformationStringFilter{{Key: sdk.String("InstanceIds"), Values: []string{target}}},
			})
			if err != nil || len(out.InstanceInformationList) != 1 {
				t.Fatalf("got %v, %v", out, err)
			}
			return out.InstanceInformationList[0]
		}
		began := time.Now()
		time.Sleep(12 * time.Minute)
		if p := ping(); p.PingStatus != types.PingStatusOnline || !p.LastPingDateTime.Equal(began.Add(10*time.Minute)) || p.PlatformType != types.PlatformTypeLinux {
			t.Errorf("got %s, %s, %s", p.PingStatus, p.LastPingDateTime, p.PlatformType)
		}
		w.SSM.SetOnline(target, false)
		time.Sleep(5 * time.Minute)
		if p := ping(); p.PingStatus != types.PingStatusOnline {
			t.Errorf("five minutes later it is %s, want Online still", p.PingStatus)
		}
		time.Sleep(10 * time.Minute)
		if p := ping(); p.PingStatus != types.PingStatusConnectionLost {
			t.Errorf("got %s", p.PingStatus)
		}
	})
}
