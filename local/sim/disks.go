package sim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/local/ledger"
)

// volume is one disk. Its image is what a copy of it would hold.
type volume struct {
	name   string
	image  image
	device string // empty: not attached
	number string
	fs     *filesystem // nil: not mounted
}

// Create makes a volume, empty or with the content of a snapshot.
func (m *Machine) Create(_ context.Context, name string, bytes int64, snapshot string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.volumes[name] != nil {
		return fmt.Errorf("volume %s exists already", name)
	}
	v := &volume{name: name, image: image{files: map[string][]byte{}}}
	if snapshot != "" {
		from, ok := m.snapshots[snapshot]
		if !ok {
			return fmt.Errorf("no snapshot %s", snapshot)
		}
		v.image = from.clone()
	}
	if v.image.bytes = max(bytes, v.image.bytes); v.image.bytes <= 0 {
		return fmt.Errorf("volume %s: %d bytes", name, bytes)
	}
	m.volumes[name] = v
	return nil
}

// Attach gives the volume a device; one that is attached keeps its own.
func (m *Machine) Attach(_ context.Context, name string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.volumes[name]
	if v == nil {
		return "", fmt.Errorf("no volume %s", name)
	}
	if v.device == "" {
		v.device, v.number = fmt.Sprintf("/dev/simulated%d", m.attached), fmt.Sprintf("250:%d", m.attached)
		m.attached++
	}
	return v.device, nil
}

// Detach takes the device away. It refuses one that is mounted.
func (m *Machine) Detach(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.volumes[name]
	switch {
	case v == nil:
		return fmt.Errorf("no volume %s", name)
	case v.fs != nil:
		return fmt.Errorf("%s is in use: mounted at %s", v.device, v.fs.mount)
	}
	v.device, v.number = "", ""
	return nil
}

// Delete removes a detached volume.
func (m *Machine) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.volumes[name]
	switch {
	case v == nil:
		return fmt.Errorf("no volume %s", name)
	case v.device != "":
		return fmt.Errorf("volume %s is attached as %s", name, v.device)
	}
	delete(m.volumes, name)
	return nil
}

// Snapshot copies the volumes at one point in time. Of what is not durable yet
// some may be on the disk already, as writeback goes on all the time.
func (m *Machine) Snapshot(_ context.Context, set map[string]string) error {
	m.disturb("snapshot", "copy")
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(set) == 0 {
		return errors.New("a set of no volumes")
	}
	taken := map[string]image{}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		v, snapshot := m.volumes[name], set[name]
		if v == nil {
			return fmt.Errorf("no volume %s", name)
		}
		_, there := m.snapshots[snapshot]
		if _, twice := taken[snapshot]; there || twice {
			return fmt.Errorf("snapshot %s exists already", snapshot)
		}
		copied := v.image.clone()
		if f := v.fs; f != nil && !f.frozen {
			for _, file := range slices.Sorted(maps.Keys(f.files)) {
				durable, seen := len(copied.files[file]), f.files[file]
				copied.files[file] = slices.Clip(seen[:durable+f.dice.IntN(len(seen)-durable+1)])
			}
		}
		taken[snapshot] = copied
	}
	maps.Copy(m.snapshots, taken)
	m.tell(Event{Kind: Copied, Set: maps.Clone(set)})
	return nil
}

// Revert puts what a snapshot holds in the place of what is on a volume that is
// not mounted.
func (m *Machine) Revert(name, snapshot string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.volumes[name]
	from, ok := m.snapshots[snapshot]
	switch {
	case v == nil:
		return fmt.Errorf("no volume %s", name)
	case v.fs != nil:
		return fmt.Errorf("%s is in use: mounted at %s", name, v.fs.mount)
	case !ok:
		return fmt.Errorf("no snapshot %s", snapshot)
	}
	bytes := v.image.bytes
	v.image = from.clone()
	v.image.bytes = bytes
	return nil
}

// Held is what a snapshot holds: the ledger's records and the state of the log,
// as a volume made of it would show them.
func (m *Machine) Held(snapshot string) (ledger.Contents, ledger.Log, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, ok := m.snapshots[snapshot]
	if !ok {
		return ledger.Contents{}, ledger.Log{}, fmt.Errorf("no snapshot %s", snapshot)
	}
	return ledger.Parse(i.files[ledger.FileName]), i.log(), nil
}

