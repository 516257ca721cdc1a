package assistant

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/local/instance"
)

// agent is the one on an instance. It has no goroutine of its own: each
// command brings one.
type agent struct {
	instance  string
	machine   instance.Machine
	since     time.Time // online since
	offline   time.Time // cut off at; zero: online
	changed   chan struct{}
	overtaken chan struct{} // closed when the command that overtakes others is done
}

// turn connects it or cuts it off; its service holds the lock.
func (g *agent) turn(online bool) {
	if g.offline.IsZero() == online {
		return
	}
	if online {
		g.offline, g.since = time.Time{}, time.Now()
	} else {
		g.offline = time.Now()
	}
	close(g.changed)
	g.changed = make(chan struct{})
}

// lastPing is the last heartbeat that got through.
func (a *Assistant) lastPing(g *agent, now time.Time) time.Time {
	end := now
	if !g.offline.IsZero() {
		end = g.offline
	}
	return g.since.Add(end.Sub(g.since).Truncate(a.cfg.Heartbeat))
}

// online is what the service believes.
func (a *Assistant) online(g *agent, now time.Time) bool {
	return now.Sub(a.lastPing(g, now)) <= a.cfg.LostAfter && a.cfg.State(g.instance) == "Running"
}

// deliver carries a command to the agent, runs it there and brings the result
// back. A second copy runs even if the first is done.
func (a *Assistant) deliver(g *agent, inv *invocation, after time.Duration, second bool) {
	done := inv.done
	if second {
		done = nil
	}
	if !a.sleep(after, done) {
		return
	}
	if !a.connected(g, inv.expires, done) || !time.Now().Before(inv.expires) {
		if a.ctx.Err() == nil {
			a.finish(inv, outcome{status: aborted, code: a.undelivered(g)})
		}
		return
	}
	a.mu.Lock()
	if inv.final() && !second { // stopped before it started
		a.mu.Unlock()
		return
	}
	if inv.status == pending {
		inv.status, inv.started = running, time.Now()
	}
	a.mu.Unlock()

	result, expired := a.execute(g, inv)
	if a.ctx.Err() != nil {
		return
	}
	end := outcome{status: success, output: string(result.Stdout) + string(result.Stderr)}
	switch {
	case expired:
		end.status, end.code = timeout, "ExecutionTimeout"
	case result.ExitCode < 0:
		end.status, end.code = errored, "ExecutionException"
	case result.ExitCode != 0:
		end.status, end.code, end.exit = failed, "ExitCodeNonzero", result.ExitCode
	}
	// The result waits for the connection; the service gives up some time.
	give := time.Now().Add(a.cfg.Delivery)
	if !a.sleep(a.cfg.Report, done) || !a.connected(g, give, done) {
		if a.ctx.Err() == nil {
			a.finish(inv, outcome{status: timeout, code: "ClientNotResponse"})
		}
		return
	}
	a.finish(inv, end)
}

// execute runs a command until it ends or its own time is over.
func (a *Assistant) execute(g *agent, inv *invocation) (result instance.Result, expired bool) {
	limited, cancel := context.WithTimeout(a.ctx, inv.timeout)
	defer cancel()
	result = g.machine.Execute(limited, instance.Command{ID: inv.id, Document: inv.kind, Parameters: inv.parameters, Script: inv.script})
	return result, limited.Err() == context.DeadlineExceeded && a.ctx.Err() == nil
}

// overtake delivers a command once the next one has been dealt with. The agent
// runs it then, though the service may have given it up meanwhile.
func (a *Assistant) overtake(g *agent, inv *invocation, overtaken <-chan struct{}) {
	t := time.NewTimer(time.Until(inv.expires))
	defer t.Stop()
	select {
	case <-overtaken:
		a.deliver(g, inv, a.cfg.Dispatch, true)
		return
	case <-t.C:
		a.finish(inv, outcome{status: aborted, code: a.undelivered(g)})
	case <-a.ctx.Done():
		return
	}
	select {
	case <-overtaken:
		if a.connected(g, time.Now().Add(24*time.Hour), nil) {
			a.execute(g, inv) // nobody hears its answer
		}
	case <-a.ctx.Done():
	}
}

func (a *Assistant) undelivered(g *agent) string {
	if a.cfg.State(g.instance) != "Running" {
		return "InstanceNotRunning"
	}
	return "DeliveryTimeout"
}

// sleep waits; false means that the service closed or done came first.
func (a *Assistant) sleep(d time.Duration, done <-chan struct{}) bool {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-done:
	case <-a.ctx.Done():
	}
	return false
}

// connected waits until the agent is online; false means that it was not by
// the deadline.
func (a *Assistant) connected(g *agent, deadline time.Time, done <-chan struct{}) bool {
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	for {
		a.mu.Lock()
		online, changed := g.offline.IsZero() && a.cfg.State(g.instance) == "Running", g.changed
		a.mu.Unlock()
		if online {
			return true
		}
		select {
		case <-changed:
		case <-t.C:
			return false
		case <-done:
			return false
		case <-a.ctx.Done():
			return false
		}
	}
}
