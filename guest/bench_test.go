//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/quiesce/quiesce/guest/linux"
	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/shared/protocol"
)

// benchmarkFreeze freezes 600 MiB of dirty data and reports what the freeze
// call took, with and without the flush before the window.
func benchmarkFreeze(b *testing.B, opt session.Options) {
	l := newLab(b)
	fs := l.disk("ext4", b.TempDir(), 2<<30)
	state, err := linux.OpenState(l.dir)
	if err != nil {
		b.Fatal(err)
	}
	helper := session.New(newHost(state), opt)
	chunk := make([]byte, 1<<20)
	var call, window, flush float64
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		f, err := os.Create(filepath.Join(fs.Mount, "dirty"))
		if err != nil {
			b.Fatal(err)
		}
		for i := range 600 {
			chunk[i] = byte(n)
			f.Write(chunk)
		}
		f.Close()
		b.StartTimer()
		run := fmt.Sprintf("bench-%d", n)
		ask := func(v protocol.Verb, begin *protocol.BeginRequest) *protocol.Evidence {
			r := helper.Handle(b.Context(), protocol.Request{Version: 1, Verb: v, RunID: run, Begin: begin})
			if r.Error != nil {
				b.Fatalf("%s: %+v", v, r.Error)
			}
			return r.Evidence
		}
		ask(protocol.Begin, &protocol.BeginRequest{SessionSeconds: 30, FreezeSeconds: 20, Application: noApplication, Filesystems: []protocol.Filesystem{fs}})
		ask(protocol.Freeze, nil)
		e := ask(protocol.Thaw, nil)
		call += ms(e.Filesystems[0].FreezeAt, e.Filesystems[0].FrozenAt)
		flush += e.Filesystems[0].Presync.Ms
		window += ms(e.Filesystems[0].FreezeAt, e.Filesystems[0].ThawedAt)
	}
	b.ReportMetric(call/float64(n), "freeze-ms")
	b.ReportMetric(window/float64(n), "stall-ms")
	b.ReportMetric(flush/float64(n), "presync-ms")
}
