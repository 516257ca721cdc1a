package cloudtest

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

const (
	userDocument = "Users-Document"
	executionID  = "0a1b2c3d-0000-8000-8000-00000000002a"
)

func documentCommand(h Harness, command string) cloud.DocumentCommand {
	return cloud.DocumentCommand{
		InstanceID: h.Running.ID, Document: userDocument, DeliverySecs: int(delivery.Seconds()), Comment: "conformance",
		Parameters: map[string]string{"command": command, "executionId": executionID},
	}
}

func sendDocument(t *testing.T, h Harness, cmd cloud.DocumentCommand) (id string) {
	t.Helper()
	id, err := h.Provider.SendDocument(t.Context(), cmd)
	ok(t, err)
	if id == "" {
		t.Fatal("the command has no id")
	}
	return id
}

// documented is a test of a provider that has documents; one that has none
// refuses both calls, and runs nothing.
func documented(do func(t *testing.T, h Harness)) func(t *testing.T, h Harness) {
	return func(t *testing.T, h Harness) {
		if h.Register != nil {
			do(t, h)
			return
		}
		_, err := h.Provider.Document(t.Context(), userDocument)
		wantCode(t, err, fault.CommandFailed)
		_, err = h.Provider.SendDocument(t.Context(), documentCommand(h, "pre-script"))
		wantCode(t, err, fault.CommandFailed)
	}
}

var documents = []test{
	{"document/described", documented(func(t *testing.T, h Harness) {
		h.Register(userDocument, func(context.Context, map[string]string) Answer { return Answer{} })
		got, err := h.Provider.Document(t.Context(), userDocument)
		ok(t, err)
		command, id := got.Parameters["command"], got.Parameters["executionId"]
		if want := []string{"pre-script", "post-script", "dry-run"}; !got.Command || len(got.Parameters) != 3 || !slices.Equal(command.Allowed, want) {
			t.Errorf("got %+v, want the commands %v", got, want)
		}
		if id.Pattern == "" || len(id.Allowed) > 0 {
			t.Errorf("executionId: got %+v, want any that a pattern matches", id)
		}
		for name, p := range got.Parameters {
			if !p.Optional {
				t.Errorf("%s has a default, and is called mandatory", name)
			}
		}
	})},
	{"document/of nobody", documented(func(t *testing.T, h Harness) {
		_, err := h.Provider.Document(t.Context(), "No-Such-Document")
		wantCode(t, err, fault.CommandFailed)
		cmd := documentCommand(h, "pre-script")
		cmd.Document = "No-Such-Document"
		_, err = h.Provider.SendDocument(t.Context(), cmd)
		wantCode(t, err, fault.CommandFailed)
	})},
	{"document/runs with its parameters and its exit code", documented(func(t *testing.T, h Harness) {
		for _, code := range []int{0, 201, 206} {
			var given map[string]string
			h.Register(userDocument, func(_ context.Context, p map[string]string) Answer { given = p; return Answer{ExitCode: code} })
			end := await(t, h, sendDocument(t, h, documentCommand(h, "pre-script")), slack)
			if end.ExitCode != code || end.TimedOut || end.Running {
				t.Errorf("got %+v, want exit code %d", end, code)
			}
			if given["command"] != "pre-script" || given["executionId"] != executionID {
				t.Errorf("the document was given %v", given)
			}
		}
	})},
	{"document/a value that it does not allow", documented(func(t *testing.T, h Harness) {
		var ran atomic.Bool
		h.Register(userDocument, func(context.Context, map[string]string) Answer { ran.Store(true); return Answer{} })
		for _, p := range []map[string]string{
			{"command": "reboot", "executionId": executionID},
			{"command": "pre-script", "executionId": "$(reboot)"},
			{"command": "pre-script", "executionId": executionID, "other": "x"},
		} {
			cmd := documentCommand(h, "pre-script")
			cmd.Parameters = p
			_, err := h.Provider.SendDocument(t.Context(), cmd)
			wantCode(t, err, fault.CommandFailed)
		}
		if time.Sleep(time.Minute); ran.Load() {
			t.Error("it ran all the same")
		}
	})},
	{"document/is seen to run, and cancelled", documented(func(t *testing.T, h Harness) {
		var killed atomic.Bool
		h.Register(userDocument, func(ctx context.Context, _ map[string]string) Answer {
			<-ctx.Done()
			killed.Store(true)
			return Answer{ExitCode: 137}
		})
		id := sendDocument(t, h, documentCommand(h, "pre-script"))
		if now, err := h.Provider.Result(t.Context(), h.Running.ID, id); err != nil || now.Running || now.Done {
			t.Errorf("at once: got %+v, %v", now, err)
		}
		within(t, slack, "it runs", func() bool {
			now, err := h.Provider.Result(t.Context(), h.Running.ID, id)
			ok(t, err)
			return now.Running
		})
		ok(t, h.Provider.Cancel(t.Context(), h.Running.ID, id))
		if end := await(t, h, id, slack); end.ExitCode == 0 || !end.TimedOut || end.Running || !killed.Load() {
			t.Errorf("got %+v, killed %t", end, killed.Load())
		}
	})},
	{"document/denied, throttled, offline", documented(func(t *testing.T, h Harness) {
		h.Register(userDocument, func(context.Context, map[string]string) Answer { return Answer{} })
		h.Trouble(Send, Deny)
		_, err := h.Provider.SendDocument(t.Context(), documentCommand(h, "pre-script"))
		wantCode(t, err, fault.AccessDenied)
		h.Trouble(Send, Throttle)
		if end := await(t, h, sendDocument(t, h, documentCommand(h, "pre-script")), slack); end.ExitCode != 0 {
			t.Errorf("sent again when throttled: got %+v", end)
		}
		h.Trouble(ReadDocument, Deny)
		_, err = h.Provider.Document(t.Context(), userDocument)
		wantCode(t, err, fault.AccessDenied)
		cmd := documentCommand(h, "pre-script")
		cmd.InstanceID = h.Absent
		_, err = h.Provider.SendDocument(t.Context(), cmd)
		wantCode(t, err, fault.AgentOffline)
	})},
}
