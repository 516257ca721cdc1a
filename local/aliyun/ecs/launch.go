package ecs

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// launched is what a client token has made.
type launched struct{ id, request string }

// runInstances makes one instance of an image, with its disks. No machine stands
// behind it: its disks hold what the snapshots hold, and nothing runs on them.
func (e *ECS) runInstances(ctx context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	tags, err := p.Tags()
	if err == nil {
		err = p.Required("ImageId", "InstanceType", "VSwitchId")
	}
	if n, err2 := p.Number("Amount", 1, 1, 100); err == nil {
		if err = err2; err == nil && n != 1 {
			err = wire.Errorf(501, "UnsupportedOperation", "More than one instance a call is not emulated.")
		}
	}
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	id, fresh, err := e.launch(p, tags)
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"InstanceIdSets": map[string]any{"InstanceIdSet": []string{id}}}
	if len(fresh) == 0 { // the token's
		return answer, nil
	}
	for n, d := range fresh {
		if d.Hollow {
			continue
		}
		if err := e.cfg.Disks.Create(context.WithoutCancel(ctx), d.ID, d.Bytes, d.snapshot); err != nil {
			e.unlaunch(context.WithoutCancel(ctx), id, p.Text("ClientToken"), fresh[:n])
			return nil, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range fresh {
		d.busy = ""
	}
	e.begin(e.instances[id])
	return answer, nil
}

// unlaunch leaves nothing of an instance whose disks could not be made.
func (e *ECS) unlaunch(ctx context.Context, id, token string, made []*disk) {
	e.mu.Lock()
	for _, d := range e.attachedTo(id) {
		delete(e.disks, d.ID)
	}
	delete(e.instances, id)
	delete(e.tokens, token)
	e.mu.Unlock()
	for _, d := range made {
		if !d.Hollow {
			_ = e.cfg.Disks.Delete(ctx, d.ID)
		}
	}
}

// begin lets an instance start for the first time.
func (e *ECS) begin(m *machine) {
	if e.cfg.Turn <= 0 {
		m.State, m.fresh = running, false
		return
	}
	m.turning = time.AfterFunc(e.cfg.Turn/2, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.closed || m.State != pending {
			return
		}
		m.State = starting
		m.turning = time.AfterFunc(e.cfg.Turn-e.cfg.Turn/2, func() { e.turned(m, turn{by: starting, to: running}) })
	})
}

// launch enters the instance and its disks, once for a token; it holds the lock.
func (e *ECS) launch(p rpc.Params, tags map[string]string) (id string, fresh []*disk, err error) {
	token, asked := p.Text("ClientToken"), request(p)
	if before, ok := e.tokens[token]; ok && token != "" {
		if before.request != asked {
			return "", nil, wire.Bad("IdempotentParameterMismatch", "The request uses the same client token as a previous, but non-identical request.")
		}
		return before.id, nil, nil
	}
	i, err := e.image(p.Text("ImageId"))
	if err != nil {
		return "", nil, err
	}
	if i.state(time.Now()) != imageAvailable {
		return "", nil, wire.Bad("IncorrectImageStatus", "The specified image is not available: it is %s.", i.state(time.Now()))
	}
	v, groups, err := e.fits(i, p)
	if err != nil {
		return "", nil, err
	}
	m := &machine{created: time.Now(), launched: true, fresh: true, Instance: Instance{
		ID: e.id("i-"), Name: p.Text("InstanceName"), Type: p.Text("InstanceType"), Arch: types[p.Text("InstanceType")].arch, State: pending,
		OS: system(i.platform), Mode: keepCharging, Zone: v.Zone, Role: p.Text("RamRoleName"), Tags: tags, Image: i.id, Platform: i.platform, BootMode: i.boot,
		VSwitch: v.ID, VPC: v.VPC, Groups: groups, Key: p.Text("KeyPairName"), IMDS: i.imds,
	}}
	if m.Name == "" {
		m.Name = m.ID
	}
	if fresh, err = e.furnish(i, m, p, tags); err != nil {
		return "", nil, err
	}
	if p.Flag("DryRun") {
		return "", nil, wire.Bad("DryRunOperation", "Request validation has been passed with DryRun flag set.")
	}
	e.instances[m.ID] = m
	for _, d := range fresh {
		e.disks[d.ID] = d
	}
	if token != "" {
		e.tokens[token] = launched{m.ID, asked}
	}
	return m.ID, fresh, nil
}

