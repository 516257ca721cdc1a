package simulation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// line is one moment of the story.
type line struct {
	at   time.Duration
	text string
}

// timeline tells the whole history in order: states, calls, commands, what
// happened on the machine, and how it was judged.
func (w *world) timeline(h *History) []string {
	var story []line
	add := func(at time.Duration, format string, args ...any) {
		story = append(story, line{at, fmt.Sprintf(format, args...)})
	}
	for _, r := range h.Runs {
		for _, e := range r.events {
			at := e.Timestamp.Sub(w.began)
			switch {
			case strings.HasSuffix(e.Type, "StateEntered"):
				add(at, "%s  state %s", r.ID, e.Name)
			case e.Error != "":
				add(at, "%s  %s %s", r.ID, e.Type, e.Error)
			case strings.HasPrefix(e.Type, "Execution"):
				add(at, "%s  %s", r.ID, e.Type)
			}
		}
	}
	for _, c := range w.cloud.Calls() {
		refused := ""
		if c.Code != "" {
			refused = " refused: " + c.Code
		}
		add(c.At.Sub(w.began), "call   %s/%s%s", c.Step, c.Action, refused)
	}
	for _, i := range w.local.Invocations() {
		failed := ""
		if i.Error != "" {
			failed = " failed: " + i.Error
		}
		add(i.At.Sub(w.began)+i.Duration, "function %s ended after %s%s", i.Function, i.Duration.Round(time.Microsecond), failed)
	}
	for _, e := range w.happened() {
		parts := []string{"machine", string(e.Kind)}
		for _, p := range []string{e.Mount, e.Run, e.Text} {
			if p != "" {
				parts = append(parts, p)
			}
		}
		if e.By != "" && e.By != e.Run {
			parts = append(parts, "by "+e.By)
		}
		add(e.At, "%s", strings.Join(parts, " "))
	}
	story = append(story, w.struck...)
	slices.SortStableFunc(story, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.text, b.text))
	})
	told := []string{h.Schedule.String()}
	for _, l := range story {
		told = append(told, fmt.Sprintf("%12.6fs  %s", l.at.Seconds(), l.text))
	}
	return append(told, h.ends()...)
}

// ends tells how the runs ended and what is wrong with that.
func (h *History) ends() (told []string) {
	for _, r := range h.Runs {
		text := fmt.Sprintf("%s is %s", r.ID, r.Status)
		if v := r.Verdict; v != nil {
			text += fmt.Sprintf(": %s %s, because %s", v.Outcome, v.Consistency, v.Reason)
		}
		var finals []string
		for _, f := range r.Finals {
			finals = append(finals, f.Type)
		}
		told = append(told, text, fmt.Sprintf("%s has %d snapshots; published: %s", r.ID, len(r.Tags), strings.Join(finals, ", ")))
	}
	for _, f := range h.Unreached {
		told = append(told, "the fault "+f.String()+" never happened")
	}
	for _, v := range h.Violations {
		told = append(told, "VIOLATION: "+v)
	}
	return told
}
