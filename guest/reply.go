//go:build linux

package main

import (
	"fmt"
	"time"

	"github.com/quiesce/quiesce/shared/protocol"
)

func dropBinds(r *protocol.Reply) {
	if r.DryRun == nil {
		return
	}
	d := *r.DryRun
	d.Mounts = append([]protocol.Mount(nil), d.Mounts...)
	for i := range d.Mounts {
		d.Mounts[i].Binds = nil
	}
	d.Warnings = append(d.Warnings[:len(d.Warnings):len(d.Warnings)], "bind mounts are left out: the list was too long")
	r.DryRun = &d
}

func dropRefused(r *protocol.Reply) {
	if r.DryRun == nil {
		return
	}
	d := *r.DryRun
	d.Mounts = nil
	for _, m := range r.DryRun.Mounts {
		if m.Refused == "" {
			d.Mounts = append(d.Mounts, m)
		}
	}
	d.Warnings = append(d.Warnings[:len(d.Warnings):len(d.Warnings)], "mounts that cannot be frozen are left out: the list was too long")
	r.DryRun = &d
}

func dropMounts(r *protocol.Reply) {
	if r.DryRun == nil {
		return
	}
	d := *r.DryRun
	const most = 60
	if n := len(d.Mounts); n > most {
		d.Mounts = d.Mounts[:most]
		d.Warnings = append(d.Warnings[:len(d.Warnings):len(d.Warnings)], fmt.Sprintf("%d mounts are left out: the list was too long", n-most))
	}
	r.DryRun = &d
}

// dropWall leaves the monotonic clock alone, which orders everything; the
// reply's Now and the opening stamps of the application keep the wall's.
func dropWall(r *protocol.Reply) {
	if r.Evidence == nil {
		return
	}
	e := *r.Evidence
	e.Filesystems = append([]protocol.FilesystemEvidence(nil), e.Filesystems...)
	for i := range e.Filesystems {
		f := &e.Filesystems[i]
		for _, s := range []*protocol.Stamp{&f.FreezeAt, &f.FrozenAt, &f.BlockedAt, &f.HeldAt, &f.ThawAt, &f.ThawedAt} {
			s.Wall = time.Time{}
		}
	}
	const most = 8
	if len(e.Lost) > most {
		e.Lost = e.Lost[:most]
	}
	r.Evidence = &e
}
