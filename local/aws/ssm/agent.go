package ssm

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/instance"
)

// agent is the one on an instance. It has no goroutine of its own: each
// command brings one, and takes one of the agent's workers while it runs.
type agent struct {
	instance   string
	machine    instance.Machine
	registered time.Time
	since      time.Time // online since
	offline    time.Time // cut off at; zero: online
	changed    chan struct{}
	workers    chan struct{}
	overtaken  chan struct{} // closed when the command that overtakes another is done
}

// system is what the agent reports of its machine.
func (a *agent) system() instance.System {
	if m, ok := a.machine.(instance.Described); ok {
		return m.System()
	}
	return instance.System{Platform: linux, Name: "Amazon Linux", Version: "2023", Agent: "3.3.40.0"}
}

// lastPing is the last heartbeat that got through.
func (s *SSM) lastPing(a *agent, now time.Time) time.Time {
	end := now
	if !a.offline.IsZero() {
		end = a.offline
	}
	return a.since.Add(end.Sub(a.since).Truncate(s.cfg.Heartbeat))
}

func (s *SSM) pingStatus(a *agent, now time.Time) string {
	if now.Sub(s.lastPing(a, now)) > s.cfg.LostAfter {
		return "ConnectionLost"
	}
	return "Online"
}

// deliver carries a command to the agent, runs it there and brings the result
// back. A second copy runs even if the first is done.
func (s *SSM) deliver(a *agent, inv *invocation, after time.Duration, second bool) {
	ctx := s.ctx
	cmd := inv.command
	done := inv.done
	if second {
		done = nil
	}
	if !s.sleep(ctx, after, nil) {
		return
	}
	if !s.connected(ctx, a, cmd.expires, done) || !s.worker(ctx, a, cmd.expires, done) {
		if ctx.Err() == nil {
			s.finish(inv, timedOut, deliveryTimedOut, -1, nil, nil)
		}
		return
	}
	defer func() { <-a.workers }()
	run, stop := context.WithCancel(ctx)
	defer stop()
	s.mu.Lock()
	if final(inv.status) && !second { // cancelled before it started
		s.mu.Unlock()
		return
	}
	if !time.Now().Before(cmd.expires) {
		s.mu.Unlock()
		s.finish(inv, timedOut, deliveryTimedOut, -1, nil, nil)
		return
	}
	inv.stop = stop
	if inv.status == pending {
		inv.started = time.Now()
		s.set(inv, inProgress, inProgress)
	}
	s.mu.Unlock()

	result, steps, expired := s.execute(run, a, inv)
	if ctx.Err() != nil {
		return
	}
	status, details := success, success
	switch {
	case expired:
		status, details, result.ExitCode = timedOut, executionTimedOut, 137
	case run.Err() != nil:
		status, details, result.ExitCode = cancelled, cancelled, 137
	case result.ExitCode != 0:
		status, details = failed, failed
	}
	if result.ExitCode != 0 {
		result.Stderr = fmt.Appendf(result.Stderr, "failed to run commands: exit status %d", result.ExitCode)
	}
	// The result waits for the connection; the service gives up at the total
	// timeout, even if the script did run.
	if !s.sleep(ctx, s.cfg.Report, done) || !s.connected(ctx, a, cmd.limit(), done) {
		if ctx.Err() == nil {
			s.finish(inv, timedOut, deliveryTimedOut, -1, nil, nil)
		}
		return
	}
	s.mu.Lock()
	if !final(inv.status) {
		inv.steps = steps
	}
	s.mu.Unlock()
	s.finish(inv, status, details, result.ExitCode, result.Stdout, result.Stderr)
}

// overtake delivers a command once the next one has been dealt with. The agent
// runs it then, though the service may have given it up: a clock that lags, or
// a queue on the way, lets it come through past its limit.
func (s *SSM) overtake(a *agent, inv *invocation, overtaken <-chan struct{}) {
	s.mu.Lock()
	left := time.Until(inv.command.expires)
	s.mu.Unlock()
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-overtaken:
		s.deliver(a, inv, s.cfg.Dispatch, true)
		return
	case <-t.C:
		s.finish(inv, timedOut, deliveryTimedOut, -1, nil, nil)
	case <-s.ctx.Done():
		return
	}
	select {
	case <-overtaken:
		s.redeliver(a, inv)
	case <-s.ctx.Done():
	}
}

// redeliver runs a command whose time is over.
func (s *SSM) redeliver(a *agent, inv *invocation) {
	forever := time.Now().Add(24 * time.Hour)
	if !s.connected(s.ctx, a, forever, nil) || !s.worker(s.ctx, a, forever, nil) {
		return
	}
	defer func() { <-a.workers }()
	s.execute(s.ctx, a, inv) // nobody hears its answer
}

