package ecs

import (
	"context"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// describeImages lists those that are available unless a status is asked for,
// the provider's own among them.
func (e *ECS) describeImages(_ context.Context, _ *wire.Call, p rpc.Params) (map[string]any, error) {
	page, err := p.Number("PageNumber", 1, 1, 1<<30)
	size, err2 := p.Number("PageSize", 10, 1, 100)
	if err == nil {
		err = err2
	}
	if owner := p.Text("ImageOwnerAlias"); err == nil && !slices.Contains([]string{"", self, theirs, "others", "marketplace"}, owner) {
		err = wire.Bad("InvalidParameter.ImageOwnerAlias", "The specified ImageOwnerAlias %q is not valid.", owner)
	}
	if err != nil {
		return nil, err
	}
	asked, states := split(p.Text("ImageId")), split(p.Text("Status"))
	if len(states) == 0 {
		states = []string{imageAvailable}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	list := []any{}
	for _, id := range e.order {
		i := e.images[id]
		switch {
		case i == nil,
			len(asked) > 0 && !slices.Contains(asked, id),
			len(asked) == 0 && i.made && now.Sub(i.created) < e.cfg.Visible,
			!slices.Contains(states, i.state(now)),
			p.Text("ImageName") != "" && !named(i.name, p.Text("ImageName")),
			p.Text("SnapshotId") != "" && !slices.Contains(i.snapshots(), p.Text("SnapshotId")),
			p.Text("ImageOwnerAlias") != "" && i.owner != p.Text("ImageOwnerAlias"),
			p.Text("Architecture") != "" && i.arch != p.Text("Architecture"),
			!p.Tagged(i.tags):
			continue
		}
		list = append(list, i.render(now))
	}
	total := len(list)
	list = list[min(total, (page-1)*size):min(total, page*size)]
	return map[string]any{
		"Images": map[string]any{"Image": list}, "TotalCount": total, "PageNumber": page, "PageSize": size, "RegionId": e.cfg.Region,
	}, nil
}

func split(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// named tells whether a name is asked for, which may be by a pattern.
func named(name, pattern string) bool {
	ok, err := path.Match(pattern, name)
	return name == pattern || err == nil && ok
}

func (i *image) render(now time.Time) map[string]any {
	disks, gib := []any{}, int64(20)
	for _, d := range i.disks {
		disks = append(disks, map[string]any{
			"SnapshotId": d.snapshot, "Device": d.device, "Size": strconv.FormatInt(d.gib, 10), "Type": kind(d.system), "Format": "", "Encrypted": false,
			"Progress": i.progress(now),
		})
		if d.system {
			gib = d.gib
		}
	}
	return map[string]any{
		"ImageId": i.id, "ImageName": i.name, "Description": i.description, "Status": i.state(now), "Progress": i.progress(now), "CreationTime": rpc.Stamp(i.created),
		"ImageOwnerAlias": i.owner, "IsPublic": i.owner == theirs, "Platform": i.platform, "Architecture": i.arch, "BootMode": i.boot, "Size": gib,
		"OSType": system(i.platform), "OSName": osName(i.platform), "OSNameEn": osName(i.platform), "IsSupportIoOptimized": true, "Usage": "",
		"Features": map[string]string{"ImdsSupport": i.imds, "NvmeSupport": "supported"}, "Tags": rpc.Prefixed.Render(i.tags),
		"DiskDeviceMappings": map[string]any{"DiskDeviceMapping": disks},
	}
}

func osName(platform string) string {
	switch {
	case platform == aliyun3:
		return "Alibaba Cloud Linux 3.2104 LTS 64 bit"
	case system(platform) == "windows":
		return platform
	}
	return platform + " 64 bit"
}

// publish makes the image that a machine of the provider's was started from
// known, as it says of itself; it holds the lock.
func (e *ECS) publish(i Instance) {
	if o := e.images[i.Image]; i.Image == "" || o != nil && o.owner == self {
		return
	}
	e.forgetImage(i.Image)
	e.images[i.Image] = &image{
		id: i.Image, name: i.Image, owner: theirs, platform: i.Platform, arch: architectures[i.Arch], boot: i.BootMode, imds: "v1", tags: map[string]string{},
	}
	e.order = append(e.order, i.Image)
}

// publicImages are what machines are started from whose owner says nothing else.
var publicImages = map[string]string{
	"linux amd64":   "aliyun_3_x64_20G_alibase_20240528.vhd",
	"linux arm64":   "aliyun_3_arm64_20G_alibase_20240528.vhd",
	"windows amd64": "win2022_21H2_x64_dtc_en-us_40G_alibase_20240516.vhd",
}
