package edge

import (
	"context"
	"encoding/json"
	"testing"
)

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

func TestTimerStartsPrune(t *testing.T) {
	for given, want := range map[string]string{
		`{"triggerTime":"2026-03-01T04:00:00Z","triggerName":"nightly","payload":"{\"policy\":{}}"}`: `{"request":{"policy":{}},"run":{"id":"nightly-20260301T040000Z"}}`,
		`{"triggerTime":"2026-03-01T04:00:00Z","triggerName":"nightly","payload":{"policy":{}}}`:     `{"request":{"policy":{}},"run":{"id":"nightly-20260301T040000Z"}}`,
		`{"run":{"id":"by-hand"},"request":{"policy":{}}}`:                                           `{"run":{"id":"by-hand"},"request":{"policy":{}}}`,
		`null`: `null`,
	} {
		var got string
		_, err := timed(func(_ context.Context, payload json.RawMessage) (json.RawMessage, error) {
			got = string(payload)
			return nil, nil
		})(t.Context(), json.RawMessage(given))
		if err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", given, got, err, want)
		}
	}
}

// What a timer says to verify-clean is that it shall look; a flow says what of.
func TestTimerStartsTheSweepOfTests(t *testing.T) {
	const of = `{"run":{"id":"t"},"created":null,"before":null}`
	for given, want := range map[string]string{
		`{"triggerTime":"2026-03-01T04:00:00Z","triggerName":"tests","payload":""}`: `{"before":null,"created":null,"run":{"id":"tests-20260301T040000Z"},"sweep":true}`,
		of: of,
	} {
		var got string
		_, err := swept(func(_ context.Context, payload json.RawMessage) (json.RawMessage, error) {
			got = string(payload)
			return nil, nil
		})(t.Context(), json.RawMessage(given))
		if err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", given, got, err, want)
		}
	}
}
