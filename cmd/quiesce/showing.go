package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/protocol"
)

// showRun prints a run as a person reads it: what happened when, what was held,
// what was proved, and what has become of the set.
func showRun(out io.Writer, s *shown) {
	fmt.Fprintf(out, "%s  %s\n", s.RunID, s.Status)
	for _, v := range s.Timeline {
		took, said := millis(time.Duration(v.TookMs*float64(time.Millisecond))), ""
		switch {
		case v.Open && s.StoppedAt == nil:
			took, said = "", "goes on"
		case v.Open:
			took = ""
		case v.Failed != "":
			said = text.FgYellow.Sprint("failed:") + " " + v.Failed
		}
		fmt.Fprintln(out, strings.TrimRight(fmt.Sprintf("  %s  +%10s  %-16s %10s  %s", v.At.Local().Format("15:04:05.000"), seconds(v.At.Sub(s.StartedAt)), v.State, took, said), " "))
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	row := func(what, said string) {
		if said != "" {
			t.AppendRow(table.Row{what, text.WrapSoft(said, 100)})
		}
	}
	row("where", s.Where)
	row("instance", strings.TrimSuffix(s.InstanceID+", policy "+s.Policy, ", policy "))
	row("began", s.StartedAt.Local().Format(time.DateTime))
	if s.StoppedAt != nil {
		row("took", seconds(s.StoppedAt.Sub(s.StartedAt)))
	}
	if s.FrozenMs > 0 {
		row("frozen", fmt.Sprintf("%.1f ms on the instance's clock; the snapshot call took %.1f ms", s.FrozenMs, s.CallMs))
	}
	if s.Evidence != nil {
		showEvidence(row, s.Evidence)
	}
	if v := s.Verdict; v != nil {
		row("verdict", fmt.Sprintf("%s, %s", cmp.Or(string(v.Consistency), "no set"), v.Outcome))
		row("because", v.Reason)
		row("code", v.Code)
		row("next move", s.NextMove)
	} else if s.StoppedAt != nil {
		row("verdict", "none: "+strings.TrimSuffix(cmp.Or(s.Error, s.Status)+": "+s.Cause, ": "))
	}
	for _, m := range s.Set {
		row("set", fmt.Sprintf("%s of %s, %s", m.ID, m.VolumeID, m.State))
	}
	alike := s.tags()
	row("restore test", strings.ToLower(alike[cloud.TagTest]))
	for _, key := range slices.Sorted(maps.Keys(alike)) {
		if key != cloud.TagReason { // which is the verdict's
			row("tag", key+"="+alike[key])
		}
	}
	for _, n := range s.Notes {
		row("note", n)
	}
	fmt.Fprintln(out, t.Render())
}

// showEvidence tells for each filesystem whether its tripwire proves the hold,
// and for the application whether it was held.
func showEvidence(row func(what, said string), e *protocol.Evidence) {
	for _, f := range e.Filesystems {
		said := fmt.Sprintf("%s (%s)", f.Mount, f.Type)
		switch {
		case f.ReadOnly:
			said += ": read-only, nothing to hold"
		case f.FrozenAt.IsZero():
			said += ": not frozen"
		default:
			said += fmt.Sprintf(": frozen %.1f ms", float64(f.ThawedAt.Mono-f.FrozenAt.Mono)/1e6)
			wire := "its tripwire was not seen blocked"
			if !f.BlockedAt.IsZero() {
				wire = "its tripwire blocked before the call"
				if f.HeldAt.IsZero() {
					wire += ", and not seen blocked after it"
				} else {
					wire += " and after it"
				}
			}
			said += "; " + wire + "; thaw " + cmp.Or(f.Thaw, "not told")
			if f.GuardFired {
				said += "; let go by its guard"
			}
		}
		row("filesystem", said)
	}
	if a := e.Application; a != nil && a.Kind != "none" {
		said := a.Kind
		if a.Version != "" {
			said += " " + a.Version
		}
		held := "not proved to have been held"
		if a.Held {
			held = "held throughout"
		}
		row("application", said+": "+held)
	}
	if e.AutoThawed {
		row("let go", "by the instance itself, before it was told to")
	}
	for _, l := range e.Lost {
		row("hold lost", strings.TrimSpace(fmt.Sprintf("%s: %s %s", l.Subject, l.Code, l.Message)))
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }
