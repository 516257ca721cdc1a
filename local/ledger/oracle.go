package ledger

import (
	"fmt"
	"slices"
	"time"

	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// Case is one restored set with all that is known about its making. All
// moments are on the machine's monotonic clock, in nanoseconds.
type Case struct {
	Asked   run.Consistency // what the set is labelled; empty means crash
	Volumes []Volume        // in the order in which the ledger writes them
	Disks   []Volume        // under them, where they are a server's tables: only their logs are looked at
	Acks    []Ack
	Window  Window // zero unless the set is said to be taken frozen
	Call    Span   // of the snapshot call

	// Served: the writer was held by its server in the middle of a record, not
	// at rest itself. One record may then be on some volumes and not on others.
	Served bool
}

// Volume is one restored member of the set.
type Volume struct {
	Name     string
	Contents Contents
	Paired   bool // written in one transaction with the one before it
	// Log is the state in which the filesystem's log was caught, read before
	// the first mount; nil if that cannot be read.
	Log *Log
}

// Log tells whether a filesystem's log had nothing to recover.
type Log struct {
	Settled bool
	Detail  string
}

// Span is from one moment to another.
type Span struct{ Start, End int64 }

// Window is the hold of the filesystems, at its narrowest: from when the last
// one was frozen to when the thaw of the first one began.
type Window struct{ FrozenAt, ThawAt int64 }

// IsZero reports that nothing was frozen.
func (w Window) IsZero() bool { return w == Window{} }

// WindowOf reads the window from the helper's evidence; zero unless every
// writable filesystem was frozen and thawed.
func WindowOf(e *protocol.Evidence) Window {
	var w Window
	if e == nil {
		return w
	}
	for _, f := range e.Filesystems {
		if f.ReadOnly {
			continue
		}
		if f.FrozenAt.Mono == 0 || f.ThawAt.Mono == 0 {
			return Window{}
		}
		w.FrozenAt = max(w.FrozenAt, f.FrozenAt.Mono)
		if w.ThawAt == 0 || f.ThawAt.Mono < w.ThawAt {
			w.ThawAt = f.ThawAt.Mono
		}
	}
	return w
}

// Result is the oracle's answer. Counts are of records, not of volumes.
type Result struct {
	Verified     bool     `json:"verified"`
	Records      int      `json:"records"`      // on every volume
	Missing      int      `json:"missing"`      // acknowledged in time and not there
	Extra        int      `json:"extra"`        // begun too late to be there
	Orphans      int      `json:"orphans"`      // on a volume and not on the one written before it
	Unpaired     int      `json:"unpaired"`     // on a volume and not on the one written after it
	AcksInWindow int      `json:"acksInWindow"` // while everything was frozen
	Findings     []string `json:"findings,omitempty"`
}

func (r *Result) find(format string, args ...any) {
	r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
}

// Verify judges a restored set. It believes nobody: neither exit codes nor the
// helper, only the records, the acknowledgements and the devices.
func Verify(c Case) Result {
	var r Result
	if len(c.Volumes) == 0 {
		r.find("the set has no volumes")
		return r
	}
	sets := make([]map[uint64]bool, len(c.Volumes))
	for i, v := range c.Volumes {
		sets[i] = r.contents(c, v)
	}
	for _, d := range c.Disks {
		r.settled(c, d)
	}
	r.Records = len(everywhere(sets))
	r.order(c, sets)
	r.time(c, sets)
	r.Verified = len(r.Findings) == 0
	return r
}

// contents checks one volume by itself.
func (r *Result) contents(c Case, v Volume) map[uint64]bool {
	set := make(map[uint64]bool, len(v.Contents.Records))
	var last uint64
	for _, rec := range v.Contents.Records {
		if rec.N != last+1 && len(v.Contents.Bad) == 0 {
			r.find("%s: record %d follows %d", v.Name, rec.N, last)
		}
		last = rec.N
		set[rec.N] = true
	}
	if n := len(v.Contents.Bad); n > 0 {
		r.find("%s: %d records are corrupt that others follow, the first at place %d", v.Name, n, v.Contents.Bad[0])
	}
	if v.Contents.Torn && (c.Asked.Rank() > run.Crash.Rank() || !c.Window.IsZero()) {
		r.find("%s: its last record is torn, which no %s set may show", v.Name, c.Asked)
	}
	r.settled(c, v)
	return set
}

// settled checks that a volume's filesystem was caught frozen.
func (r *Result) settled(c Case, v Volume) {
	if !c.Window.IsZero() && v.Log != nil && !v.Log.Settled {
		r.find("%s: was not frozen when it was copied: %s", v.Name, v.Log.Detail)
	}
}

// order checks the volumes against each other: record n goes to every volume
// before record n+1 goes to any.
func (r *Result) order(c Case, sets []map[uint64]bool) {
	for i := 1; i < len(sets); i++ {
		before, after := c.Volumes[i-1].Name, c.Volumes[i].Name
		orphans, unpaired := without(sets[i], sets[i-1]), without(sets[i-1], sets[i])
		r.Orphans += len(orphans)
		r.Unpaired += len(unpaired)
		if len(orphans) > 0 {
			r.find("%s holds record %d and %d more that %s lacks, which is written first", after, orphans[0], len(orphans)-1, before)
		}
		switch {
		case len(unpaired) > 0 && c.Volumes[i].Paired:
			r.find("record %d is on %s and not on %s, though one transaction wrote both", unpaired[0], before, after)
		case len(unpaired) > 1:
			r.find("%s is %d records ahead of %s: not one point in time", before, len(unpaired), after)
		case len(unpaired) == 1 && c.Asked == run.Application && !c.Served:
			r.find("record %d is on %s and not on %s: the application was not at rest", unpaired[0], before, after)
		}
	}
}

// time checks the volumes against the acknowledgements.
func (r *Result) time(c Case, sets []map[uint64]bool) {
	// Durable by the first moment must be there; begun after the second must not.
	due, late := c.Call.Start, c.Call.End
	if !c.Window.IsZero() {
		due, late = c.Window.FrozenAt, c.Window.FrozenAt
	}
	all := everywhere(sets)
	var missing, inside []uint64
	tested := false
	for _, a := range c.Acks {
		if a.Acked < due {
			tested = true
			if !all[a.N] {
				missing = append(missing, a.N)
			}
		}
		if !c.Window.IsZero() && a.Acked > c.Window.FrozenAt && a.Acked < c.Window.ThawAt && !(all[a.N] && flushed(a, c.Window)) {
			inside = append(inside, a.N)
		}
	}
	extra := map[uint64]bool{}
	for _, v := range c.Volumes {
		for _, rec := range v.Contents.Records {
			if rec.Issued > late {
				extra[rec.N] = true
			}
		}
	}
	r.Missing, r.Extra, r.AcksInWindow = len(missing), len(extra), len(inside)
	if !tested {
		r.find("no record was acknowledged before the set was taken: it proves nothing")
	}
	if len(missing) > 0 {
		r.find("record %d and %d more were acknowledged before the set was taken and are not on every volume", missing[0], len(missing)-1)
	}
	if len(extra) > 0 {
		r.find("%d records are there that were begun after the set was taken", len(extra))
	}
	if len(inside) > 0 {
		r.find("record %d and %d more were acknowledged inside the frozen window", inside[0], len(inside)-1)
	}
}

// settle is how long after the freeze a writer may take to note what the
// freeze itself had made durable.
const settle = 250 * time.Millisecond

// flushed tells that a record had been written before the freeze, whose flush
// then did what the writer was waiting for: no write went through after it.
func flushed(a Ack, w Window) bool {
	return a.Issued < w.FrozenAt && a.Acked < w.FrozenAt+settle.Nanoseconds()
}

func everywhere(sets []map[uint64]bool) map[uint64]bool {
	all := map[uint64]bool{}
	for n := range sets[0] {
		if !slices.ContainsFunc(sets, func(s map[uint64]bool) bool { return !s[n] }) {
			all[n] = true
		}
	}
	return all
}

// without are the records of one volume that another lacks, in order.
func without(these, those map[uint64]bool) []uint64 {
	var found []uint64
	for n := range these {
		if !those[n] {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	return found
}

// Pause is the longest time between two acknowledgements that overlaps the
// span: from the first write that could not be made to the first that could.
func Pause(acks []Ack, over Span) Span {
	var longest Span
	for i := 1; i < len(acks); i++ {
		gap := Span{acks[i-1].Acked, acks[i].Acked}
		if gap.End >= over.Start && gap.Start <= over.End && gap.End-gap.Start > longest.End-longest.Start {
			longest = gap
		}
	}
	return longest
}

// Ms is the span's length in milliseconds.
func (s Span) Ms() float64 { return float64(s.End-s.Start) / 1e6 }
