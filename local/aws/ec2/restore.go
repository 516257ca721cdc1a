package ec2

import (
	"context"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// The actions of a restore: volumes from snapshots, to and from machines.

func (e *EC2) createVolume(ctx context.Context, c *wire.Call, q query) (any, error) {
	if q.text("AvailabilityZone") == "" {
		return nil, wire.Bad("MissingParameter", "The request must contain the parameter AvailabilityZone")
	}
	tags, err := q.specified("volume")
	if err != nil {
		return nil, err
	}
	size, err := q.number("Size")
	if err != nil {
		return nil, err
	}
	kind := q.text("VolumeType")
	if kind == "" {
		kind = "gp2"
	}
	zone := q.text("AvailabilityZone")
	if !strings.HasPrefix(zone, e.cfg.Region) || len(zone) != len(e.cfg.Region)+1 {
		return nil, wire.Bad("InvalidParameterValue", "Invalid availability zone: [%s]", zone)
	}
	v := &volume{created: time.Now(), ready: time.Now().Add(e.cfg.Provision), snapshot: q.text("SnapshotId"), token: q.text("ClientToken"), busy: true}
	v.Volume = Volume{ID: e.id("vol-"), Bytes: int64(size) * gib, Kind: kind, MultiAttach: q.flag("MultiAttachEnabled"), Zone: zone, Tags: tags}
	v.request = strings.Join([]string{v.snapshot, zone, kind, q.text("Size")}, " ")

	e.mu.Lock()
	for _, other := range e.volumes {
		if v.token != "" && other.token == v.token {
			defer e.mu.Unlock()
			if other.request != v.request {
				return nil, wire.Bad("IdempotentParameterMismatch", "The client token you have provided is associated with a volume of other parameters: %s", other.ID)
			}
			return flat(e.renderVolume(other)), nil
		}
	}
	if v.snapshot == "" && size == 0 {
		e.mu.Unlock()
		return nil, wire.Bad("MissingParameter", "The request must contain the parameter size or snapshotId")
	}
	from := ""
	if v.snapshot != "" {
		s, err := e.snapshot(v.snapshot)
		if err == nil && s.state(time.Now()) != completed {
			err = wire.Bad("IncorrectState", "Snapshot is in invalid state - %s", s.state(time.Now()))
		}
		if err == nil && s.archived(time.Now()) {
			err = wire.Bad("IncorrectState", "The snapshot %s is archived.", s.id)
		}
		if err == nil && size != 0 && int64(size) < s.gib {
			err = wire.Bad("InvalidParameterValue", "The size of a volume can only be increased, not decreased: %d", size)
		}
		if err != nil {
			e.mu.Unlock()
			return nil, err
		}
		// The storage below is smaller than the gibibytes that are sold.
		if int64(size) <= s.gib {
			v.Bytes = s.bytes
		}
		v.Hollow, v.Key = s.hollow, s.key
		// EC2 asks for the key after it has answered.
		v.locked = v.Key != "" && !e.cfg.Usable(v.Key, c.Role)
		if s.data != nil {
			from = s.data.id
		}
	}
	e.volumes[v.ID] = v
	e.mu.Unlock()

	if !v.Hollow {
		err = e.cfg.Disks.Create(context.WithoutCancel(ctx), v.ID, v.Bytes, from)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	v.busy = false
	if err != nil {
		delete(e.volumes, v.ID)
		return nil, err
	}
	return flat(e.renderVolume(v)), nil
}

func (e *EC2) attachVolume(ctx context.Context, _ *wire.Call, q query) (any, error) {
	e.mu.Lock()
	m, err := e.find(q.text("InstanceId"))
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	v, err := e.volume(q.text("VolumeId"))
	device := q.text("Device")
	switch {
	case err != nil:
	case device == "":
		err = wire.Bad("MissingParameter", "The request must contain the parameter device")
	case m.State != "running" && m.State != "stopped":
		err = wire.Bad("IncorrectState", "Instance '%s' is not 'running'.", m.ID)
	case v.Zone != m.Zone:
		err = wire.Bad("InvalidVolume.ZoneMismatch", "The volume '%s' is not in the same availability zone as instance '%s'", v.ID, m.ID)
	case v.Instance != "":
		err = wire.Bad("VolumeInUse", "%s is already attached to an instance", v.ID)
	case v.status(time.Now()) != "available":
		err = wire.Bad("IncorrectState", "Volume '%s' is not 'available'.", v.ID)
	}
	for _, other := range e.attached(m.ID) {
		if err == nil && other.Device == device {
			err = wire.Bad("InvalidParameterValue", "Invalid value '%s' for unixDevice. Attachment point %s is already in use", device, device)
		}
	}
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	v.Instance, v.Device, v.attachedAt, v.busy = m.ID, device, time.Now().Add(e.cfg.Attaching), true
	hollow := v.Hollow
	e.mu.Unlock()

	path := ""
	if !hollow {
		path, err = e.cfg.Disks.Attach(context.WithoutCancel(ctx), v.ID)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	v.busy = false
	if err != nil {
		v.Instance, v.Device = "", ""
		return nil, err
	}
	v.Path, v.DeleteOnTermination = path, false
	return flat(v.attachment("attaching")), nil
}

func (e *EC2) detachVolume(ctx context.Context, _ *wire.Call, q query) (any, error) {
	e.mu.Lock()
	v, err := e.volume(q.text("VolumeId"))
	switch {
	case err != nil:
	case v.Instance == "" || q.text("InstanceId") != "" && q.text("InstanceId") != v.Instance:
		err = wire.Bad("IncorrectState", "Volume '%s' is in the 'available' state.", v.ID)
	case v.leaving:
		err = wire.Bad("IncorrectState", "Volume '%s' is in the 'detaching' state.", v.ID)
	case e.root(v.Instance) == v && e.instances[v.Instance].State != "stopped":
		err = wire.Bad("OperationNotPermitted", "Unable to detach root volume '%s' from instance '%s'", v.ID, v.Instance)
	}
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	v.leaving = true
	hollow := v.Hollow
	reply := v.attachment("detaching")
	e.mu.Unlock()

	if !hollow {
		if err := e.cfg.Disks.Detach(context.WithoutCancel(ctx), v.ID); err != nil {
			e.mu.Lock()
			defer e.mu.Unlock()
			v.leaving = false
			return nil, wire.Bad("IncorrectState", "Volume '%s' is busy: %v", v.ID, err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	left := func() { v.Instance, v.Device, v.Path, v.leaving, v.DeleteOnTermination = "", "", "", false, false }
	if e.cfg.Attaching <= 0 {
		left()
		return flat(reply), nil
	}
	time.AfterFunc(e.cfg.Attaching, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		left()
	})
	return flat(reply), nil
}

func (e *EC2) deleteVolume(ctx context.Context, _ *wire.Call, q query) (any, error) {
	e.mu.Lock()
	v, err := e.volume(q.text("VolumeId"))
	if err == nil && v.status(time.Now()) != "available" && v.status(time.Now()) != "error" {
		err = wire.Bad("VolumeInUse", "Volume %s is currently attached to %s", v.ID, v.Instance)
	}
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	delete(e.volumes, v.ID)
	e.mu.Unlock()
	if !v.Hollow {
		if err := e.cfg.Disks.Delete(context.WithoutCancel(ctx), v.ID); err != nil {
			return nil, err
		}
	}
	return done{Return: true}, nil
}

// root returns an instance's boot volume, nil for none.
func (e *EC2) root(instance string) *volume {
	m := e.instances[instance]
	if m == nil {
		return nil
	}
	for _, v := range e.attached(instance) {
		if v.Device == m.RootDevice {
			return v
		}
	}
	return nil
}
