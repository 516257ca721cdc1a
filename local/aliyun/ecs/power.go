package ecs

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// turn is a change of state: what it passes, where it ends, and who hears of
// the end.
type turn struct {
	by, to string
	on     func(instance string)
}

func (e *ECS) startInstance(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m, err := e.turnable(p, stopped)
	if err != nil {
		return nil, err
	}
	for _, d := range e.attachedTo(m.ID) {
		if d.state(time.Now()) != inUse {
			return nil, forbidden("IncorrectDiskStatus", "The current disk status does not support this operation.")
		}
	}
	e.turn(m, turn{by: starting, to: running, on: e.cfg.Started})
	return nil, nil
}

func (e *ECS) stopInstance(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	mode := p.Text("StoppedMode")
	if mode == "" {
		mode = keepCharging
	}
	if mode != keepCharging && mode != stopCharging {
		return nil, wire.Bad("InvalidParameter.StoppedMode", "The specified StoppedMode is not valid.")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	m, err := e.turnable(p, running)
	if err != nil {
		return nil, err
	}
	m.Mode = mode
	e.turn(m, turn{by: stopping, to: stopped, on: e.cfg.Stopped})
	return nil, nil
}

// turnable refuses an instance that the call's change cannot begin from. A dry
// run that would succeed is refused too, as documented.
func (e *ECS) turnable(p rpc.Params, from string) (*machine, error) {
	m, err := e.machine(p.Text("InstanceId"))
	switch {
	case err != nil:
		return nil, err
	case m.Locked != "":
		return nil, forbidden("InstanceLockedForSecurity", "The specified operation is denied as your instance is locked for security reasons.")
	case m.State != from:
		return nil, forbidden("IncorrectInstanceStatus", "The current status of the resource does not support this operation.")
	case p.Flag("DryRun"):
		return nil, wire.Bad("DryRunOperation", "Request validation has been passed with DryRun flag set.")
	}
	return m, nil
}

// turn answers at once and gets there later.
func (e *ECS) turn(m *machine, t turn) {
	if e.cfg.Turn <= 0 && t.on == nil {
		m.State = t.to
		return
	}
	m.State = t.by
	m.turning = time.AfterFunc(max(0, e.cfg.Turn), func() { e.turned(m, t) })
}

// turned is the end of a change. What runs on a machine ends before it counts
// as stopped.
func (e *ECS) turned(m *machine, t turn) {
	e.mu.Lock()
	gone := e.closed || m.State != t.by
	e.mu.Unlock()
	if gone {
		return
	}
	if t.on != nil {
		t.on(m.ID)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if m.State == t.by {
		m.State, m.fresh = t.to, false
	}
}
