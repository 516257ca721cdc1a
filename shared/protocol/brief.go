package protocol

import (
	"encoding/json"
	"slices"
)

// Brief is the reply in at most so many bytes, if it can be had in that: what
// is told of a check goes first, the verdict's sentences last. What is left out
// is counted.
func (r RecoverReply) Brief(most int) *RecoverReply {
	short := r
	for level := 1; level <= 3; level++ {
		if text, err := json.Marshal(short); err == nil && len(text) <= most {
			break
		}
		short = short.Shorten(level)
	}
	return &short
}

// Shorten leaves out ever more: two findings of each check are left at level 1;
// at level 2 as many filesystems as fit however long their paths are; at level 3
// of each nothing but where it is.
func (r RecoverReply) Shorten(level int) RecoverReply {
	findings, notes, output := 2, 8, 500
	r.Filesystems = slices.Clone(r.Filesystems)
	if level > 1 {
		findings, notes = 0, 4
		r.Filesystems, r.Untold = first(r.Filesystems, 6, r.Untold)
		r.Problems, r.Untold = first(r.Problems, 12, r.Untold)
		if r.Server != nil {
			s := *r.Server
			s.Findings, r.Untold = first(s.Findings, 4, r.Untold)
			r.Server = &s
		}
	}
	if level > 2 {
		notes, output = 0, 0
		r.Problems, r.Untold = first(r.Problems, 4, r.Untold)
		r.Filesystems, r.Untold = first(r.Filesystems, 4, r.Untold)
		for i, f := range r.Filesystems {
			origin := f.Origin[:min(len(f.Origin), 64)] // of many disks the first
			r.Filesystems[i] = Recovered{Origin: origin, Device: f.Device, Type: f.Type, Mount: f.Mount}
		}
		if r.Server != nil {
			s := *r.Server
			s.Findings, r.Untold = first(s.Findings, 0, r.Untold)
			r.Server = &s
		}
	}
	for i := range r.Filesystems {
		r.Filesystems[i].Findings, r.Untold = first(r.Filesystems[i].Findings, findings, r.Untold)
	}
	r.Notes, r.Untold = first(r.Notes, notes, r.Untold)
	if r.Script != nil && len(r.Script.Output) > output {
		s := *r.Script
		s.Output, r.Script = s.Output[len(s.Output)-output:], &s
		r.Untold++
	}
	return r
}

func first[T any](list []T, most, untold int) ([]T, int) {
	if len(list) <= most {
		return list, untold
	}
	return list[:most:most], untold + len(list) - most
}
