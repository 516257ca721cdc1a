package runtimeapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
)

func built(t *testing.T, name, from string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", binary, from).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

type told struct {
	Calls, Pid, Together                                int
	Handler, Function, Region, Account, Key, Token, Env string
	Left                                                float64
}

func ask(t *testing.T, h runtimeapi.Invoker, do string) (a told, failed *runtimeapi.Failed) {
	t.Helper()
	out, err := h.Invoke(t.Context(), "quiesce-freeze", json.RawMessage(`{"do":"`+do+`"}`))
	if errors.As(err, &failed) {
		return a, failed
	}
	if err == nil {
		err = json.Unmarshal(out, &a)
	}
	if err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return a, nil
}

func TestComputeRunsProcesses(t *testing.T) {
	t.Setenv("SECRET_OF_THE_HOST", "x")
	var mu sync.Mutex
	var lines []string
	h := runtimeapi.NewCompute(runtimeapi.ComputeConfig{
		Binary:    built(t, "main", "./testdata/main"),
		Functions: map[string]runtimeapi.Function{"quiesce-freeze": {Timeout: time.Second, Environment: []string{"QUIESCE_STEP=freeze"}}},
		Log: func(_ string, line []byte) {
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, string(line))
		},
	})
	defer h.Close()
	first, _ := ask(t, h, "x")
	again, _ := ask(t, h, "x")
	if first.Pid != again.Pid || again.Calls != 2 {
		t.Errorf("the warm process was not used again: %+v, %+v", first, again)
	}
	if first.Handler != "main" || first.Function != "quiesce-freeze" || first.Region != "cn-hangzhou" || first.Account == "" || first.Key == "" || first.Token == "" {
		t.Errorf("got %+v", first)
	}
	if first.Left < 0.5 || first.Left > 1 {
		t.Errorf("the deadline is %v s away, want almost 1", first.Left)
	}
	if strings.Contains(first.Env, "SECRET") || !strings.Contains(first.Env, "QUIESCE_STEP=freeze") {
		t.Errorf("the environment is %s", first.Env)
	}
	for do, want := range map[string]string{"fail": "HoldLost", "plain": "errorString", "panic": "string"} {
		if _, failed := ask(t, h, do); failed == nil || failed.Type != want {
			t.Errorf("%s: got %v, want %s", do, failed, want)
		}
	}
	if after, _ := ask(t, h, "x"); after.Pid != first.Pid {
		t.Error("the process did not outlive an error or a panic")
	}
	if _, failed := ask(t, h, "exit"); failed == nil || failed.Type != runtimeapi.Unhandled || !strings.Contains(failed.Message, "exit status 7") {
		t.Errorf("exit: got %v", failed)
	}
	second, _ := ask(t, h, "x")
	if _, failed := ask(t, h, "hang"); failed == nil || failed.Type != runtimeapi.Unhandled || !strings.Contains(failed.Message, "timed out") {
		t.Errorf("hang: got %v", failed)
	}
	if third, _ := ask(t, h, "x"); second.Pid == first.Pid || third.Pid == second.Pid {
		t.Error("a process outlived its exit or its timeout")
	}
	if p, _ := os.FindProcess(second.Pid); p.Signal(syscall.Signal(0)) == nil {
		t.Error("the process that hung was not killed")
	}
	if _, err := h.Invoke(t.Context(), "absent", nil); !errors.As(err, new(*runtimeapi.Failed)) {
		t.Errorf("got %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(strings.Join(lines, "\n"), `{"line":"fail"}`) {
		t.Errorf("got lines %q", lines)
	}
}

// The library polls again while it works: one process takes several at once,
// and no more than it is to.
func TestComputeRunsInvocationsTogether(t *testing.T) {
	h := runtimeapi.NewCompute(runtimeapi.ComputeConfig{
		Binary: built(t, "main", "./testdata/main"), Concurrency: 3,
		Functions: map[string]runtimeapi.Function{"quiesce-freeze": {Timeout: time.Minute}},
	})
	defer h.Close()
	warm, _ := ask(t, h, "x")
	var all sync.WaitGroup
	pids := make([]int, 3)
	for i := range pids {
		all.Go(func() {
			a, _ := ask(t, h, "meet")
			if pids[i] = a.Pid; a.Together != 3 {
				t.Errorf("%d ran together, want 3", a.Together)
			}
		})
	}
	all.Wait()
	if pids[0] != warm.Pid || pids[1] != warm.Pid || pids[2] != warm.Pid || h.Processes()["quiesce-freeze"] != 1 {
		t.Errorf("got pids %v beside %d", pids, warm.Pid)
	}
	h.Close()
	if p, _ := os.FindProcess(warm.Pid); p.Signal(syscall.Signal(0)) == nil {
		t.Error("the process outlived its host")
	}
}

// The binary that is deployed, against an account on loopback: its calls are
// signed with what the invocation brings, and its faults come back by their
// code.
func TestComputeRunsTheDeployable(t *testing.T) {
	a := aliyun.New(aliyun.Config{})
	t.Cleanup(a.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = a.Serve(t.Context(), l) }()
	keys := a.Keys("quiesce-precheck")
	secrets := keys
	var mu sync.Mutex
	functions := map[string]runtimeapi.Function{}
	for _, name := range []string{"precheck", "thaw", "wake"} {
		functions["quiesce-"+name] = runtimeapi.Function{Timeout: 30 * time.Second, Environment: []string{"QUIESCE_STEP=" + name, "QUIESCE_ENDPOINT=http://" + l.Addr().String()}}
	}
	functions["unknown"] = runtimeapi.Function{Timeout: 30 * time.Second}
	h := runtimeapi.NewCompute(runtimeapi.ComputeConfig{
		Binary: built(t, "main", "github.com/quiesce/quiesce/functions/fc"), Functions: functions, Concurrency: 8,
		Secrets: func() runtimeapi.Secrets {
			mu.Lock()
			defer mu.Unlock()
			return runtimeapi.Secrets{ID: secrets.ID, Secret: secrets.Secret, Token: secrets.Token}
		},
	})
	defer h.Close()
	failure := func(function, payload string) string {
		out, err := h.Invoke(t.Context(), function, json.RawMessage(payload))
		var failed *runtimeapi.Failed
		if !errors.As(err, &failed) {
			return fmt.Sprintf("%s, %v", out, err)
		}
		return failed.Type
	}
	const absent = `{"run":{"id":"run-1","startedAt":null},"request":{"instanceId":"i-bp1aaaaaaaaaaaaaaaa1"}}`
	if got := failure("quiesce-precheck", absent); got != "InstanceNotFound" {
		t.Errorf("got %s, want InstanceNotFound from the account", got)
	}
	if got := failure("quiesce-thaw", `{"nonsense":1}`); got != "InvalidInput" {
		t.Errorf("got %s, want InvalidInput", got)
	}
	if got := failure("unknown", `{}`); got != "InvalidInput" {
		t.Errorf("a function without a step: got %s", got)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if got := failure("quiesce-precheck", absent); got != "InstanceNotFound" {
				t.Errorf("together: got %s", got)
			}
		})
	}
	all.Wait()
	if n := h.Processes()["quiesce-precheck"]; n != 1 {
		t.Errorf("%d processes ran them, want 1", n)
	}
	mu.Lock()
	secrets = alicloud.Keys{ID: "STS.somebody", Secret: "else", Token: "x"}
	mu.Unlock()
	if got := failure("quiesce-precheck", absent); got != "AccessDenied" {
		t.Errorf("with another's credentials: got %s, want AccessDenied", got)
	}
}
