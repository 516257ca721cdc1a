package ecs

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

type image struct {
	id, name, platform, architecture string
	snapshots                        []string
	created, ready                   time.Time
	token                            string
}

func (e *ECS) imagesOf(snapshot string) (ids []string) {
	for _, i := range e.images {
		if slices.Contains(i.snapshots, snapshot) {
			ids = append(ids, i.id)
		}
	}
	return ids
}

// createImage takes InstanceId before DiskDeviceMapping before SnapshotId, as
// documented; from an instance only through its snapshots here.
func (e *ECS) createImage(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	if p.Text("InstanceId") != "" {
		return nil, wire.Errorf(501, "UnsupportedOperation", "An image of an instance is not emulated.")
	}
	snapshots := e.mapped(p)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, i := range e.images {
		if t := p.Text("ClientToken"); t != "" && i.token == t {
			return map[string]any{"ImageId": i.id}, nil
		}
		if i.name == p.Text("ImageName") && i.name != "" {
			return nil, wire.Bad("InvalidImageName.Duplicated", "The specified Image name has already been used.")
		}
	}
	if err := imageName(p.Text("ImageName")); err != nil {
		return nil, err
	}
	if len(snapshots) == 0 {
		return nil, wire.Bad("MissingParameter", "SnapshotId, InstanceId or DiskDeviceMapping is mandatory.")
	}
	systems := 0
	for _, id := range snapshots {
		s, err := e.snapshot(id)
		if err != nil {
			return nil, err
		}
		if s.state(time.Now()) != accomplished {
			return nil, forbidden("InvalidSnapshotId.NotReady", "The specified snapshot has not completed yet.")
		}
		if s.system {
			systems++
		}
	}
	if systems != 1 || len(snapshots) > 17 {
		return nil, forbidden("InvalidSnapshotId.NotSystemDisk", "An image wants the snapshot of one system disk, and those of at most 16 data disks.")
	}
	i := &image{
		id: e.id("m-"), name: p.Text("ImageName"), platform: p.Text("Platform"), architecture: p.Text("Architecture"), snapshots: snapshots,
		created: time.Now(), ready: time.Now().Add(max(0, e.cfg.Provision)), token: p.Text("ClientToken"),
	}
	e.images[i.id] = i
	e.order = append(e.order, i.id)
	return map[string]any{"ImageId": i.id}, nil
}

func (e *ECS) mapped(p rpc.Params) []string {
	var all []string
	for n := 1; ; n++ {
		id := p.Text("DiskDeviceMapping." + strconv.Itoa(n) + ".SnapshotId")
		if id == "" {
			break
		}
		all = append(all, id)
	}
	if id := p.Text("SnapshotId"); len(all) == 0 && id != "" {
		all = []string{id}
	}
	return all
}

func imageName(name string) error {
	if n := len([]rune(name)); name != "" && (n < 2 || n > 128 || strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://") ||
		strings.HasPrefix(name, "acs:") || strings.HasPrefix(name, "aliyun")) {
		return wire.Bad("InvalidImageName.Malformed", "The specified Image name is wrongly formed.")
	}
	return nil
}

// AddImage registers an image that was made of snapshots.
func (e *ECS) AddImage(id string, snapshots ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.images[id] = &image{id: id, name: id, snapshots: snapshots, created: time.Now(), ready: time.Now()}
	e.order = append(e.order, id)
}

func (e *ECS) describeImages(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	page, err := p.Number("PageNumber", 1, 1, 1<<30)
	size, err2 := p.Number("PageSize", 10, 1, 100)
	if err == nil {
		err = err2
	}
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	list := []any{}
	for _, id := range e.order {
		i := e.images[id]
		if i == nil || p.Text("ImageId") != "" && !slices.Contains(strings.Split(p.Text("ImageId"), ","), id) ||
			p.Text("SnapshotId") != "" && !slices.Contains(i.snapshots, p.Text("SnapshotId")) {
			continue
		}
		status, progress := "Available", "100%"
		if now.Before(i.ready) {
			status, progress = "Creating", "50%"
		}
		if want := p.Text("Status"); want != "" && !slices.Contains(strings.Split(want, ","), status) || want == "" && status != "Available" {
			continue // without a status only those that are available are listed
		}
		list = append(list, map[string]any{
			"ImageId": id, "ImageName": i.name, "Status": status, "Progress": progress, "CreationTime": rpc.Stamp(i.created),
			"ImageOwnerAlias": "self", "Platform": i.platform, "Architecture": i.architecture,
		})
	}
	total := len(list)
	list = list[min(total, (page-1)*size):min(total, page*size)]
	return map[string]any{"Images": map[string]any{"Image": list}, "TotalCount": total, "PageNumber": page, "PageSize": size}, nil
}