// fits refuses a type that the image does not run on, a network that is none,
// and what the account does not have.
func (e *ECS) fits(i *image, p rpc.Params) (v VSwitch, groups []string, err error) {
	t, known := types[p.Text("InstanceType")]
	switch {
	case !known:
		return v, nil, wire.Bad("InvalidInstanceType.ValueNotSupported", "The specified InstanceType does not exist or beyond the permitted range.")
	case architectures[t.arch] != i.arch, i.boot != "UEFI-Preferred" && !slices.Contains(t.boots, i.boot):
		return v, nil, forbidden("ImageNotSupportInstanceType", "The specified image does not support the specified InstanceType.")
	}
	groups = p.List("SecurityGroupIds")
	if one := p.Text("SecurityGroupId"); one != "" {
		if len(groups) > 0 {
			return v, nil, wire.Bad("InvalidParameter.Conflict", "SecurityGroupId and SecurityGroupIds cannot be specified at the same time.")
		}
		groups = []string{one}
	}
	if len(groups) == 0 {
		return v, nil, p.Required("SecurityGroupId")
	}
	if v, known = e.vswitches[p.Text("VSwitchId")]; !known {
		return v, nil, missing("InvalidVSwitchId.NotFound", "VSwitchId", p.Text("VSwitchId"))
	}
	for _, id := range groups {
		g, known := e.firewalls[id]
		switch {
		case !known:
			return v, nil, missing("InvalidSecurityGroupId.NotFound", "SecurityGroupId", id)
		case g.VPC != v.VPC:
			return v, nil, forbidden("OperationDenied.InconsistentNetwork", "The specified security group and vswitch are not in the same vpc.")
		}
	}
	role, key := p.Text("RamRoleName"), p.Text("KeyPairName")
	switch {
	case role != "" && !e.roles[role]:
		return v, nil, missing("InvalidRamRole.NotFound", "RamRoleName", role)
	case key != "" && !e.keys[key]:
		return v, nil, missing("InvalidKeyPairName.NotFound", "KeyPairName", key)
	case key != "" && system(i.platform) == "windows":
		return v, nil, forbidden("DependencyViolation.WindowsInstance", "The instance creating is window, cannot use ssh key pair to login.")
	case e.soldOut[v.Zone]:
		return v, nil, forbidden("OperationDenied.NoStock", "The requested resource is sold out in the specified zone; try other types of resources or other regions and zones.")
	}
	return v, groups, nil
}

// furnish makes out the disks of a new instance: those of its image, with what
// the call says otherwise, and those that the call asks for besides.
func (e *ECS) furnish(i *image, m *machine, p rpc.Params, tags map[string]string) (fresh []*disk, err error) {
	disks := i.disks
	if len(disks) == 0 { // of a public image nobody is told what it is made of
		disks = []imageDisk{{device: "/dev/xvda", gib: 20, system: true}}
	}
	said := map[byte]string{} // a device's parameters
	for n := 1; ; n++ {
		at := "DataDisk." + strconv.Itoa(n) + "."
		device, snapshot, size := p.Text(at+"Device"), p.Text(at+"SnapshotId"), p.Text(at+"Size")
		if device == "" && snapshot == "" && size == "" && p.Text(at+"Category") == "" {
			break
		}
		if !deviceName.MatchString(device) && !slices.ContainsFunc(i.disks, func(d imageDisk) bool { return d.device == device }) {
			return nil, wire.Bad("InvalidDevice.Malformed", "The specified device is not valid.")
		}
		if said[letter(device)] != "" {
			return nil, wire.Bad("InvalidDevice.InUse", "The specified device has been occupied.")
		}
		said[letter(device)] = at
		if !slices.ContainsFunc(disks, func(d imageDisk) bool { return letter(d.device) == letter(device) }) {
			disks = append(slices.Clip(disks), imageDisk{device: device, snapshot: snapshot})
		}
	}
	for _, d := range disks {
		at, what := said[letter(d.device)], "DataDisk"
		if d.system {
			at, what = "SystemDisk.", "SystemDisk"
		}
		made, err := e.furnished(d, p, at, what)
		if err != nil {
			return nil, err
		}
		made.ID, made.Instance, made.Zone, made.Tags = e.id("d-"), m.ID, m.Zone, maps.Clone(tags)
		fresh = append(fresh, made)
	}
	return fresh, nil
}

