package atlas

import (
	"fmt"
	"regexp"
	"slices"
	"testing"

	"github.com/quiesce/quiesce/shared/protocol"
)

func TestPlacesTag(t *testing.T) {
	for _, c := range []struct {
		places []protocol.Place
		most   int
		want   string
	}{
		{nil, 128, ""},
		{[]protocol.Place{{Type: "xfs", Path: "/srv/db"}}, 128, "xfs:/srv/db"},
		{[]protocol.Place{{Part: "2", Type: "ext4", Path: "/boot"}, {Part: "1", Type: "ext4", Path: "/"}}, 128, "1=ext4:/ 2=ext4:/boot"},
		{[]protocol.Place{{Part: "vg-a+b=c", Type: "xfs", Path: "/mit leer/ä@:="}}, 128, "vg-a@2bb@3dc=xfs:/mit@20leer/@c3@a4@40:="},
		{[]protocol.Place{{Type: "xfs", Path: "/aaaaaaaa"}, {Type: "xfs", Path: "/bbbbbbbb"}, {Type: "xfs", Path: "/cccccccc"}}, 30, "xfs:/aaaaaaaa xfs:/bbbbbbbb +1"},
		{[]protocol.Place{{Type: "xfs", Path: "/a/name/that/is/too/long"}}, 20, "+1"},
	} {
		got := PlacesTag(c.places, c.most)
		if len(got) > c.most {
			got, c.want = fmt.Sprint(len(got)), fmt.Sprint("at most ", c.most)
		}
		if got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// What is written is what is read, and stays within what both providers allow.
func FuzzPlacesTag(f *testing.F) {
	allowed := regexp.MustCompile(`^[A-Za-z0-9 _.:/=+@-]*$`)
	f.Add("1", "ext4", "/boot", "/")
	f.Add("+=:@ ", "a:b", "/ä ", "/+1")
	f.Fuzz(func(t *testing.T, part, kind, path, other string) {
		if kind == "" {
			return
		}
		want := []protocol.Place{{Part: part, Type: kind, Path: "/" + path}, {Type: kind, Path: "/" + other}}
		slices.SortStableFunc(want, func(a, b protocol.Place) int {
			if a.Path < b.Path {
				return -1
			}
			if a.Path > b.Path {
				return 1
			}
			return 0
		})
		tag := PlacesTag(want, 1<<20)
		got, left := Places(tag)
		if !allowed.MatchString(tag) || left != 0 || !slices.Equal(got, want) {
			t.Errorf("%q: got %q and %d left, want %q", tag, got, left, want)
		}
	})
}

func TestPlacesCountsWhatItCannotRead(t *testing.T) {
	for tag, want := range map[string]int{"": 0, "xfs:/a +3": 3, "xfs": 1, "xfs:a": 1, ":/a": 1, "xfs:/@4": 1, "xfs:/@zz": 1, "+x": 1, "+-2": 1, "xfs:/a nonsense +2": 3} {
		if _, left := Places(tag); left != want {
			t.Errorf("%q: got %d left, want %d", tag, left, want)
		}
	}
}
