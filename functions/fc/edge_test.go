package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fc"
	"github.com/aliyun/fc-runtime-go-sdk/fc/messages"
	"github.com/aliyun/fc-runtime-go-sdk/fccontext"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/step"
)

func failing(err error) edge {
	return edge{func(context.Context, json.RawMessage) (json.RawMessage, error) { return nil, err }, maxAnswer}
}

func TestTypeIsTheCode(t *testing.T) {
	foreign := errors.New("nobody translated this")
	for _, c := range []struct {
		err  error
		want messages.InvokeResponse_Error
	}{
		{fault.New(fault.AgentOffline, "the agent is silent"), messages.InvokeResponse_Error{Type: "AgentOffline", Message: "the agent is silent"}},
		{fault.Wrap(fault.HoldLost, foreign, "thaw"), messages.InvokeResponse_Error{Type: "HoldLost", Message: "thaw: nobody translated this"}},
		{foreign, messages.InvokeResponse_Error{Type: "Internal", Message: "nobody translated this"}},
	} {
		_, err := failing(c.err).Invoke(t.Context(), nil)
		var got messages.InvokeResponse_Error
		if !errors.As(err, &got) || got.Type != c.want.Type || got.Message != c.want.Message {
			t.Errorf("%v: got %#v, want %#v", c.err, err, c.want)
		}
	}
}

// What the flow is told goes through the runtime's library.
func TestTypeSurvivesTheLibrary(t *testing.T) {
	handler := failing(fault.New(fault.SnapshotTooSoon, "wait"))
	_, err := fc.NewHandler(handler.Invoke).Invoke(t.Context(), []byte(`{}`))
	text, _ := json.Marshal(err)
	if want := `{"errorMessage":"wait","errorType":"SnapshotTooSoon"}`; string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
}

func TestAnswersBeforeItIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		started := time.Now()
		waiting := edge{func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
			<-ctx.Done()
			return nil, fault.Wrap(fault.Unavailable, ctx.Err(), "wait")
		}, maxAnswer}
		_, err := waiting.Invoke(ctx, nil)
		if got, want := time.Since(started), time.Minute-margin; err == nil || got != want {
			t.Errorf("got %v after %s, want an error after %s", err, got, want)
		}
	})
}

// What a flow has no room for becomes a fault that it can catch, and a long
// sentence keeps its step's times.
func TestNothingOverflowsAFlow(t *testing.T) {
	large := edge{func(context.Context, json.RawMessage) (json.RawMessage, error) {
		return json.RawMessage(`"` + strings.Repeat("x", maxAnswer) + `"`), nil
	}, maxAnswer}
	var got messages.InvokeResponse_Error
	if out, err := large.Invoke(t.Context(), nil); !errors.As(err, &got) || got.Type != string(fault.Internal) {
		t.Errorf("got %d bytes, %v", len(out), err)
	}
	wordy := edge{step.New("freeze", func(context.Context, struct{}) (any, error) {
		return nil, fault.New(fault.FreezeRefused, "%s", strings.Repeat("é", 3000))
	}), maxAnswer}
	_, err := wordy.Invoke(t.Context(), []byte(`{}`))
	if !errors.As(err, &got) || len(got.Message) > maxMessage {
		t.Fatalf("got %d bytes", len(got.Message))
	}
	if _, name, _, _, ok := step.Unstamp(got.Message); !ok || name != "freeze" {
		t.Errorf("the times are lost: …%s", got.Message[len(got.Message)-80:])
	}
}

func TestSchedulesPayload(t *testing.T) {
	const request = `{"instanceId":"i-bp1aaaaaaaaaaaaaaaa1"}`
	for given, want := range map[string]string{
		request: request,
		`{"triggerTime":"2026-03-01T04:00:00Z","triggerName":"nightly","payload":` + request + `}`:                               request,
		`{"triggerTime":"2026-03-01T04:00:00Z","triggerName":"nightly","payload":"{\"instanceId\":\"i-bp1aaaaaaaaaaaaaaaa1\"}"}`: request,
		`{"triggerName":"a field of somebody's own"}`:                                                                            `{"triggerName":"a field of somebody's own"}`,
		`null`: `null`,
	} {
		var got struct{ Request json.RawMessage }
		_, err := scheduled(func(_ context.Context, payload json.RawMessage) (json.RawMessage, error) {
			return nil, json.Unmarshal(payload, &got)
		})(t.Context(), json.RawMessage(`{"run":{"id":"r"},"request":`+given+`}`))
		if err != nil || string(got.Request) != want {
			t.Errorf("%s: got %s, %v", given, got.Request, err)
		}
	}
}

