package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/functions/edge"
	"github.com/quiesce/quiesce/shared/fault"
)

// What Lambda sends to the state machine goes through the runtime's library.
func TestTypeSurvivesTheLibrary(t *testing.T) {
	failing := handler{edge.Lambda(func(context.Context, json.RawMessage) (json.RawMessage, error) {
		return nil, fault.New(fault.SnapshotTooSoon, "wait")
	})}
	_, err := lambda.NewHandler(failing).Invoke(t.Context(), []byte(`{}`))
	text, _ := json.Marshal(err)
	if want := `{"errorMessage":"wait","errorType":"SnapshotTooSoon"}`; string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
}

func TestServesEveryStep(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-central-1")
	for _, name := range functions.Names {
		handler, err := serve(t.Context(), env{"_HANDLER": name}.get, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		_, err = handler.Invoke(t.Context(), []byte(`{"nonsense":1}`))
		var got messages.InvokeResponse_Error
		if !errors.As(err, &got) || got.Type != string(fault.InvalidInput) {
			t.Errorf("%s: got %v, want InvalidInput", name, err)
		}
	}
}

func TestRefusesAnUnknownHandler(t *testing.T) {
	_, err := serve(t.Context(), env{"_HANDLER": "bootstrap"}.get, io.Discard)
	if err == nil || !strings.Contains(err.Error(), `"bootstrap" is no step; it must be one of precheck, `) {
		t.Fatalf("got %v", err)
	}
	var path, kind string
	var body []byte
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, kind = r.Method+" "+r.URL.Path, r.Header.Get("Lambda-Runtime-Function-Error-Type")
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer api.Close()
	refuse(t.Context(), strings.TrimPrefix(api.URL, "http://"), err)
	if want := "POST /2018-06-01/runtime/init/error"; path != want {
		t.Errorf("got %q, want %q", path, want)
	}
	if want := "Runtime.InvalidConfiguration"; kind != want || !strings.Contains(string(body), want) || !strings.Contains(string(body), "is no step") {
		t.Errorf("got %q and %s", kind, body)
	}
}

type env map[string]string

func (e env) get(key string) string { return e[key] }