// execute runs the document's steps one after the other until one fails; one
// that is for another platform is left out. expired tells that a step outlasted
// its own timeout.
func (s *SSM) execute(ctx context.Context, a *agent, inv *invocation) (total instance.Result, steps []stepResult, expired bool) {
	cmd, platform := inv.command, a.system().Platform
	for _, step := range cmd.document.MainSteps {
		if p := step.Precondition["StringEquals"]; len(p) == 2 && !contains(p, platform) || platforms[step.Action] != platform {
			continue
		}
		script := substitute(textOf(step.Inputs.RunCommand), cmd.parameters)
		if dir := substitute(step.Inputs.WorkingDirectory, cmd.parameters); dir != "" {
			script = "cd '" + strings.ReplaceAll(dir, "'", `'\''`) + "' || exit 1\n" + script
		}
		limited, cancel := context.WithTimeout(ctx, cmd.timeout(step.Inputs.TimeoutSeconds))
		r := a.machine.Execute(limited, instance.Command{
			ID: cmd.id, Document: cmd.document.name, Step: step.Name, Parameters: cmd.parameters, Script: script,
		})
		expired = limited.Err() == context.DeadlineExceeded && ctx.Err() == nil
		cancel()
		total.Stdout = append(total.Stdout, r.Stdout...)
		total.Stderr = append(total.Stderr, r.Stderr...)
		total.ExitCode = r.ExitCode
		steps = append(steps, stepResult{step.Name, r.ExitCode, string(r.Stdout), string(r.Stderr), expired})
		if r.ExitCode != 0 || expired {
			break
		}
	}
	return total, steps, expired
}

// timeout is a step's execution timeout: 5 s to 48 h, 1 h if it names none.
func (c *command) timeout(spec any) time.Duration {
	n, err := strconv.Atoi(substitute(textOf(spec), c.parameters))
	if err != nil || n <= 0 {
		n = 3600
	}
	return time.Duration(min(max(n, 5), 172800)) * time.Second
}

// limit is the total timeout: delivery and execution together.
func (c *command) limit() time.Time {
	at := c.expires
	for _, step := range c.document.MainSteps {
		at = at.Add(c.timeout(step.Inputs.TimeoutSeconds))
	}
	return at
}

// finish reports a result once; a second copy's comes too late.
func (s *SSM) finish(inv *invocation, status, details string, code int, stdout, stderr []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if final(inv.status) {
		return
	}
	inv.code, inv.stdout, inv.stderr, inv.ended = code, string(stdout), string(stderr), time.Now()
	if inv.started.IsZero() {
		inv.started = inv.ended
	}
	s.set(inv, status, details)
}

func (s *SSM) carryCancel(a *agent, inv *invocation) {
	if !s.sleep(s.ctx, s.cfg.Dispatch, inv.done) || !s.connected(s.ctx, a, inv.command.limit(), inv.done) {
		return
	}
	s.mu.Lock()
	stop := inv.stop
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// sleep waits; false means that SSM closed or done came first.
func (s *SSM) sleep(ctx context.Context, d time.Duration, done <-chan struct{}) bool {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-done:
	case <-ctx.Done():
	}
	return false
}

// Occupy lets other people's commands take all of an agent's workers for d, as
// they become free; they end one shortly after the other.
func (s *SSM) Occupy(instanceID string, d time.Duration) {
	s.mu.Lock()
	a := s.agents[instanceID]
	s.mu.Unlock()
	if a == nil {
		return
	}
	for i := range s.cfg.Workers {
		s.wg.Go(func() {
			if s.worker(s.ctx, a, time.Now().Add(24*time.Hour), nil) {
				s.sleep(s.ctx, d+time.Duration(i)*7*time.Millisecond, nil)
				<-a.workers
			}
		})
	}
}

// connected waits until the agent is online; false means that it was not by
// the deadline.
func (s *SSM) connected(ctx context.Context, a *agent, deadline time.Time, done <-chan struct{}) bool {
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	for {
		s.mu.Lock()
		online, changed := a.offline.IsZero() && s.cfg.State(a.instance) == "running", a.changed
		s.mu.Unlock()
		if online {
			return true
		}
		select {
		case <-changed:
		case <-t.C:
			return false
		case <-done:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// worker takes one of the agent's workers; long commands can queue others.
func (s *SSM) worker(ctx context.Context, a *agent, deadline time.Time, done <-chan struct{}) bool {
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	select {
	case a.workers <- struct{}{}:
		return true
	case <-t.C:
	case <-done:
	case <-ctx.Done():
	}
	return false
}
