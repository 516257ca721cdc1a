package ledger

import (
	"slices"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// Record n is issued at 100n and acknowledged at 100n+50. The set below holds
// ten records on two volumes; it was taken between 1100 and 1900, while the
// eleventh waited from 1100 to 2050.
func sound(asked run.Consistency, frozen bool) Case {
	c := Case{Asked: asked, Call: Span{1300, 1700}}
	if frozen {
		c.Window = Window{FrozenAt: 1080, ThawAt: 1900}
	} else if asked == run.Crash {
		c.Call = Span{1060, 1090}
	}
	for n := uint64(1); n <= 20; n++ {
		a := Ack{Record: Record{N: n, Issued: int64(100 * n)}, Acked: int64(100*n + 50)}
		if n > 10 {
			a.Issued, a.Acked = a.Issued+950, a.Acked+950
		}
		if n == 11 {
			a.Issued = 1100
		}
		c.Acks = append(c.Acks, a)
	}
	for _, name := range []string{"A", "B"} {
		c.Volumes = append(c.Volumes, Volume{Name: name, Contents: Parse(bytesOf(c.Acks[:10])), Log: &Log{Settled: frozen}})
	}
	return c
}

func bytesOf(acks []Ack) []byte {
	var data []byte
	for _, a := range acks {
		data = append(data, a.Encode()...)
	}
	return data
}

func hold(c *Case, volume, n int) {
	c.Volumes[volume].Contents = Parse(bytesOf(c.Acks[:n]))
}

func TestSoundSetsAreVerified(t *testing.T) {
	for name, c := range map[string]Case{
		"application, frozen":     sound(run.Application, true),
		"application, not frozen": sound(run.Application, false),
		"filesystem":              sound(run.Filesystem, true),
		"crash":                   sound(run.Crash, false),
		"crash, record 11 caught between the volumes": func() Case {
			c := sound(run.Crash, false)
			hold(&c, 0, 11)
			c.Volumes[0].Contents.Records[10].Issued = 1070
			return c
		}(),
		"crash, last record torn": func() Case {
			c := sound(run.Crash, false)
			c.Volumes[0].Contents = Parse(append(bytesOf(c.Acks[:10]), c.Acks[10].Encode()[:17]...))
			return c
		}(),
		"filesystem, record 10 made durable by the freeze itself": func() Case {
			c := sound(run.Filesystem, true)
			c.Acks[9].Acked = 1085
			return c
		}(),
		"filesystem, record 10 caught between the volumes": func() Case {
			c := sound(run.Filesystem, true)
			c.Acks[9].Acked = 1950 // its second write had to wait
			hold(&c, 1, 9)
			return c
		}(),
	} {
		if r := Verify(c); !r.Verified || len(r.Findings) != 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// Each violation is planted alone; the oracle must name it.
func TestEveryViolationIsFound(t *testing.T) {
	for _, v := range []struct {
		name   string
		base   Case
		plant  func(*Case)
		counts func(Result) int
		says   string
	}{
		{"B without its A", sound(run.Crash, false), func(c *Case) { hold(c, 0, 9) },
			func(r Result) int { return r.Orphans }, "which is written first"},
		{"acknowledged and lost on both", sound(run.Crash, false), func(c *Case) { hold(c, 0, 9); hold(c, 1, 9) },
			func(r Result) int { return r.Missing }, "acknowledged before"},
		{"acknowledged before the freeze and lost", sound(run.Filesystem, true), func(c *Case) { hold(c, 0, 9); hold(c, 1, 9) },
			func(r Result) int { return r.Missing }, "acknowledged before"},
		{"begun after the call", sound(run.Crash, false), func(c *Case) { hold(c, 0, 12); hold(c, 1, 12) },
			func(r Result) int { return r.Extra }, "begun after"},
		{"begun while frozen", sound(run.Application, true), func(c *Case) { hold(c, 0, 11); hold(c, 1, 11) },
			func(r Result) int { return r.Extra }, "begun after"},
		{"acknowledged while frozen", sound(run.Application, true), func(c *Case) { c.Acks[10].Acked = 1500 },
			func(r Result) int { return r.AcksInWindow }, "inside the frozen window"},
		{"acknowledged while frozen, begun before, not in the set", sound(run.Filesystem, true), func(c *Case) { c.Acks[9].Acked = 1085; hold(c, 1, 9) },
			func(r Result) int { return r.AcksInWindow }, "inside the frozen window"},
		{"no pair in an application set", sound(run.Application, true), func(c *Case) { c.Acks[9].Acked = 1950; hold(c, 1, 9) },
			func(r Result) int { return r.Unpaired }, "not at rest"},
		{"copied at two moments", sound(run.Crash, false), func(c *Case) { hold(c, 1, 7) },
			func(r Result) int { return r.Unpaired }, "not one point in time"},
		{"log not settled", sound(run.Filesystem, true), func(c *Case) { c.Volumes[1].Log.Settled = false },
			nil, "was not frozen"},
		{"torn in a frozen set", sound(run.Filesystem, true), func(c *Case) { c.Volumes[1].Contents.Torn = true },
			nil, "torn"},
		{"torn in an application set", sound(run.Application, false), func(c *Case) { c.Volumes[0].Contents.Torn = true },
			nil, "torn"},
		{"corrupt in the middle", sound(run.Crash, false), func(c *Case) {
			data := bytesOf(c.Acks[:10])
			data[4*RecordSize+20] ^= 1
			c.Volumes[0].Contents = Parse(data)
		}, nil, "the first at place 4"},
		{"a gap in the middle", sound(run.Crash, false), func(c *Case) {
			c.Volumes[1].Contents.Records = slices.Delete(c.Volumes[1].Contents.Records, 3, 4)
		}, nil, "record 5 follows 3"},
		{"nothing tested", sound(run.Crash, false), func(c *Case) { c.Acks = nil }, nil, "proves nothing"},
		{"no volumes", sound(run.Crash, false), func(c *Case) { c.Volumes = nil }, nil, "no volumes"},
	} {
		v.plant(&v.base)
		r := Verify(v.base)
		if r.Verified || !strings.Contains(strings.Join(r.Findings, "\n"), v.says) {
			t.Errorf("%s: %+v", v.name, r)
		}
		if v.counts != nil && v.counts(r) == 0 {
			t.Errorf("%s: not counted: %+v", v.name, r)
		}
	}
}

func TestParseTellsTornFromCorrupt(t *testing.T) {
	good := bytesOf(sound(run.Crash, false).Acks[:4])
	zeros := make([]byte, RecordSize)
	for _, c := range []struct {
		name    string
		data    []byte
		records int
		bad     int
		torn    bool
	}{
		{"empty", nil, 0, 0, false},
		{"whole", good, 4, 0, false},
		{"half a record more", append(slices.Clone(good), zeros[:9]...), 4, 0, true},
		{"a record of zeros more", append(slices.Clone(good), zeros...), 4, 0, true},
		{"two records of zeros more", append(slices.Concat(good, zeros), zeros...), 4, 1, true},
		{"zeros in between", slices.Concat(good, zeros, good), 8, 1, false},
	} {
		got := Parse(c.data)
		if len(got.Records) != c.records || len(got.Bad) != c.bad || got.Torn != c.torn {
			t.Errorf("%s: %d records, bad %v, torn %v", c.name, len(got.Records), got.Bad, got.Torn)
		}
	}
}

func TestWindowIsTheNarrowestOfTheFilesystems(t *testing.T) {
	at := func(ns int64) protocol.Stamp { return protocol.Stamp{Mono: ns} }
	e := &protocol.Evidence{Filesystems: []protocol.FilesystemEvidence{
		{FrozenAt: at(10), ThawAt: at(90)}, {FrozenAt: at(20), ThawAt: at(80)}, {ReadOnly: true},
	}}
	if got, want := WindowOf(e), (Window{20, 80}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	e.Filesystems[0].FrozenAt = protocol.Stamp{}
	if got := WindowOf(e); !got.IsZero() {
		t.Errorf("one filesystem was not frozen: got %v, want none", got)
	}
	if got := WindowOf(nil); !got.IsZero() {
		t.Errorf("no evidence: got %v, want none", got)
	}
}

func TestPauseIsTheLongestGapAtTheWindow(t *testing.T) {
	acks := []Ack{{Acked: 0}, {Acked: 1000}, {Acked: 1010}, {Acked: 1200}, {Acked: 1210}}
	if got, want := Pause(acks, Span{1050, 1100}), (Span{1010, 1200}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
