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

	"github.com/aliyun/fc-runtime-go-sdk/fc"
	"github.com/aliyun/fc-runtime-go-sdk/fc/messages"
	"github.com/aliyun/fc-runtime-go-sdk/fccontext"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/shared/fault"
)

// What the flow is told goes through the runtime's library.
func TestTypeSurvivesTheLibrary(t *testing.T) {
	refusing := func(context.Context) (json.RawMessage, error) {
		return refuse(fault.New(fault.SnapshotTooSoon, "wait"))
	}
	_, err := fc.NewHandler(refusing).Invoke(t.Context(), []byte(`{}`))
	text, _ := json.Marshal(err)
	if want := `{"errorMessage":"wait","errorType":"SnapshotTooSoon"}`; string(text) != want {
		t.Errorf("got %s, want %s", text, want)
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
