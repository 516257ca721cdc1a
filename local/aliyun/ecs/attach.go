package ecs

import (
	"context"
	"regexp"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// deviceName is what an attachment may be called. The parameter is deprecated,
// and still kept to.
var deviceName = regexp.MustCompile(`^/dev/(xvd|vd|sd)[b-z]$`)

func (e *ECS) attachDisk(ctx context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	e.mu.Lock()
	d, m, err := e.attachable(p)
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	d.Device = p.Text("Device")
	if d.Device == "" {
		d.Device = e.freeDevice(m.ID, false)
	}
	d.Instance, d.Ends, d.attached, d.busy = m.ID, p.Flag("DeleteWithInstance"), time.Now(), attaching
	e.mu.Unlock()
	path := ""
	if !d.Hollow {
		path, err = e.cfg.Disks.Attach(context.WithoutCancel(ctx), d.ID)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		d.Instance, d.Device, d.Ends, d.busy = "", "", false, ""
		return nil, err
	}
	d.Path = path
	e.later(d, func() {})
	return nil, nil
}

// attachable is what the documentation demands of a data disk.
func (e *ECS) attachable(p rpc.Params) (*disk, *machine, error) {
	m, err := e.machine(p.Text("InstanceId"))
	if err != nil {
		return nil, nil, err
	}
	d, err := e.disk(p.Text("DiskId"))
	device := p.Text("Device")
	switch {
	case err != nil:
	case device != "" && !deviceName.MatchString(device):
		err = wire.Bad("InvalidDevice.Malformed", "The specified device is not valid.")
	case m.Locked != "":
		err = forbidden("InstanceLockedForSecurity", "The specified operation is denied as your instance is locked for security reasons.")
	case m.State != running && m.State != stopped:
		err = forbidden("IncorrectInstanceStatus", "The current status of the resource does not support this operation.")
	case d.state(time.Now()) != available:
		err = forbidden("IncorrectDiskStatus", "The current disk status does not support this operation.")
	case d.Zone != "" && d.Zone != m.Zone:
		err = forbidden("ResourcesNotInSameZone", "The specified instance and disk are not in the same zone.")
	case len(e.attachedTo(m.ID)) >= 17:
		err = forbidden("InstanceDiskLimitExceeded", "The amount of the disk on instance in question reach its limits.")
	}
	for _, other := range e.attachedTo(m.ID) {
		if err == nil && device != "" && other.Device == device {
			err = forbidden("InvalidDevice.InUse", "The specified device has been occupied.")
		}
	}
	return d, m, err
}

func (e *ECS) detachDisk(ctx context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	e.mu.Lock()
	d, err := e.disk(p.Text("DiskId"))
	switch {
	case err != nil:
	case d.state(time.Now()) != inUse || d.Instance != p.Text("InstanceId"):
		err = forbidden("IncorrectDiskStatus", "The current disk status does not support this operation.")
	case e.instances[d.Instance].Locked != "":
		err = forbidden("InstanceLockedForSecurity", "The specified operation is denied as your instance is locked for security reasons.")
	case e.instances[d.Instance].State != running && e.instances[d.Instance].State != stopped,
		d.System && e.instances[d.Instance].State != stopped:
		err = forbidden("IncorrectInstanceStatus", "The current status of the resource does not support this operation.")
	default:
		d.busy = detaching
	}
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if !d.Hollow && d.Path != "" { // nothing is below of an instance that has no machine
		err = e.cfg.Disks.Detach(context.WithoutCancel(ctx), d.ID)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		d.busy = ""
		return nil, forbidden("IncorrectDiskStatus", "The disk is busy: %v", err)
	}
	e.later(d, func() { d.Instance, d.Device, d.Path, d.Ends = "", "", "", false })
	return nil, nil
}

// later ends a disk's change once its time is over.
func (e *ECS) later(d *disk, then func()) {
	if e.cfg.Moving <= 0 {
		d.busy = ""
		then()
		return
	}
	d.moving = time.AfterFunc(e.cfg.Moving, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		d.busy = ""
		then()
	})
}

// modifyDisk knows the one attribute that a restore changes: whether a disk
// ends with its instance.
func (e *ECS) modifyDisk(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	ids := p.List("DiskIds")
	if id := p.Text("DiskId"); id != "" {
		ids = []string{id}
	}
	switch {
	case len(ids) == 0:
		return nil, wire.Bad("MissingParameter", "The input parameter DiskId or DiskIds is mandatory.")
	case p.Text("DeleteWithInstance") == "":
		return nil, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []*disk
	for _, id := range ids {
		d, err := e.disk(id)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	for _, d := range all {
		d.Ends = p.Flag("DeleteWithInstance")
	}
	return nil, nil
}
