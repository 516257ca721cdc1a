package awscloud

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/fault"
)

// accept answers PutEvents; codes gives entries, by their run id, the error
// codes that they get in turn before they are taken.
func accept(codes map[string][]string) (answer func(request) response, taken *[]string) {
	taken = new([]string)
	return func(r request) response {
		type entry struct{ EventId, ErrorCode, ErrorMessage string }
		var out struct {
			FailedEntryCount int
			Entries          []entry
		}
		for _, e := range r.doc["Entries"].([]any) {
			var detail events.Step
			_ = json.Unmarshal([]byte(e.(map[string]any)["Detail"].(string)), &detail)
			if left := codes[detail.RunID]; len(left) > 0 {
				codes[detail.RunID] = left[1:]
				out.FailedEntryCount++
				out.Entries = append(out.Entries, entry{ErrorCode: left[0], ErrorMessage: "because"})
				continue
			}
			*taken = append(*taken, detail.RunID)
			out.Entries = append(out.Entries, entry{EventId: "e"})
		}
		body, _ := json.Marshal(out)
		return response{body: string(body)}
	}, taken
}

func steps(runs string) (list []events.Event) {
	for _, id := range runs {
		list = append(list, events.Event{
			Type: events.TypeStep, Time: time.Unix(1772337600, 0), Resources: []string{"arn:aws:ec2:x"},
			Detail: events.Step{Subject: events.Subject{RunID: string(id)}},
		})
	}
	return list
}

func TestPublish(t *testing.T) {
	answer, taken := accept(nil)
	p, w := against(answer)
	if err := p.Publish(t.Context(), steps("abcdefghijklm")); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(*taken, ""), "abcdefghijklm"; got != want || len(w.seen) != 2 {
		t.Errorf("got %q by %d calls, want %q by 2", got, len(w.seen), want)
	}
	first := w.seen[0].doc["Entries"].([]any)[0].(map[string]any)
	if first["Source"] != "quiesce" || first["DetailType"] != events.TypeStep || first["EventBusName"] != "quiesce" || first["Time"] != 1772337600.0 || first["Resources"].([]any)[0] != "arn:aws:ec2:x" {
		t.Errorf("put %v", first)
	}
	if err := p.Publish(t.Context(), nil); err != nil || len(w.seen) != 2 {
		t.Errorf("publishing nothing: got %v after %d calls", err, len(w.seen))
	}
}

func TestPublishInPart(t *testing.T) {
	for name, c := range map[string]struct {
		codes map[string][]string
		taken string
		calls int
		want  fault.Code
	}{
		"two are throttled":    {map[string][]string{"b": {"ThrottlingException"}, "c": {"InternalFailure", "InternalFailure"}}, "adbc", 3, ""},
		"one is always":        {map[string][]string{"b": {"ThrottlingException", "ThrottlingException", "ThrottlingException", "ThrottlingException", "x"}}, "acd", attempts, fault.Throttled},
		"one is denied":        {map[string][]string{"a": {"ThrottlingException"}, "b": {"NotAuthorizedForSourceException"}, "d": {"ThrottlingException"}}, "c", 1, fault.AccessDenied},
		"one is not an object": {map[string][]string{"d": {"MalformedDetail"}}, "abc", 1, fault.InvalidInput},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer, taken := accept(c.codes)
				p, w := against(answer)
				wantCode(t, p.Publish(t.Context(), steps("abcd")), c.want)
				if got := strings.Join(*taken, ""); got != c.taken || len(w.seen) != c.calls {
					t.Errorf("got %q by %d calls, want %q by %d", got, len(w.seen), c.taken, c.calls)
				}
			})
		})
	}
}

func TestPublishBySize(t *testing.T) {
	big := func(id string, bytes int) events.Event {
		return events.Event{Type: events.TypeFailed, Detail: events.Outcome{Subject: events.Subject{RunID: id}, Reason: strings.Repeat("x", bytes)}}
	}
	answer, taken := accept(nil)
	p, w := against(answer)
	if err := p.Publish(t.Context(), []events.Event{big("a", 200<<10), big("b", 100<<10), big("c", 100<<10)}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(*taken, ""); got != "abc" || len(w.seen) != 2 {
		t.Errorf("got %q by %d calls, want abc by 2", got, len(w.seen))
	}
	wantCode(t, p.Publish(t.Context(), []events.Event{big("a", 1), big("b", 300<<10)}), fault.Internal)
	if len(w.seen) != 2 {
		t.Error("it put a part of what it cannot put whole")
	}
}
