//go:build linux

package main

import "github.com/quiesce/quiesce/shared/protocol"

// dropFindings leaves two of each check: the verdict's sentences stay.
func dropFindings(r *protocol.Reply) { shorten(r, 1) }

// dropRecovered leaves as many filesystems as fit however long their paths are,
// and says how many are missing.
func dropRecovered(r *protocol.Reply) { shorten(r, 2) }

// shorten changes a copy of the reply's recovery, if it has one.
func shorten(r *protocol.Reply, level int) {
	if r.Recover != nil {
		q := r.Recover.Shorten(level)
		r.Recover = &q
	}
}
