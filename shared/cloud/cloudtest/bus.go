package cloudtest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/fault"
)

var assets = []test{
	{"helper/fetched by checksum", func(t *testing.T, h Harness) {
		asset, err := h.Provider.Helper(t.Context(), h.Running.Arch)
		ok(t, err)
		time.Sleep(4 * time.Minute) // a command may be under way so long
		file, err := h.Fetch(asset.URL)
		ok(t, err)
		sum := sha256.Sum256(file)
		if got := hex.EncodeToString(sum[:]); got != asset.SHA256 {
			t.Errorf("got a file of %s, want %s", got, asset.SHA256)
		}
	}},
	{"helper/for no machine", func(t *testing.T, h Harness) {
		_, err := h.Provider.Helper(t.Context(), "pdp11")
		wantCode(t, err, fault.HelperNotDelivered)
	}},
}

// happened are n events, one a second, told later.
func happened(n int) (list []events.Event) {
	at := time.Now().Add(-time.Hour).Truncate(time.Second).UTC()
	for i := range n {
		list = append(list, events.Event{
			Type: events.TypeStep, Time: at.Add(time.Duration(i) * time.Second), Resources: []string{"snap-1"},
			Detail: events.Step{Subject: events.Subject{RunID: fmt.Sprintf("r%02d", i), Policy: "nightly"}, Step: "thaw", Status: events.Succeeded},
		})
	}
	return list
}

// arrived compares what subscribers saw with what was published.
func arrived(t *testing.T, h Harness, want []events.Event) {
	t.Helper()
	got := h.Received()
	if len(got) != len(want) {
		t.Fatalf("got %d events, want %d", len(got), len(want))
	}
	for i, e := range want {
		detail, err := json.Marshal(e.Detail)
		ok(t, err)
		g := got[i]
		if g.Source != events.Source || g.Type != e.Type || !g.Time.Equal(e.Time) || !slices.Equal(g.Resources, e.Resources) || string(g.Detail) != string(detail) {
			t.Errorf("event %d: got %+v with %s, want %+v", i, g, g.Detail, e)
		}
	}
}

var bus = []test{
	{"events/in order", func(t *testing.T, h Harness) {
		list := happened(23)
		ok(t, h.Provider.Publish(t.Context(), list))
		arrived(t, h, list)
	}},
	{"events/none", func(t *testing.T, h Harness) {
		ok(t, h.Provider.Publish(t.Context(), nil))
		arrived(t, h, nil)
	}},
	{"events/again when throttled", func(t *testing.T, h Harness) {
		list := happened(2)
		h.Trouble(Publish, Throttle)
		ok(t, h.Provider.Publish(t.Context(), list))
		arrived(t, h, list)
	}},
	{"events/denied", func(t *testing.T, h Harness) {
		h.Trouble(Publish, Deny)
		wantCode(t, h.Provider.Publish(t.Context(), happened(2)), fault.AccessDenied)
		arrived(t, h, nil)
	}},
	{"events/a batch taken in part", func(t *testing.T, h Harness) {
		if h.Refuse == nil {
			t.Skip("this bus takes a batch whole or not at all")
		}
		list := happened(3)
		h.Refuse(1)
		ok(t, h.Provider.Publish(t.Context(), list))
		arrived(t, h, []events.Event{list[0], list[2], list[1]}) // each once
	}},
}
