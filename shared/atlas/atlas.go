// Package atlas finds the volumes of a provider under the mounts of a machine,
// which know their disks by other names.
package atlas

import (
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// Atlas says on which of the provider's volumes a mount lies.
type Atlas struct {
	bySerial map[string]string
	byDevice map[string]string
	mounts   map[string]protocol.Mount
}

// New makes the atlas of a machine: its volumes as the provider attaches them,
// its mounts as the helper sees them.
func New(volumes []run.Volume, mounts []protocol.Mount) Atlas {
	a := Atlas{bySerial: map[string]string{}, byDevice: map[string]string{}, mounts: map[string]protocol.Mount{}}
	for _, v := range volumes {
		for _, s := range v.Serials {
			a.bySerial[protocol.Serial(s)] = v.ID
		}
		if v.Device != "" {
			a.byDevice[protocol.KernelName(v.Device)] = v.ID
		}
	}
	for _, m := range mounts {
		a.mounts[m.Mount] = m
	}
	return a
}

// Volumes returns the ids of the volumes under a mount. A serial number decides where
// the disk reports one, because the kernel numbers NVMe disks as it likes; a
// loop device that is no volume itself lies where its file lies.
func (a Atlas) Volumes(m protocol.Mount) (ids []string) {
	seen := map[string]bool{}
	for range len(a.mounts) + 1 { // a bound, should mounts claim to stand on each other
		for _, d := range m.Disks {
			id := a.byDevice[protocol.KernelName(d.Name)]
			if d.Serial != "" {
				if bySerial := a.bySerial[protocol.Serial(d.Serial)]; bySerial != "" {
					id = bySerial
				}
			}
			if id != "" && !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
		on, ok := a.mounts[m.On]
		if len(ids) > 0 || m.On == "" || !ok {
			return ids
		}
		m = on
	}
	return ids
}
