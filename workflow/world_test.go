package workflow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/workflow/asl"
)

// reply is what a fake step does once: take its time, then answer or fail.
type reply struct {
	after  time.Duration
	output string
	err    *asl.Error
}

func fails(code fault.Code) reply { return failsAs(string(code)) }

func failsAs(name string) reply {
	payload, _ := json.Marshal(map[string]string{"errorType": name, "errorMessage": "planned"})
	return reply{err: &asl.Error{Name: name, Cause: string(payload)}}
}

func answers(output string) reply { return reply{output: output} }

func (r reply) within(d time.Duration) reply { r.after = d; return r }

func times(n int, r reply) []reply {
	out := make([]reply, n)
	for i := range out {
		out[i] = r
	}
	return out
}

// world is the steps as scripted: the planned replies in their order, then the
// step's usual one. It keeps what each step was given.
type world struct {
	event     time.Duration // from a wait's begin to its set's event; 0: 5 s, negative: never
	callbacks asl.Callbacks

	mu    sync.Mutex
	plan  map[string][]reply
	calls []call
	ended map[string]int // invocations that came to their end
}

type call struct {
	step  string
	input string
	at    time.Time
}

// usual are the answers of a run in which everything goes well.
var usual = map[string]string{
	"precheck":      plan("degrade", true, true),
	"run-prescript": `{"quiesced":true,"record":{}}`,
	"freeze":        `{"hold":"h1","mounts":1,"record":{}}`,
	"snapshot":      `{"hold":"h1","snapshots":[{"id":"snap-1","volumeId":"vol-1","state":"pending"}],"callMs":120,"record":{}}`,
	"thaw":          `{"evidence":{"hold":"h1"},"record":{}}`,
	"await":         `{"state":"pending","record":{}}`,
	"poll-status":   `{"state":"completed","snapshots":[],"polls":1,"waitSeconds":0,"record":{}}`,
	"start-vss":     `{"state":"running","commandId":"c","waitSeconds":5,"set":null}`,
	"watch-vss":     `{"state":"running","commandId":"c","waitSeconds":10,"set":null}`,
	"make-shadows":  `{"state":"made","commandId":"c","waitSeconds":0,"set":null}`,
	"drop-shadows":  `{"dropped":2,"record":{}}`,
	"tag":           verdict("completed"),
	"events":        `{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}`,
}

func plan(onFailure string, freeze, filesystems bool) string {
	list := "[]"
	if filesystems {
		list = `[{"mount":"/data","device":"259:1"}]`
	}
	return fmt.Sprintf(`{"runId":"run-1","target":{"provider":"aws","region":"eu-west-1","instanceId":"i-0abc"},
		"policy":{"name":"gold","mode":"orchestrated","onFailure":%q,"freeze":{"enabled":%t}},"filesystems":%s}`, onFailure, freeze, list)
}

func verdict(outcome string) string {
	return fmt.Sprintf(`{"outcome":%q,"consistency":"application","reason":"because","frozenMs":130}`, outcome)
}

func polled(state string, wait int) reply {
	return answers(fmt.Sprintf(`{"state":%q,"waitSeconds":%d}`, state, wait))
}

func (w *world) Invoke(_ context.Context, resource string, input json.RawMessage) (json.RawMessage, error) {
	step := resource[strings.LastIndex(resource, ":")+1:]
	if strings.HasPrefix(resource, "arn:aws:states:::events:") {
		step = "events"
	}
	if step == "invoke.waitForTaskToken" {
		var in struct {
			FunctionName string
			Payload      json.RawMessage
		}
		if err := json.Unmarshal(input, &in); err != nil {
			return nil, err
		}
		step, input = in.FunctionName[strings.LastIndex(in.FunctionName, ":")+1:], in.Payload
		w.expect(input)
	}
	w.mu.Lock()
	w.calls = append(w.calls, call{step, string(input), time.Now()})
	r := answers(usual[step])
	if planned := w.plan[step]; len(planned) > 0 {
		r, w.plan[step] = planned[0], planned[1:]
	}
	w.mu.Unlock()
	time.Sleep(r.after)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended == nil {
		w.ended = map[string]int{}
	}
	w.ended[step]++
	if r.err != nil {
		return nil, r.err
	}
	return json.RawMessage(r.output), nil
}

// expect lets the event come for which the payload's token waits.
func (w *world) expect(payload json.RawMessage) {
	var in struct{ Token string }
	if json.Unmarshal(payload, &in) != nil || w.event < 0 {
		return
	}
	time.AfterFunc(cmp.Or(w.event, 5*time.Second), func() { _ = w.callbacks.Succeed(in.Token, json.RawMessage(`{}`)) })
}

func (w *world) count(step string) (n int) {
	for _, c := range w.calls {
		if c.step == step {
			n++
		}
	}
	return n
}

func (w *world) last(step string) string {
	for i := len(w.calls) - 1; i >= 0; i-- {
		if w.calls[i].step == step {
			return w.calls[i].input
		}
	}
	return ""
}

// unspent names the steps whose plan was not used up: a fault that never
// struck proves nothing.
func (w *world) unspent() (steps []string) {
	for step, left := range w.plan {
		if len(left) > 0 {
			steps = append(steps, step)
		}
	}
	return steps
}

func machine(t testing.TB) *asl.Machine {
	t.Helper()
	m, err := Machine("quiesce", func(step string) string { return "arn:aws:lambda:eu-west-1:123456789012:function:" + step })
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// trace is one execution as it went.
type trace struct {
	states []string
	events []asl.Event
	output string
	err    *asl.Failure
	took   time.Duration
}

func (tr trace) path() string { return strings.Join(tr.states, " ") }

func execute(ctx context.Context, m *asl.Machine, w *world, input string) trace {
	return executeAs(ctx, m, w, w, input)
}

func executeAs(ctx context.Context, m *asl.Machine, w *world, tasks asl.Tasks, input string) trace {
	var tr trace
	var work sync.WaitGroup
	defer work.Wait() // a bubble may not end before those that were given up on
	started := time.Now()
	out, err := m.Run(ctx, asl.Execution{
		ID: "arn:aws:states:eu-west-1:123456789012:execution:quiesce:run-1", Name: "run-1",
		Input: json.RawMessage(input), Tasks: tasks, Work: &work, Callbacks: &w.callbacks, Seed: 1,
		Observe: func(e asl.Event) {
			tr.events = append(tr.events, e)
			if strings.HasSuffix(e.Type, "StateEntered") {
				tr.states = append(tr.states, e.Name)
			}
		},
	})
	tr.output, tr.took = string(out), time.Since(started)
	errors.As(err, &tr.err)
	return tr
}

// BenchmarkExecution is one run in which everything goes well, steps included
// that answer at once.
func BenchmarkExecution(b *testing.B) {
	m := machine(b)
	run := func(b *testing.B) {
		if got := execute(b.Context(), m, &world{}, `{"instanceId":"i-0abc"}`); got.err != nil {
			b.Fatal(got.err)
		}
	}
	b.Run("one at a time", func(b *testing.B) {
		for b.Loop() {
			run(b)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "executions/s")
	})
	b.Run("many at once", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				run(b)
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "executions/s")
	})
}