func TestWakeHearsOfOneSnapshot(t *testing.T) {
	var got string
	hear := completed(func(_ context.Context, payload json.RawMessage) (json.RawMessage, error) {
		got = string(payload)
		return nil, nil
	})
	_, _ = hear(t.Context(), json.RawMessage(`{"id":"1","source":"acs.ecs","specversion":"1.0","type":"ecs:Snapshot:CreateSnapshotCompleted","data":{"snapshotId":"s-bp1aaa","result":"accomplished"}}`))
	if want := `{"detail":{"snapshots":[{"snapshot_id":"s-bp1aaa"}]}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

type env map[string]string

func (e env) get(key string) string { return e[key] }

func call(ctx context.Context, handler string, c fccontext.Credentials) context.Context {
	return fccontext.NewContext(ctx, &fccontext.FcContext{
		Credentials: c, Function: fccontext.Function{Handler: handler}, Region: "cn-hangzhou", AccountId: "1234567890123456",
	})
}

func TestServesEveryStep(t *testing.T) {
	for _, name := range functions.FlowNames {
		for _, e := range []env{{"QUIESCE_STEP": name}, {}} {
			s, err := newServer(e.get, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.serve(call(t.Context(), name, fccontext.Credentials{}), []byte(`{"nonsense":1}`))
			var got messages.InvokeResponse_Error
			if !errors.As(err, &got) || got.Type != string(fault.InvalidInput) {
				t.Errorf("%s: got %v, want InvalidInput", name, err)
			}
		}
	}
}

func TestRefusesAnUnknownStep(t *testing.T) {
	if _, err := newServer(env{"QUIESCE_STEP": "main"}.get, io.Discard); err == nil || !strings.Contains(err.Error(), `QUIESCE_STEP: names no step: "main"; it must be one of precheck, `) {
		t.Errorf("got %v", err)
	}
	s, err := newServer(env{}.get, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.serve(call(t.Context(), "main", fccontext.Credentials{}), []byte(`{}`))
	var got messages.InvokeResponse_Error
	if !errors.As(err, &got) || got.Type != string(fault.InvalidInput) || !strings.Contains(got.Message, "handler") {
		t.Errorf("got %v", err)
	}
}

// Each invocation signs with its own credentials, whoever else runs in the
// process.
func TestCredentialsAreTheInvocations(t *testing.T) {
	var all sync.WaitGroup
	for _, id := range []string{"STS.a", "STS.b", "STS.c"} {
		all.Go(func() {
			for range 100 {
				k, err := keys(call(t.Context(), "freeze", fccontext.Credentials{AccessKeyId: id, AccessKeySecret: "secret of " + id, SecurityToken: "token of " + id}))
				if err != nil || k.ID != id || k.Secret != "secret of "+id || k.Token != "token of "+id {
					t.Errorf("got %+v, %v of %s", k, err, id)
				}
			}
		})
	}
	all.Wait()
	if _, err := keys(call(t.Context(), "freeze", fccontext.Credentials{})); fault.CodeOf(err) != fault.AccessDenied {
		t.Errorf("without a role: got %v", err)
	}
}

// Metrics are put once a step has answered, but for those of the window, which
// wait until the process is put to sleep.
func TestMetricsDoNotHoldTheWindowUp(t *testing.T) {
	a := aliyun.New(aliyun.Config{})
	t.Cleanup(a.Close)
	front := httptest.NewServer(a)
	t.Cleanup(front.Close)
	k := a.Keys("quiesce")
	for step, atOnce := range map[string]bool{"freeze": false, "poll-status": true} {
		s, err := newServer(env{"QUIESCE_ENDPOINT": front.URL, "QUIESCE_STEP": step}.get, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		ctx := call(t.Context(), "main", fccontext.Credentials{AccessKeyId: k.ID, AccessKeySecret: k.Secret, SecurityToken: k.Token})
		before := a.Count("PutCustomMetric")
		if _, err := s.serve(ctx, []byte(`{"nonsense":1}`)); err == nil {
			t.Fatal("nonsense was taken")
		}
		if put := a.Count("PutCustomMetric") > before; put != atOnce {
			t.Errorf("%s: metrics were put at once: %t", step, put)
		}
		if s.settle(ctx); a.Count("PutCustomMetric") == before {
			t.Errorf("%s: no metric was put", step)
		}
	}
}
