package cloudtest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

var fleet = []test{
	{"fleet/find", func(t *testing.T, h Harness) {
		const key = "name" // h.Running's own tag; the stopped instance has none
		value := h.Running.Tags[key]
		many := []string{h.Absent, h.Stopped}
		for i := range 450 {
			many = append(many, fmt.Sprintf("%s%03x", h.Absent[:len(h.Absent)-3], i))
		}
		for _, c := range []struct {
			name string
			ids  []string
			tags map[string]string
			want []string
		}{
			{"by id", []string{h.Stopped, h.Running.ID, h.Running.ID}, nil, []string{h.Running.ID, h.Stopped}},
			{"by an id of nobody", []string{h.Absent}, nil, nil},
			{"by more ids than one call takes", many, nil, []string{h.Stopped}},
			{"by tag", nil, map[string]string{key: value}, []string{h.Running.ID}},
			{"by the key alone", nil, map[string]string{key: ""}, []string{h.Running.ID}},
			{"by another value", nil, map[string]string{key: value + "x"}, nil},
			{"by a wildcard, which is none", nil, map[string]string{key: "*"}, nil},
			{"by any of several", []string{h.Stopped}, map[string]string{key: value, "other": "x"}, []string{h.Running.ID, h.Stopped}},
			{"by nothing", nil, nil, nil},
		} {
			got, err := h.Provider.Find(t.Context(), c.ids, c.tags)
			ok(t, err)
			var ids []string
			for _, f := range got {
				ids = append(ids, f.ID)
				if f.Running != (f.ID == h.Running.ID) || f.State == "" || f.Running && f.Tags[cloud.TagOptIn] != h.Running.Tags[cloud.TagOptIn] {
					t.Errorf("%s: got %+v", c.name, f)
				}
			}
			slices.Sort(c.want)
			if !slices.Equal(ids, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, ids, c.want)
			}
		}
	}},
	{"fleet/store", func(t *testing.T, h Harness) {
		p := h.Provider
		if p.Bucket() == "" {
			t.Error("the bucket has no name")
		}
		none, err := p.List(t.Context(), "fleet/x/")
		if err != nil || len(none) != 0 {
			t.Errorf("got %v, %v", none, err)
		}
		for _, key := range []string{"fleet/x/b", "fleet/x/a", "fleet/y"} {
			ok(t, p.Put(t.Context(), key, []byte("first")))
			ok(t, p.Put(t.Context(), key, []byte("of "+key)))
		}
		keys, err := p.List(t.Context(), "fleet/x/")
		ok(t, err)
		if !slices.Equal(keys, []string{"fleet/x/a", "fleet/x/b"}) {
			t.Errorf("listed %v", keys)
		}
		data, err := p.Get(t.Context(), "fleet/x/a")
		if err != nil || string(data) != "of fleet/x/a" {
			t.Errorf("got %q, %v", data, err)
		}
		_, err = p.Get(t.Context(), "fleet/none")
		wantCode(t, err, fault.Internal)
	}},
	{"fleet/many", func(t *testing.T, h Harness) {
		for i := range 1100 {
			ok(t, h.Provider.Put(t.Context(), fmt.Sprintf("fleet/many/%04d", i), nil))
		}
		keys, err := h.Provider.List(t.Context(), "fleet/many/")
		ok(t, err)
		if len(keys) != 1100 || !slices.IsSorted(keys) {
			t.Errorf("listed %d keys", len(keys))
		}
	}},
}
