package ec2

import (
	"context"
	"encoding/xml"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// runInstances makes one instance of an image, with its disks. No machine stands
// behind it: its disks hold what the snapshots hold, and nothing runs on them.
func (e *EC2) runInstances(ctx context.Context, c *wire.Call, q query) (any, error) {
	for _, name := range []string{"MinCount", "MaxCount"} {
		if n, err := q.number(name); err != nil || n != 1 {
			return nil, wire.Bad("InvalidParameterValue", "Value (%s) for parameter %s is invalid: one instance a call", q.text(name), name)
		}
	}
	tags, disks, err := q.launched()
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	m, fresh, err := e.launch(c, q, tags, disks)
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	for _, v := range fresh {
		if v.Hollow {
			continue
		}
		if err := e.cfg.Disks.Create(context.WithoutCancel(ctx), v.ID, v.Bytes, v.snapshot); err != nil {
			return nil, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	out := struct {
		XMLName xml.Name      `xml:"instancesSet"`
		Items   []xmlInstance `xml:"item"`
	}{Items: []xmlInstance{e.render(m)}}
	return out, nil
}

// launched reads the tags of the instance and of its volumes.
func (q query) launched() (instance, disks map[string]string, err error) {
	of := map[string]map[string]string{"instance": {}, "volume": {}}
	for i := 1; ; i++ {
		at := "TagSpecification." + strconv.Itoa(i)
		kind, ok := q[at+".ResourceType"]
		if !ok {
			return of["instance"], of["volume"], nil
		}
		if of[kind[0]] == nil {
			return nil, nil, wire.Bad("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", kind[0])
		}
		tags, err := q.tags(at + ".")
		if err != nil {
			return nil, nil, err
		}
		maps.Copy(of[kind[0]], tags)
	}
}

// launch enters the instance and its volumes, once for a token; it holds the
// lock.
func (e *EC2) launch(c *wire.Call, q query, tags, disks map[string]string) (*machine, []*volume, error) {
	request := strings.Join([]string{q.text("ImageId"), q.text("InstanceType"), q.text("SubnetId"), strings.Join(q.list("SecurityGroupId"), ","), q.text("IamInstanceProfile.Name") + q.text("IamInstanceProfile.Arn")}, " ")
	for _, m := range e.instances {
		if token := q.text("ClientToken"); token != "" && m.token == token {
			if m.request != request {
				return nil, nil, wire.Bad("IdempotentParameterMismatch", "The client token you have provided is associated with an instance of other parameters: %s", m.ID)
			}
			return m, nil, nil
		}
	}
	i, err := e.image(q.text("ImageId"))
	if err != nil {
		return nil, nil, err
	}
	if state := i.state(time.Now()); state != "available" {
		return nil, nil, wire.Bad("InvalidAMIID.Unavailable", "The image ID '%s' is not available: %s", i.id, state)
	}
	zone, err := e.fits(i, q)
	if err != nil {
		return nil, nil, err
	}
	m := &machine{
		Instance: Instance{
			ID: e.id("i-"), Arch: map[string]string{"x86_64": "amd64"}[i.arch], State: "pending", RootDevice: i.root, RootKind: "ebs", Zone: zone, Tags: tags,
			Type: q.text("InstanceType"), Subnet: q.text("SubnetId"), Groups: q.list("SecurityGroupId"), Image: i.id, BootMode: i.boot, ENA: i.ena, TPM: i.tpm,
			Virtual: i.virtual, Platform: i.platform,
		},
		launched: time.Now(), token: q.text("ClientToken"), request: request,
	}
	if m.Arch == "" {
		m.Arch = i.arch
	}
	var fresh []*volume
	for _, d := range i.devices {
		s, err := e.snapshot(d.snapshot)
		if err != nil {
			return nil, nil, err
		}
		if s.key != "" && !e.cfg.Usable(s.key, c.Role) {
			// As EC2 does: it answers, and the instance ends by itself.
			m.doomed = true
		}
		kind := d.kind
		if kind == "" {
			kind = "gp2"
		}
		now := time.Now()
		fresh = append(fresh, &volume{created: now, attachedAt: now, snapshot: s.id, Volume: Volume{
			ID: e.id("vol-"), Instance: m.ID, Device: d.device, Bytes: s.bytes, Kind: kind, Zone: zone, Tags: maps.Clone(disks), Key: s.key, Hollow: s.hollow, DeleteOnTermination: d.dies,
		}})
	}
	for _, v := range fresh {
		e.volumes[v.ID] = v
	}
	e.instances[m.ID] = m
	m.turning = time.AfterFunc(e.cfg.Turning, func() {
		if m.doomed {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.terminate(m)
			return
		}
		e.turned(m, turn{by: "pending", to: "running"})
	})
	return m, fresh, nil
}

// fits refuses a type that the image does not run on, and a network that is
// none, and tells the zone.
func (e *EC2) fits(i *image, q query) (zone string, err error) {
	t, known := types[q.text("InstanceType")]
	switch {
	case !known:
		return "", wire.Bad("InvalidParameterValue", "Invalid value '%s' for InstanceType.", q.text("InstanceType"))
	case t.arch != i.arch:
		return "", wire.Bad("InvalidParameterValue", "The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI.", t.arch, i.arch)
	case i.boot != "" && i.boot != "uefi-preferred" && !slices.Contains(t.boots, i.boot):
		return "", wire.Bad("InvalidParameterValue", "The instance type '%s' does not support the boot mode '%s'.", q.text("InstanceType"), i.boot)
	}
	subnet, known := e.subnets[q.text("SubnetId")]
	if !known {
		return "", wire.Bad("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", q.text("SubnetId"))
	}
	for _, id := range q.list("SecurityGroupId") {
		g, known := e.groups[id]
		if !known {
			return "", wire.Bad("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
		}
		if g.VPC != subnet.VPC {
			return "", wire.Bad("InvalidParameter", "Security group %s and subnet %s belong to different networks.", id, subnet.ID)
		}
	}
	if p := q.text("IamInstanceProfile.Name") + q.text("IamInstanceProfile.Arn"); p != "" && !slices.Contains(e.profiles, p) {
		return "", wire.Bad("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", p)
	}
	return subnet.Zone, nil
}

// terminateInstances may be asked again: what is gone stays visible for a while.
func (e *EC2) terminateInstances(_ context.Context, _ *wire.Call, q query) (any, error) {
	var out changes
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range q.list("InstanceId") {
		m, err := e.find(id)
		if err != nil {
			return nil, err
		}
		before := m.State
		if before != "terminated" && before != "shutting-down" {
			m.State = "shutting-down"
			m.turning = time.AfterFunc(max(0, e.cfg.Turning), func() {
				e.mu.Lock()
				defer e.mu.Unlock()
				e.terminate(m)
			})
		}
		out.add(m, before)
	}
	return out, nil
}

// terminate ends an instance: its volumes end with it or are free; it holds the
// lock.
func (e *EC2) terminate(m *machine) {
	if e.closed || m.State == "terminated" {
		return
	}
	m.State = "terminated"
	for _, v := range e.attached(m.ID) {
		if !v.DeleteOnTermination {
			v.Instance, v.Device, v.Path = "", "", ""
			continue
		}
		delete(e.volumes, v.ID)
		if !v.Hollow {
			go func() { _ = e.cfg.Disks.Delete(context.Background(), v.ID) }()
		}
	}
}
