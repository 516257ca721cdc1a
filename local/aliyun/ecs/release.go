package ecs

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// deleteInstance releases an instance for good. One that is being released
// already may be asked for again.
func (e *ECS) deleteInstance(ctx context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	if err := p.Required("InstanceId"); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	m, err := e.machine(p.Text("InstanceId"))
	switch {
	case err != nil:
		return nil, err
	case m.released:
		return nil, nil
	case m.State == pending, m.State == starting && m.fresh:
		return nil, forbidden("IncorrectInstanceStatus.Initializing", "The specified instance status does not support this operation.")
	case m.State != stopped && (m.State != running || !p.Flag("Force")):
		return nil, forbidden("IncorrectInstanceStatus", "The current status of the resource does not support this operation.")
	case p.Flag("DryRun"):
		return nil, wire.Bad("DRYRUN.SUCCESS", "The dry run is successful.")
	}
	ran := m.State == running
	m.State, m.released = stopping, true
	m.turning = time.AfterFunc(max(0, e.cfg.Turn), func() { e.release(context.WithoutCancel(ctx), m, ran) })
	return nil, nil
}

// release ends an instance: its disks end with it or are free. What runs on a
// machine ends before.
func (e *ECS) release(ctx context.Context, m *machine, ran bool) {
	e.mu.Lock()
	closed := e.closed
	e.mu.Unlock()
	if closed {
		return
	}
	if ran && e.cfg.Stopped != nil {
		e.cfg.Stopped(m.ID)
	}
	e.mu.Lock()
	delete(e.instances, m.ID)
	var below, gone []string
	for _, d := range e.attachedTo(m.ID) {
		if d.Path != "" && !d.Hollow {
			below = append(below, d.ID)
		}
		if d.Ends || m.Locked != "" {
			delete(e.disks, d.ID)
			if !d.Hollow {
				gone = append(gone, d.ID)
			}
		}
		d.Instance, d.Device, d.Path, d.Ends, d.busy = "", "", "", false, ""
	}
	e.mu.Unlock()
	// The machine is gone: nobody is left to be told that its storage resists.
	for _, id := range below {
		_ = e.cfg.Disks.Detach(ctx, id)
	}
	for _, id := range gone {
		_ = e.cfg.Disks.Delete(ctx, id)
	}
}
