package cloudtest

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/vss"
)

// onWindows is a test of a provider whose Windows instances can be snapshotted.
// One that has none is no Windows either, so that its steps refuse the mode.
func onWindows(do func(t *testing.T, h Harness, w cloud.Windows)) func(t *testing.T, h Harness) {
	return func(t *testing.T, h Harness) {
		w, is := h.Provider.(cloud.Windows)
		if has := h.Windows != ""; is != has {
			t.Fatalf("it is a Windows: %t, and has an instance of it: %t", is, has)
		}
		if is {
			do(t, h, w)
		}
	}
}

// awsDocument is AWS's document, with all that it has a default for left out.
func awsDocument(h Harness, runID string) cloud.DocumentCommand {
	return cloud.DocumentCommand{
		InstanceID: h.Windows, Document: vss.Document, DeliverySecs: int(delivery.Seconds()), Comment: "quiesce vss 0 " + runID,
		Parameters: map[string]string{"tags": "Key=quiesce:run,Value=" + runID},
	}
}

// steps waits for the end of a command of several.
func steps(t *testing.T, h Harness, w cloud.Windows, id string) (got cloud.Invocation) {
	t.Helper()
	within(t, slack, "the command ends", func() bool {
		var err error
		got, err = w.Invocation(t.Context(), h.Windows, id)
		ok(t, err)
		return got.Done
	})
	return got
}

