package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local"
	"github.com/quiesce/quiesce/shared/cloud/awscloud/history"
)

// Shape is one way to take a set, and what it did to the application.
type Shape struct {
	Name   string  `json:"name"`
	Window Figure  `json:"window"` // first freeze succeeded to last thaw done
	Pause  Figure  `json:"pause"`  // the longest gap between two acknowledged writes
	Ratio  float64 `json:"ratio"`  // of the median window to that of Quiesce
	Beyond Figure  `json:"beyond"` // the window without one snapshot call
	Before Figure  `json:"before"` // first freeze to the snapshot call's arrival
	Call   Figure  `json:"call"`   // one snapshot call as its caller sees it
	After  Figure  `json:"after"`  // that call's end to the last thaw

	// In the window:
	EC2        Figure `json:"ec2Calls"`
	Dispatches Figure `json:"dispatches"` // commands sent to the instance
	Polls      Figure `json:"polls"`      // questions after a command's status

	Tries []Try `json:"tries"`
}

// Try is one set.
type Try struct {
	WindowMs float64      `json:"windowMs"`
	PauseMs  float64      `json:"pauseMs"`
	CallMs   float64      `json:"callMs"`
	InWindow []local.Call `json:"inWindow"`
}

func (t Try) count(match func(action string) bool) (n float64) {
	for _, c := range t.InWindow {
		if match(c.Action) {
			n++
		}
	}
	return n
}

func taking(action string) bool   { return strings.HasPrefix(action, "CreateSnapshot") }
func sending(action string) bool  { return action == "SendCommand" }
func polling(action string) bool  { return action == "GetCommandInvocation" }
func ofDisks(action string) bool  { return !sending(action) && !polling(action) }
func (t Try) beyond() float64     { return t.WindowMs - t.CallMs }
func (t Try) after() float64      { return t.beyond() - t.before() }
func (t Try) dispatches() float64 { return t.count(sending) }
func (t Try) polls() float64      { return t.count(polling) }
func (t Try) ec2() float64        { return t.count(ofDisks) }

func (t Try) before() float64 {
	for _, c := range t.InWindow {
		if taking(c.Action) {
			return c.AtMs
		}
	}
	return 0
}

func shape(name string, tries []Try) Shape {
	return Shape{
		Name: name, Tries: tries,
		Window: of(tries, func(t Try) float64 { return t.WindowMs }),
		Pause:  of(tries, func(t Try) float64 { return t.PauseMs }),
		Call:   of(tries, func(t Try) float64 { return t.CallMs }),
		Beyond: of(tries, Try.beyond), Before: of(tries, Try.before), After: of(tries, Try.after),
		EC2: of(tries, Try.ec2), Dispatches: of(tries, Try.dispatches), Polls: of(tries, Try.polls),
	}
}

// window measures Quiesce as it is deployed, then the other ways on a machine
// like its own.
func (b *bench) window(ctx context.Context, r *Report) error {
	var ours []Try
	for i := range b.N {
		b.say("window: Quiesce, %d of %d", i+1, b.N)
		t, err := b.quiesce(ctx)
		if err != nil {
			return err
		}
		ours = append(ours, t)
	}
	r.Window = append(r.Window, shape("Quiesce", ours))
	others, err := b.others(ctx)
	if err != nil {
		return err
	}
	r.Window = append(r.Window, others...)
	for i := range r.Window {
		r.Window[i].Ratio = ratio(r.Window[i].Window.Median, r.Window[0].Window.Median)
	}
	return nil
}

// options are those of one whole local run.
func (s *settings) options(binaries string) local.Options {
	o := local.Defaults()
	o.Volumes, o.FS, o.AgentLatency, o.Latency, o.Binaries = s.Volumes, s.FS, s.AgentLatency, s.latency, binaries
	return o
}

// quiesce is one whole run, its restore checked too.
func (b *bench) quiesce(ctx context.Context) (Try, error) {
	report, err := local.Run(ctx, b.options(b.made.dir), silence{})
	if err != nil {
		return Try{}, err
	}
	if !report.Good() {
		return Try{}, fmt.Errorf("run %s ended %s, %s-consistent: %s", report.RunID, report.Outcome, report.Consistency, report.Reason)
	}
	return Try{report.FrozenMs, report.ApplicationPauseMs, report.SnapshotCallMs, report.InWindow}, nil
}

// silence hears a run's progress.
type silence struct{}

func (silence) Say(string, ...any)      {}
func (silence) Passage(history.Passage) {}

// others measures the other ways on one machine, one after the other.
func (b *bench) others(ctx context.Context) (shapes []Shape, err error) {
	s, err := openStand(ctx, standing{volumes: b.Volumes, fs: b.FS, latency: b.latency, agent: b.AgentLatency})
	if err != nil {
		return nil, err
	}
	defer s.closeInto(&err)
	if err := s.write(ctx); err != nil {
		return nil, err
	}
	for _, way := range []struct {
		name string
		do   func(ctx context.Context, run string) (callMs float64, err error)
	}{
		{"one script on the instance", s.oneScript},
		{"DLM's way, polled as Quiesce does", s.dlm(quickly)},
		{"DLM's way, polled by the SDK's waiter", s.dlm(waiter)},
	} {
		var tries []Try
		for i := range b.N {
			b.say("window: %s, %d of %d", way.name, i+1, b.N)
			t, err := s.try(ctx, fmt.Sprintf("try-%d", time.Now().UnixNano()), way.do)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", way.name, err)
			}
			tries = append(tries, t)
		}
		shapes = append(shapes, shape(way.name, tries))
	}
	return shapes, nil
}
