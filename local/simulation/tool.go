package simulation

import (
	"context"
	"slices"

	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/plugin"
	"github.com/quiesce/quiesce/local/sim"
	"github.com/quiesce/quiesce/shared/run"
)

// theTool is who freezes and thaws where the provider's own tool takes the set:
// a stand-in for it.
const theTool = plugin.Label

// tool is the machine as the tool finds it.
func (w *world) tool() plugin.Host {
	return plugin.Host{
		Mounts: func() []string { return reversed(w.mounts) }, // an inner one lies on those before it
		Runs:   w.sim.Has,
		Freeze: func(ctx context.Context, mount string, freeze bool) error {
			return w.sim.FsfreezeBy(ctx, theTool, mount, freeze)
		},
		Script: func(ctx context.Context, path string) int {
			code, _ := w.sim.Run(ctx, path)
			return code
		},
		Stat: func(path string) (string, bool) { return "0 700 " + path, w.sim.Has(path) },
	}
}

func reversed(list []string) []string {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

// tooled lets the world see what the tool writes on which snapshot.
func (w *world) tooled(m *plugin.Machine) *plugin.Machine {
	m.Account = writing{m.Account, w}
	return m
}

type writing struct {
	plugin.Account
	world *world
}

// Group is asked for by a program that runs: one whose machine is off, or was
// while it waited for the answer, never comes to its next line.
func (a writing) Group(ctx context.Context, instance, name string, exclude []string) (string, []string, error) {
	since := a.world.outages()
	if !a.world.cloud.running() {
		<-ctx.Done()
		return "", nil, ctx.Err()
	}
	id, members, err := a.Account.Group(ctx, instance, name, exclude)
	if a.world.outages() > since {
		<-ctx.Done()
		return "", nil, ctx.Err()
	}
	return id, members, err
}

// outages counts how often the machine went off.
func (w *world) outages() (n int) {
	for _, e := range w.happened() {
		if e.Kind == sim.Went {
			n++
		}
	}
	return n
}

func (a writing) Write(ctx context.Context, members []string, key, value string) error {
	err := a.Account.Write(ctx, members, key, value)
	if err == nil {
		a.world.mu.Lock()
		defer a.world.mu.Unlock()
		for _, id := range members {
			a.world.wrote[id] = key
		}
	}
	return err
}

// said is what the tool wrote on a whole set, which is all that a run knows of
// it.
func (w *world) said(c copied) run.Consistency {
	w.mu.Lock()
	defer w.mu.Unlock()
	least := run.Application
	for _, id := range c.set {
		level := map[string]run.Consistency{"AppConsistent": run.Application, "FsConsistent": run.Filesystem}[w.wrote[id]]
		if level == "" {
			level = run.Crash
		}
		if level.Rank() < least.Rank() {
			least = level
		}
	}
	return least
}

// alone tells that nobody and nothing got into the way of the tool's freeze. It
// proves no hold: what somebody else did meanwhile it does not see.
func (w *world) alone() bool {
	return !slices.ContainsFunc(w.happened(), func(e sim.Event) bool {
		return e.Kind == sim.Went || e.Kind == sim.Thawed && e.By != theTool || e.Kind == sim.Froze && e.By != theTool
	})
}

// spare tells of a set that the run knows not to be its own: a command of the
// tool's that came through twice makes two, and what is not called a set is none.
func (w *world) spare(c copied, r *Ended) bool {
	if !w.schedule.Setup.Plugin {
		return false
	}
	for _, id := range c.set {
		if r.Tags[id]["quiesce:consistency"] != "none" || r.Verdict != nil && slices.Contains(r.Verdict.SnapshotIDs, id) {
			return false
		}
	}
	return true
}

// leftQuiesced tells that the tool was made to end where it lets nothing go.
func leftQuiesced(h *History) bool {
	return slices.ContainsFunc(h.Hit, func(f fault.Fault) bool {
		return f.Target == fault.PluginTarget && slices.Contains([]fault.Kind{"exit-9", "exit-12"}, f.Kind)
	})
}