// DeleteSnapshot removes a snapshot; volumes made from it stay.
func (m *Machine) DeleteSnapshot(_ context.Context, snapshot string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.snapshots[snapshot]; !ok {
		return fmt.Errorf("no snapshot %s", snapshot)
	}
	delete(m.snapshots, snapshot)
	return nil
}

// Close ends everything that runs on the machine: what is frozen is thawed,
// and nobody stays blocked.
func (m *Machine) Close() error {
	m.mu.Lock()
	m.off = true // nobody comes after the helper any more
	m.mu.Unlock()
	m.KillHelper()
	m.mu.Lock()
	stops := m.stops
	m.stops, m.closed = nil, true
	for _, f := range m.filesystems {
		if f.frozen {
			f.frozen, f.owner = false, ""
			f.thaws++
			f.tell()
		}
	}
	m.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
	return nil
}

func (m *Machine) byDevice(device string) (*volume, error) {
	for _, v := range m.volumes {
		if v.device == device && device != "" {
			return v, nil
		}
	}
	return nil, fmt.Errorf("no device %s", device)
}

// Format makes a filesystem on a device that is not mounted.
func (m *Machine) Format(_ context.Context, device, kind string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.byDevice(device)
	if err != nil {
		return err
	}
	if v.fs != nil {
		return fmt.Errorf("%s is mounted", device)
	}
	v.image = image{kind: kind, settled: true, bytes: v.image.bytes, files: map[string][]byte{}}
	return nil
}

// Mount mounts a device that holds a filesystem.
func (m *Machine) Mount(device, at string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.byDevice(device)
	switch {
	case err != nil:
		return err
	case v.fs != nil:
		return fmt.Errorf("%s is mounted at %s", device, v.fs.mount)
	case v.image.kind == "":
		return fmt.Errorf("%s holds no filesystem", device)
	case m.filesystems[at] != nil:
		return fmt.Errorf("%s is taken", at)
	}
	v.image.settled = false
	v.fs = &filesystem{m: m, mount: at, number: v.number, disk: v, dice: m.dice(v.name),
		files: v.image.clone().files, changed: make(chan struct{})}
	m.filesystems[at] = v.fs
	return nil
}

// Stack declares that the device of one mounted filesystem is a file on
// another: the inner must be frozen first and thawed last.
func (m *Machine) Stack(inner, outer string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, o := m.filesystems[inner], m.filesystems[outer]
	if i == nil || o == nil || i == o {
		return fmt.Errorf("%s cannot stand on %s", inner, outer)
	}
	i.on = o
	return nil
}

// Unmount takes a mount away; what was written is on the disk then.
func (m *Machine) Unmount(at string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.filesystems[at]
	switch {
	case f == nil:
		return fmt.Errorf("%s is not mounted", at)
	case f.frozen || f.freezing:
		return fmt.Errorf("%s is frozen", at)
	}
	f.settleFiles()
	f.disk.image.settled = true
	f.disk.fs = nil
	delete(m.filesystems, at)
	return nil
}

// Inspect tells in which state the log of a device that is not mounted is.
func (m *Machine) Inspect(device string) (ledger.Log, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.byDevice(device)
	switch {
	case err != nil:
		return ledger.Log{}, err
	case v.fs != nil:
		return ledger.Log{}, fmt.Errorf("%s is mounted", device)
	}
	return v.image.log(), nil
}

func (i image) log() ledger.Log {
	if i.settled {
		return ledger.Log{Settled: true, Detail: "nothing to recover"}
	}
	return ledger.Log{Detail: "the log has to be recovered"}
}

// Read parses the ledger of a mounted volume.
func (m *Machine) Read(mount string) (ledger.Contents, error) {
	f, err := m.at(mount)
	if err != nil {
		return ledger.Contents{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return ledger.Parse(f.files[ledger.FileName]), nil
}

// serial is what the disk reports, as NVMe controllers do: the volume's name
// without its dash, on Alibaba Cloud without the prefix.
func (v *volume) serial() string {
	return strings.ReplaceAll(strings.TrimPrefix(v.name, "d-"), "-", "")
}
