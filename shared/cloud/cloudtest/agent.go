package cloudtest

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// heard is how long after its death an agent may still be called online.
const heard = time.Hour

const (
	delivery  = 30 * time.Second
	execution = 20 * time.Second
	slack     = 30 * time.Second
)

func command(h Harness, verb, request string) cloud.Command {
	return cloud.Command{
		InstanceID: h.Running.ID, Asset: cloud.Asset{SHA256: strings.Repeat("a", 64)}, Verb: verb, Request: []byte(request),
		DeliverySecs: int(delivery.Seconds()), ExecutionSecs: int(execution.Seconds()), Comment: "conformance",
	}
}

func send(t *testing.T, h Harness, cmd cloud.Command) (id string) {
	t.Helper()
	id, err := h.Provider.Send(t.Context(), cmd)
	ok(t, err)
	if id == "" {
		t.Fatal("the command has no id")
	}
	return id
}

func await(t *testing.T, h Harness, id string, limit time.Duration) (got cloud.Result) {
	t.Helper()
	within(t, limit, "the command ends", func() bool {
		var err error
		got, err = h.Provider.Result(t.Context(), h.Running.ID, id)
		ok(t, err)
		return got.Done
	})
	return got
}

// hanging is a helper that never answers; killed is set when it was.
func hanging(killed *atomic.Bool) Guest {
	return func(ctx context.Context, _ string, _ []byte) Answer {
		<-ctx.Done()
		killed.Store(true)
		return Answer{ExitCode: 137}
	}
}

var agent = []test{
	{"agent/online", func(t *testing.T, h Harness) {
		got, err := h.Provider.Ping(t.Context(), h.Running.ID)
		ok(t, err)
		if !got.Online || !got.Linux || got.Last.IsZero() || time.Since(got.Last) > heard {
			t.Errorf("got %+v", got)
		}
	}},
	{"agent/offline", func(t *testing.T, h Harness) {
		h.Agent(false)
		within(t, heard, "the agent is called offline", func() bool {
			got, err := h.Provider.Ping(t.Context(), h.Running.ID)
			ok(t, err)
			return !got.Online
		})
		_, err := h.Provider.Send(t.Context(), command(h, "status", "{}"))
		wantCode(t, err, fault.AgentOffline)
	}},
	{"agent/of nobody", func(t *testing.T, h Harness) {
		got, err := h.Provider.Ping(t.Context(), h.Absent)
		ok(t, err)
		if got.Online {
			t.Errorf("got %+v", got)
		}
		cmd := command(h, "status", "{}")
		cmd.InstanceID = h.Absent
		_, err = h.Provider.Send(t.Context(), cmd)
		wantCode(t, err, fault.AgentOffline)
	}},
	{"command/succeeds", func(t *testing.T, h Harness) {
		const request = `{"a":"it's $(reboot); ` + "`x`" + ` \"\\ \n ü"}`
		var verb, got string
		h.Guest(func(_ context.Context, v string, r []byte) Answer {
			verb, got = v, string(r)
			return Answer{Stdout: `{"ok":true}` + "\n"}
		})
		id := send(t, h, command(h, "freeze", request))
		now, err := h.Provider.Result(t.Context(), h.Running.ID, id)
		ok(t, err)
		if now.Done {
			t.Errorf("done before it was delivered: %+v", now)
		}
		end := await(t, h, id, slack)
		if end.ExitCode != 0 || end.TimedOut || end.Status == "" || strings.TrimSpace(end.Stdout) != `{"ok":true}` {
			t.Errorf("got %+v", end)
		}
		if verb != "freeze" || got != request {
			t.Errorf("the helper was asked %q %q, want %q", verb, got, request)
		}
	}},
	{"command/exit code", func(t *testing.T, h Harness) {
		for _, code := range []int{1, 203, 210} {
			h.Guest(func(context.Context, string, []byte) Answer {
				return Answer{ExitCode: code, Stdout: `{"error":{}}`, Stderr: "why"}
			})
			end := await(t, h, send(t, h, command(h, "thaw", "{}")), slack)
			if end.ExitCode != code || end.TimedOut || end.Stdout != `{"error":{}}` || !strings.Contains(end.Stderr, "why") {
				t.Errorf("got %+v, want exit code %d", end, code)
			}
		}
	}},
	{"command/not known yet", func(t *testing.T, h Harness) {
		id := send(t, h, command(h, "status", "{}"))
		await(t, h, id, slack)
		last := map[bool]string{true: "1", false: "0"}[strings.HasSuffix(id, "0")]
		got, err := h.Provider.Result(t.Context(), h.Running.ID, id[:len(id)-1]+last)
		ok(t, err)
		if got.Done || got.TimedOut {
			t.Errorf("got %+v, want pending", got)
		}
	}},
	{"command/never delivered", func(t *testing.T, h Harness) {
		var ran atomic.Bool
		h.Guest(func(context.Context, string, []byte) Answer { ran.Store(true); return Answer{} })
		h.Agent(false)
		started := time.Now()
		end := await(t, h, send(t, h, command(h, "freeze", "{}")), delivery+execution+slack)
		if !end.TimedOut || end.ExitCode == 0 || time.Since(started) < delivery {
			t.Errorf("got %+v after %s", end, time.Since(started))
		}
		h.Agent(true)
		if time.Sleep(time.Minute); ran.Load() {
			t.Error("it ran after its delivery limit")
		}
	}},
	{"command/killed at its limit", func(t *testing.T, h Harness) {
		var killed atomic.Bool
		h.Guest(hanging(&killed))
		started := time.Now()
		end := await(t, h, send(t, h, command(h, "begin", "{}")), delivery+execution+slack)
		if !end.TimedOut || end.ExitCode == 0 || !killed.Load() || time.Since(started) < execution {
			t.Errorf("got %+v after %s, killed %t", end, time.Since(started), killed.Load())
		}
	}},
	{"command/cancelled", func(t *testing.T, h Harness) {
		var killed atomic.Bool
		h.Guest(hanging(&killed))
		id := send(t, h, command(h, "begin", "{}"))
		time.Sleep(5 * time.Second)
		ok(t, h.Provider.Cancel(t.Context(), h.Running.ID, id))
		limit := execution - 6*time.Second
		if h.Unstoppable {
			limit = execution + slack
		}
		if end := await(t, h, id, limit); end.ExitCode == 0 || !end.TimedOut || !killed.Load() {
			t.Errorf("got %+v, killed %t", end, killed.Load())
		}
	}},
	{"command/sent again when throttled", func(t *testing.T, h Harness) {
		h.Trouble(Send, Throttle)
		if end := await(t, h, send(t, h, command(h, "status", "{}")), slack); end.ExitCode != 0 {
			t.Errorf("got %+v", end)
		}
	}},
	{"command/denied", func(t *testing.T, h Harness) {
		h.Trouble(Send, Deny)
		_, err := h.Provider.Send(t.Context(), command(h, "status", "{}"))
		wantCode(t, err, fault.AccessDenied)
	}},
}