// furnished is one disk, made of what the image says and of what the call says.
func (e *ECS) furnished(of imageDisk, p rpc.Params, at, what string) (*disk, error) {
	now := time.Now()
	d := &disk{created: now, attached: now, busy: creating, snapshot: of.snapshot, Disk: Disk{
		Device: of.device, System: of.system, Category: cmp.Or(p.Text(at+"Category"), "cloud_essd"), Ends: p.Text(at+"DeleteWithInstance") != "false",
	}}
	size, err := p.Number(at+"Size", 0, 1, 65536)
	if err != nil {
		return nil, wire.Bad("Invalid"+what+"Size.ValueNotSupported", "The specified parameter %sSize is not valid.", at)
	}
	least := of.gib
	if of.snapshot != "" {
		s, err := e.snapshot(of.snapshot)
		if err != nil {
			return nil, err
		}
		if !s.available(now) {
			return nil, forbidden("InvalidSnapshotId.NotReady", "The specified snapshot has not completed yet.")
		}
		least, d.Bytes, d.Hollow = max(least, s.gib), s.bytes, s.hollow
		if g := max(int64(size), of.gib); g > s.gib { // the storage below is smaller than the gibibytes that are sold
			d.Bytes = g * gib
		}
	} else {
		d.Bytes, d.Hollow = max(int64(size), of.gib)*gib, of.system
	}
	switch {
	case of.system && size > 0 && int64(size) < least:
		err = wire.Errorf(404, "InvalidSystemDiskSize.LessThanImageSize", "The specified parameter SystemDisk.Size is less than the image size.")
	case of.system && size > 0 && size < smallest(d.Category, p.Text(at+"PerformanceLevel")):
		err = wire.Errorf(404, "InvalidSystemDiskSize.LessThanMinSize", "The specified parameter SystemDisk.Size is less than the min size.")
	case !slices.Contains(categories, d.Category):
		err = wire.Bad("Invalid"+what+"Category.ValueNotSupported", "The specified parameter %sCategory is not valid.", at)
	case d.Bytes == 0 && !d.Hollow, size > 0 && int64(size) < least:
		err = wire.Bad("InvalidDataDiskSize.ValueNotSupported", "The specified parameter %sSize is smaller than the disk must be.", at)
	default:
		err = large(d.Category, p.Text(at+"PerformanceLevel"), size)
	}
	return d, err
}

// categories are what a disk of a new instance may be of.
var categories = append([]string{"cloud", "cloud_efficiency", "cloud_ssd"}, essd...)

// request is what a call that carries the token of another must have in common
// with that.
func request(p rpc.Params) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		switch name {
		case "Action", "Version", "Format", "Timestamp", "AccessKeyId", "SecurityToken", "ClientToken", "DryRun":
		default:
			if !strings.HasPrefix(name, "Signature") {
				all = append(all, strconv.Quote(name)+"="+strconv.Quote(p[name][0]))
			}
		}
	}
	return strings.Join(all, " ")
}
