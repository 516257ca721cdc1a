package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/workflow/asl"
)

const definition = `{"StartAt":"Work","TimeoutSeconds":60,"States":{
  "Work":{"Type":"Task","Resource":"arn:aws:lambda:eu-central-1:123456789012:function:work","TimeoutSeconds":3600,"End":true}}}`

// deployed runs a test with one machine, whose only task does work.
func deployed(t *testing.T, work asl.TasksFunc, test func(t *testing.T, e *engine.Engine, announced *[]string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := engine.New(engine.Config{})
		defer e.Close()
		m, err := asl.Parse([]byte(definition), nil)
		if err != nil {
			t.Fatal(err)
		}
		var announced []string
		e.Announce(func(x engine.Execution) { announced = append(announced, x.Name+" "+string(x.Status)) })
		e.Deploy("m", []byte(definition), m, work)
		test(t, e, &announced)
	})
}

// working takes its time, or ends with its context.
func working(d time.Duration) asl.TasksFunc {
	return func(ctx context.Context, _ string, in json.RawMessage) (json.RawMessage, error) {
		select {
		case <-time.After(d):
			return in, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func TestWaitAndList(t *testing.T) {
	deployed(t, working(time.Second), func(t *testing.T, e *engine.Engine, announced *[]string) {
		for _, name := range []string{"a", "b"} {
			x, err := e.Start("m", name, json.RawMessage(`{"n":"`+name+`"}`))
			if err != nil {
				t.Fatal(err)
			}
			if x, err = e.Wait(t.Context(), x.ARN); err != nil || x.Status != engine.Succeeded || string(x.Output) != `{"n":"`+name+`"}` {
				t.Errorf("got %+v, %v", x, err)
			}
		}
		list, err := e.List("m", engine.Succeeded)
		if err != nil || len(list) != 2 || list[0].Name != "b" {
			t.Errorf("listed %+v, %v; want the newest first", list, err)
		}
		if got := strings.Join(*announced, ", "); got != "a RUNNING, a SUCCEEDED, b RUNNING, b SUCCEEDED" {
			t.Errorf("announced %q", got)
		}
	})
}

func TestTimeoutOfTheMachine(t *testing.T) {
	deployed(t, working(10*time.Minute), func(t *testing.T, e *engine.Engine, _ *[]string) {
		x, err := e.Start("m", "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		if x, err = e.Wait(t.Context(), x.ARN); err != nil || x.Status != engine.TimedOut || x.StoppedAt.Sub(x.StartedAt) != time.Minute {
			t.Errorf("got %+v, %v", x, err)
		}
	})
}

func TestAnExecutionIsExpired(t *testing.T) {
	deployed(t, working(10*time.Minute), func(t *testing.T, e *engine.Engine, announced *[]string) {
		x, err := e.Start("m", "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := e.Expire(x.ARN); err != nil {
			t.Fatal(err)
		}
		if x, err = e.Describe(x.ARN); err != nil || x.Status != engine.TimedOut || x.StoppedAt.Sub(x.StartedAt) != time.Second {
			t.Errorf("got %+v, %v", x, err)
		}
		if err := e.Expire("none"); !errors.Is(err, engine.ErrNoExecution) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRefusals(t *testing.T) {
	deployed(t, working(time.Hour), func(t *testing.T, e *engine.Engine, _ *[]string) {
		for _, c := range []struct {
			machine, name, input string
			want                 error
		}{
			{"none", "a", "", engine.ErrNoMachine},
			{"m", "", "", engine.ErrName},
			{"m", "a b", "", engine.ErrName},
			{"m", strings.Repeat("a", 81), "", engine.ErrName},
			{"m", "a", "{", engine.ErrInput},
			{"m", "a", `"` + strings.Repeat("a", asl.MaxPayload) + `"`, engine.ErrInput},
		} {
			if _, err := e.Start(c.machine, c.name, json.RawMessage(c.input)); !errors.Is(err, c.want) {
				t.Errorf("%s %.10s %.10s: got %v, want %v", c.machine, c.name, c.input, err, c.want)
			}
		}
		if _, err := e.Stop("none", "", ""); !errors.Is(err, engine.ErrNoExecution) {
			t.Errorf("got %v", err)
		}
	})
}

// Closing takes the context away from tasks, so that nothing is left behind.
func TestCloseEndsTasks(t *testing.T) {
	deployed(t, working(time.Hour), func(t *testing.T, e *engine.Engine, announced *[]string) {
		if _, err := e.Start("m", "a", nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		e.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("closing took %v", took)
		}
		if got := strings.Join(*announced, ", "); got != "a RUNNING" {
			t.Errorf("announced %q", got)
		}
	})
}
