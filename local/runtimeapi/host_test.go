package runtimeapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/runtimeapi"
)

// host runs the bootstrap of testdata as it would be deployed.
func host(t *testing.T, functions map[string]runtimeapi.Function) (*runtimeapi.Host, func() []string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", binary, "./testdata/bootstrap")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var mu sync.Mutex
	var lines []string
	h := runtimeapi.New(runtimeapi.Config{Binary: binary, Functions: functions, Log: func(function string, line []byte) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, function+" "+string(line))
	}})
	t.Cleanup(h.Close)
	return h, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return lines
	}
}

type answer struct {
	Calls, Pid             int
	Handler, Function, Arn string
	Left                   float64
	Env                    string
}

func invoke(t *testing.T, h runtimeapi.Invoker, function, do string) (a answer, failed *runtimeapi.Failed) {
	t.Helper()
	out, err := h.Invoke(t.Context(), function, json.RawMessage(`{"do":"`+do+`"}`))
	if errors.As(err, &failed) {
		return a, failed
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return a, nil
}

func TestProcesses(t *testing.T) {
	t.Setenv("SECRET_OF_THE_HOST", "x")
	h, lines := host(t, map[string]runtimeapi.Function{
		"quiesce-freeze": {Handler: "freeze", Timeout: time.Second, Environment: []string{"AWS_ENDPOINT_URL=http://127.0.0.1:1"}},
		"stillborn":      {},
	})
	first, _ := invoke(t, h, "quiesce-freeze", "x")
	again, _ := invoke(t, h, "quiesce-freeze", "x")
	if first.Pid != again.Pid || again.Calls != 2 {
		t.Errorf("the warm process was not used again: %+v, %+v", first, again)
	}
	if first.Handler != "freeze" || first.Function != "quiesce-freeze" || !strings.HasSuffix(first.Arn, ":function:quiesce-freeze") {
		t.Errorf("got %+v", first)
	}
	if first.Left < 0.5 || first.Left > 1 {
		t.Errorf("the deadline is %v s away, want almost 1", first.Left)
	}
	if strings.Contains(first.Env, "SECRET") || !strings.Contains(first.Env, "AWS_ENDPOINT_URL=http://127.0.0.1:1") {
		t.Errorf("the environment is %s", first.Env)
	}
	if _, failed := invoke(t, h, "quiesce-freeze", "fail"); failed == nil || failed.Type != "HoldLost" || failed.Message != "the hold was lost" {
		t.Errorf("got %v", failed)
	}
	if after, _ := invoke(t, h, "quiesce-freeze", "x"); after.Pid != first.Pid {
		t.Error("a failed invocation cost the process")
	}
	if _, failed := invoke(t, h, "quiesce-freeze", "panic"); failed == nil || failed.Type != "string" || failed.Message != "planned" {
		t.Errorf("panic: got %v", failed)
	}
	after, _ := invoke(t, h, "quiesce-freeze", "x")
	if after.Pid == first.Pid || after.Calls != 1 {
		t.Error("the process outlived a panic")
	}
	if _, failed := invoke(t, h, "quiesce-freeze", "exit"); failed == nil || failed.Type != "Runtime.ExitError" || !strings.Contains(failed.Message, "exit status 7") {
		t.Errorf("exit: got %v", failed)
	}
	began := time.Now()
	_, failed := invoke(t, h, "quiesce-freeze", "hang")
	if failed == nil || failed.Type != "Sandbox.Timedout" || !strings.HasSuffix(failed.Message, "Error: Task timed out after 1.00 seconds") {
		t.Errorf("hang: got %v", failed)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("killed after %v, want its timeout of 1 s", took)
	}
	if _, failed := invoke(t, h, "stillborn", "x"); failed == nil || failed.Type != "Runtime.ExitError" {
		t.Errorf("stillborn: got %v", failed)
	}
	if !strings.Contains(strings.Join(lines(), "\n"), `quiesce-freeze {"line":"fail"}`) {
		t.Errorf("got lines %q", lines())
	}
	var cold int
	for _, r := range h.Invocations() {
		if r.Cold {
			cold++
		}
		if r.Function == "quiesce-freeze" && r.Cold && r.Init <= 0 {
			t.Errorf("a cold start without its time: %+v", r)
		}
	}
	if cold != 4 {
		t.Errorf("%d cold starts, want 4: the first, after a panic, after an exit, the stillborn", cold)
	}
}

func TestBusyProcessIsJoinedAndCloseKillsAll(t *testing.T) {
	h, _ := host(t, map[string]runtimeapi.Function{"f": {Timeout: time.Minute}})
	var wg sync.WaitGroup
	pids := make([]int, 3)
	for i := range pids {
		wg.Go(func() {
			out, err := h.Invoke(t.Context(), "f", json.RawMessage(`{"do":"nap"}`))
			var a answer
			if err == nil {
				err = json.Unmarshal(out, &a)
			}
			if err != nil {
				t.Error(err)
			}
			pids[i] = a.Pid
		})
	}
	wg.Wait()
	if pids[0] == pids[1] || pids[1] == pids[2] || h.Processes()["f"] != 3 {
		t.Errorf("got pids %v and %v processes, want 3", pids, h.Processes())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Invoke(ctx, "f", json.RawMessage(`{"do":"hang"}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the caller is let go", err)
	}
	h.Close()
	for _, pid := range pids {
		p, _ := os.FindProcess(pid)
		if err := p.Signal(syscall.Signal(0)); err == nil {
			t.Errorf("process %d outlived the host", pid)
		}
	}
}
