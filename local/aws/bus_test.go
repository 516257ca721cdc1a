package aws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/bus"
	"github.com/quiesce/quiesce/local/fault"
)

func entry(detail string) types.PutEventsRequestEntry {
	return types.PutEventsRequestEntry{Source: sdk.String("quiesce"), DetailType: sdk.String("Thaw Failed"), Detail: &detail}
}

func TestEventsReachTheRules(t *testing.T) {
	var log bytes.Buffer
	run(t, aws.Config{Bus: bus.Config{Log: &log}}, func(t *testing.T, w *world) {
		got := make(chan bus.Event, 10)
		target := func(_ context.Context, e bus.Event) { got <- e }
		if err := w.Bus.Rule("mine", `{"source":["quiesce"],"detail":{"code":[{"prefix":"Hold"}]}}`, target); err != nil {
			t.Fatal(err)
		}
		client := eventbridge.NewFromConfig(once(w.Client("tag")))
		at := time.Now().Add(-time.Hour)
		first := entry(`{"code":"HoldLost","runId":"r1"}`)
		first.Time = &at
		out, err := client.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{first, entry(`not JSON`), entry(`{"code":"Other"}`)}})
		if err != nil {
			t.Fatal(err)
		}
		if out.FailedEntryCount != 1 || *out.Entries[1].ErrorCode != "MalformedDetail" || out.Entries[0].EventId == nil {
			t.Errorf("got %+v", out)
		}
		time.Sleep(time.Second)
		if len(got) != 1 {
			t.Fatalf("the rule's target was called %d times, want once", len(got))
		}
		if e := <-got; !e.Time.Equal(at.Truncate(time.Second)) || e.DetailType != "Thaw Failed" || e.Region != w.Region() {
			t.Errorf("got %+v", e)
		}
		if lines := strings.Count(log.String(), "\n"); lines != 2 || len(w.Bus.Events()) != 2 {
			t.Errorf("the log has %d lines and %d events, want 2", lines, len(w.Bus.Events()))
		}
	})
}

func TestBusRefusals(t *testing.T) {
	plan, err := fault.New("PutEvents:throttle@4")
	if err != nil {
		t.Fatal(err)
	}
	run(t, aws.Config{Faults: plan}, func(t *testing.T, w *world) {
		client := eventbridge.NewFromConfig(once(w.Client("tag")))
		put := func(entries ...types.PutEventsRequestEntry) error {
			_, err := client.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: entries})
			return err
		}
		wantCode(t, put(make([]types.PutEventsRequestEntry, 11)...), "ValidationException")
		big := fmt.Sprintf(`{"a":%q}`, strings.Repeat("x", 256*1024))
		wantCode(t, put(entry(big)), "ValidationException")
		other := entry("{}")
		other.EventBusName = sdk.String("other")
		wantCode(t, put(other), "ResourceNotFoundException")
		wantCode(t, put(entry("{}")), "ThrottlingException")
	})
}

func TestPatterns(t *testing.T) {
	event, err := json.Marshal(map[string]any{
		"source": "aws.states", "resources": []string{"a", "b"},
		"detail": map[string]any{"status": "FAILED", "ms": 12.5, "code": nil, "deep": map[string]any{"x": true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]bool{
		`{"source":["aws.states","x"]}`:                                true,
		`{"source":["aws.ec2"]}`:                                       false,
		`{"resources":["b"]}`:                                          true,
		`{"detail":{"status":["FAILED"],"ms":[12.5]}}`:                 true,
		`{"detail":{"status":[{"anything-but":"FAILED"}]}}`:            false,
		`{"detail":{"status":[{"anything-but":["A","B"]}]}}`:           true,
		`{"detail":{"status":[{"anything-but":{"prefix":"FA"}}]}}`:     false,
		`{"detail":{"status":[{"suffix":"ED"}]}}`:                      true,
		`{"detail":{"ms":[{"numeric":[">",10,"<=",12.5]}]}}`:           true,
		`{"detail":{"ms":[{"numeric":["=",10]}]}}`:                     false,
		`{"detail":{"gone":[{"exists":false}],"code":[null]}}`:         true,
		`{"detail":{"gone":[{"exists":true}]}}`:                        false,
		`{"detail":{"deep":{"x":[true]}},"source":[{"prefix":"aws"}]}`: true,
	} {
		p, err := bus.ParsePattern([]byte(pattern))
		if err != nil {
			t.Fatalf("%s: %v", pattern, err)
		}
		if got := p.Match(event); got != want {
			t.Errorf("%s: got %v, want %v", pattern, got, want)
		}
	}
	for _, bad := range []string{`{}`, `{"a":[]}`, `{"a":"b"}`, `{"a":[{"wildcard":"*"}]}`, `{"a":{}}`, `[`} {
		if _, err := bus.ParsePattern([]byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}