var windows = []test{
	{"windows/a document of several steps", onWindows(func(t *testing.T, h Harness, w cloud.Windows) {
		for _, code := range []int{0, 1} {
			var ran []string
			h.Played(func(_ context.Context, step string, p map[string]string) Answer {
				ran = append(ran, step)
				if step != vss.Step {
					return Answer{Stdout: "installed"}
				}
				return Answer{ExitCode: code, Stdout: "told " + p["tags"]}
			})
			id, err := w.SendOnce(t.Context(), awsDocument(h, "run-1"))
			ok(t, err)
			got := steps(t, h, w, id)
			if len(got.Steps) != 2 || len(ran) != 2 || ran[1] != vss.Step {
				t.Fatalf("got %+v of %v", got, ran)
			}
			last := got.Steps[1]
			if last.Name != vss.Step || last.ExitCode != code || last.Output != "told Key=quiesce:run,Value=run-1" || (got.Status == "Success") != (code == 0) {
				t.Errorf("ended with %d: got %+v", code, got)
			}
		}
	})},
	{"windows/is sent once, and found by its comment", onWindows(func(t *testing.T, h Harness, w cloud.Windows) {
		ran := 0
		h.Played(func(_ context.Context, step string, _ map[string]string) Answer {
			if step == vss.Step {
				ran++
			}
			return Answer{}
		})
		since := time.Now().Add(-time.Minute)
		before := h.Attempts(Send)
		h.Trouble(Send, LostReply)
		_, err := w.SendOnce(t.Context(), awsDocument(h, "run-1"))
		wantCode(t, err, fault.CommandUnknown)
		time.Sleep(slack)
		found, err := w.FindCommand(t.Context(), h.Windows, "quiesce vss 0 run-1", since)
		ok(t, err)
		if n := h.Attempts(Send) - before; found == "" || n != 1 || ran != 1 {
			t.Errorf("found %q after %d attempts, it ran %d times", found, n, ran)
		}
		if got := steps(t, h, w, found); got.Status != "Success" {
			t.Errorf("got %+v", got)
		}
		for _, other := range []string{"quiesce vss 0 run-10", "quiesce vss 0 run-", "quiesce vss 1 run-1"} {
			if found, err := w.FindCommand(t.Context(), h.Windows, other, since); err != nil || found != "" {
				t.Errorf("%s: found %q, %v", other, found, err)
			}
		}
		if found, err := w.FindCommand(t.Context(), h.Windows, "quiesce vss 0 run-1", time.Now()); err != nil || found != "" {
			t.Errorf("of a time before: found %q, %v", found, err)
		}
	})},
	{"windows/refused, and not sent again", onWindows(func(t *testing.T, h Harness, w cloud.Windows) {
		ran := false
		h.Played(func(context.Context, string, map[string]string) Answer { ran = true; return Answer{} })
		since := time.Now().Add(-time.Minute)
		for kind, want := range map[Kind]fault.Code{Throttle: fault.Throttled, Deny: fault.AccessDenied} {
			before := h.Attempts(Send)
			h.Trouble(Send, kind)
			_, err := w.SendOnce(t.Context(), awsDocument(h, "run-1"))
			if wantCode(t, err, want); h.Attempts(Send) != before+1 {
				t.Errorf("%s: %d attempts", kind, h.Attempts(Send)-before)
			}
		}
		absent, unknown := awsDocument(h, "run-1"), awsDocument(h, "run-1")
		absent.InstanceID, unknown.Parameters = h.Absent, map[string]string{"tags": "Key=a,Value=`b`"}
		_, err := w.SendOnce(t.Context(), absent)
		wantCode(t, err, fault.AgentOffline)
		_, err = w.SendOnce(t.Context(), unknown)
		wantCode(t, err, fault.CommandFailed)
		time.Sleep(slack)
		if found, err := w.FindCommand(t.Context(), h.Windows, "quiesce vss 0 run-1", since); err != nil || found != "" || ran {
			t.Errorf("found %q, %v; it ran: %t", found, err, ran)
		}
	})},
	{"windows/the request for shadow copies arrives as it is", onWindows(func(t *testing.T, h Harness, w cloud.Windows) {
		for i, request := range []string{`{"verb":"make","runId":"'; Restart-Computer; '"}`, "{\"runId\":\"\\u0060 $(x) %TEMP% \\\"\"}"} {
			given := ""
			h.Guest(func(_ context.Context, _ string, request []byte) Answer {
				given = string(request)
				return Answer{ExitCode: 224, Stdout: "answered " + strconv.Itoa(i)}
			})
			id, err := w.SendShadow(t.Context(), cloud.ShadowCommand{InstanceID: h.Windows, Request: []byte(request), ExecutionSecs: int(execution.Seconds()), Comment: "conformance"})
			ok(t, err)
			var got cloud.Result
			within(t, slack, "the command ends", func() bool {
				got, err = h.Provider.Result(t.Context(), h.Windows, id)
				ok(t, err)
				return got.Done
			})
			if given != request || got.ExitCode != 224 || got.Stdout != "answered "+strconv.Itoa(i) || got.TimedOut {
				t.Errorf("given %q, got %+v", given, got)
			}
		}
	})},
	{"windows/shadow copies that do not end are killed", onWindows(func(t *testing.T, h Harness, w cloud.Windows) {
		h.Guest(func(ctx context.Context, _ string, _ []byte) Answer { <-ctx.Done(); return Answer{ExitCode: 137} })
		id, err := w.SendShadow(t.Context(), cloud.ShadowCommand{InstanceID: h.Windows, Request: []byte("{}"), ExecutionSecs: int(execution.Seconds()), Comment: "conformance"})
		ok(t, err)
		within(t, execution+slack, "the command is given up", func() bool {
			got, err := h.Provider.Result(t.Context(), h.Windows, id)
			ok(t, err)
			return got.Done && got.TimedOut
		})
	})},
	{"windows/reserved tags are read back, and written over", onWindows(func(t *testing.T, h Harness, w cloud.Windows) {
		set, err := h.Provider.CreateSet(t.Context(), cloud.SetSpec{InstanceID: h.Running.ID, ExcludeBoot: true, Boot: h.Running.Boot, Include: h.Running.Data, Tags: map[string]string{cloud.TagRun: "run-1"}})
		ok(t, err)
		for i, s := range set { // as AWS's component writes them, the last without its word
			h.Component(s.ID, map[string]string{vss.TagDevice: "xvd" + string(rune('f'+i)), vss.TagConfig: "2.5.1"})
			if i < len(set)-1 {
				h.Component(s.ID, map[string]string{vss.TagApp: "true"})
			}
		}
		found, err := cloud.Find(t.Context(), h.Provider, "run-1", slack)
		ok(t, err)
		written := 0
		for _, s := range found {
			if vss.Written(s.Tags) {
				written++
			}
			if s.Tags[vss.TagDevice] == "" || s.Tags[vss.TagConfig] != "2.5.1" {
				t.Errorf("%s carries %v", s.ID, s.Tags)
			}
		}
		if len(found) != len(set) || written != len(set)-1 {
			t.Errorf("%d of %d snapshots carry the component's word, of %d", written, len(found), len(set))
		}
		ok(t, h.Provider.TagSnapshots(t.Context(), cloud.IDs(found), map[string]string{cloud.TagRun: "run-1", cloud.TagApp: "False"}))
		found, err = h.Provider.FindSet(t.Context(), "run-1")
		ok(t, err)
		for _, s := range found {
			if vss.Written(s.Tags) || s.Tags[cloud.TagApp] != "False" {
				t.Errorf("%s says %q after it was written over", s.ID, s.Tags[cloud.TagApp])
			}
		}
	})},
}
