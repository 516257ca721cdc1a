//go:build linux

package main

import "github.com/quiesce/quiesce/shared/protocol"

// dropFindings leaves two of each check: the verdict's sentences stay.
func dropFindings(r *protocol.Reply) {
	recovered(r, func(q *protocol.RecoverReply) {
		for i := range q.Filesystems {
			q.Filesystems[i].Findings, q.Untold = first(q.Filesystems[i].Findings, 2, q.Untold)
		}
		q.Notes, q.Untold = first(q.Notes, 8, q.Untold)
		if q.Script != nil && len(q.Script.Output) > 500 {
			s := *q.Script
			s.Output, q.Script = s.Output[len(s.Output)-500:], &s
			q.Untold++
		}
	})
}

// dropRecovered leaves as many filesystems as fit however long their paths are,
// and says how many are missing.
func dropRecovered(r *protocol.Reply) {
	recovered(r, func(q *protocol.RecoverReply) {
		for i := range q.Filesystems {
			q.Filesystems[i].Findings, q.Untold = first(q.Filesystems[i].Findings, 0, q.Untold)
		}
		q.Filesystems, q.Untold = first(q.Filesystems, 6, q.Untold)
		q.Problems, q.Untold = first(q.Problems, 12, q.Untold)
		q.Notes, q.Untold = first(q.Notes, 4, q.Untold)
		if q.Server != nil {
			s := *q.Server
			s.Findings, q.Untold = first(s.Findings, 4, q.Untold)
			q.Server = &s
		}
	})
}

// recovered changes a copy of the reply's recovery, if it has one.
func recovered(r *protocol.Reply, change func(*protocol.RecoverReply)) {
	if r.Recover == nil {
		return
	}
	q := *r.Recover
	q.Filesystems = append([]protocol.Recovered{}, q.Filesystems...)
	change(&q)
	r.Recover = &q
}

func first[T any](list []T, most, untold int) ([]T, int) {
	if len(list) <= most {
		return list, untold
	}
	return list[:most:most], untold + len(list) - most
}
