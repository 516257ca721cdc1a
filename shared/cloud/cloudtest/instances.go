package cloudtest

import (
	"testing"

	"github.com/quiesce/quiesce/shared/fault"
)

var instances = []test{
	{"instance/running", func(t *testing.T, h Harness) {
		got, err := h.Provider.Instance(t.Context(), h.Running.ID)
		ok(t, err)
		if got.ID != h.Running.ID || !got.Running || got.State == "" || got.Arch != h.Running.Arch {
			t.Errorf("got %+v", got)
		}
		if got.Target.InstanceID != h.Running.ID || got.Target.Provider == "" || got.Target.Region == "" {
			t.Errorf("got target %+v", got.Target)
		}
		for key, want := range h.Running.Tags {
			if got.Tags[key] != want {
				t.Errorf("tag %s: got %q, want %q", key, got.Tags[key], want)
			}
		}
	}},
	{"instance/volumes", func(t *testing.T, h Harness) {
		got, err := h.Provider.Instance(t.Context(), h.Running.ID)
		ok(t, err)
		boot := map[string]bool{h.Running.Boot: true}
		for _, id := range h.Running.Data {
			boot[id] = false
		}
		if len(got.Volumes) != len(boot) {
			t.Errorf("got %d volumes, want %d", len(got.Volumes), len(boot))
		}
		for _, v := range got.Volumes {
			if want, known := boot[v.ID]; !known || v.Boot != want {
				t.Errorf("got volume %s as boot %t, want %t", v.ID, v.Boot, want)
			}
			if v.Device == "" || len(v.Serials) == 0 || v.SizeGiB < 1 || v.Kind == "" || v.Concurrent < 1 || v.Unsupported != "" {
				t.Errorf("got %+v", v)
			}
		}
	}},
	{"instance/stopped", func(t *testing.T, h Harness) {
		got, err := h.Provider.Instance(t.Context(), h.Stopped)
		ok(t, err)
		if got.Running || got.State == "" {
			t.Errorf("got %+v", got)
		}
	}},
	{"instance/absent", func(t *testing.T, h Harness) {
		for _, id := range []string{h.Absent, "nonsense"} {
			_, err := h.Provider.Instance(t.Context(), id)
			wantCode(t, err, fault.InstanceNotFound)
		}
	}},
}
