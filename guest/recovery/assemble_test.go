//go:build linux

package recovery

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/guest/linux"
	"github.com/quiesce/quiesce/guest/mounts"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// machine is one whose tools answer from a record: the device mapper and md
// need a kernel that a test cannot count on.
type machine struct {
	t     *testing.T
	root  string
	said  map[string]said // by command line
	then  map[string]said // the same line asked again
	asked []string
}

// tool answers a command line that the record knows, and complains of others.
func (m *machine) tool(_ context.Context, name string, args ...string) (said, error) {
	line := strings.Join(append([]string{name}, args...), " ")
	m.asked = append(m.asked, line)
	s, ok := m.said[line]
	if !ok {
		m.t.Errorf("nobody recorded %q", line)
		return said{}, fmt.Errorf("not recorded")
	}
	if next, ok := m.then[line]; ok {
		m.said[line] = next
	}
	return s, nil
}

// disk adds a whole NVMe disk to the tree.
func (m *machine) disk(name, number, serial string, holders ...string) {
	dir := filepath.Join(m.root, "sys/class/block", name)
	for path, text := range map[string]string{"dev": number, "size": "2097152", "device/serial": serial + "  "} {
		m.write(filepath.Join(dir, path), text)
	}
	for _, h := range holders {
		m.write(filepath.Join(dir, "holders", h), "")
	}
}

func (m *machine) write(path, text string) {
	must(m.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(m.t, os.WriteFile(path, []byte(text+"\n"), 0o644))
}

// work is a recovery of the disks on this machine, before anything is mounted.
func (m *machine) work(q *protocol.RecoverRequest) *work {
	state, err := linux.OpenState(filepath.Join(m.root, "state"))
	must(m.t, err)
	m.write(filepath.Join(m.root, "proc/thread-self/mountinfo"), "22 1 259:1 / / rw - ext4 /dev/nvme0n1p1 rw")
	r := &Recovery{State: state, Root: m.root, Patience: time.Millisecond, tool: m.tool,
		Node: func(name string) (string, string, error) { return "/dev/real/" + filepath.Base(name), "252:7", nil }}
	r.defaults()
	j, err := r.open("restore-1")
	must(m.t, err)
	return &work{Recovery: r, req: q, run: "restore-1", short: "0a1b2c3d", journal: j, reply: &protocol.RecoverReply{}}
}

func newMachine(t *testing.T) *machine {
	return &machine{t: t, root: t.TempDir(), said: map[string]said{}, then: map[string]said{}}
}

const mapped2 = `devices { use_devicesfile=0 filter=["a|^/dev/nvme2n1$|","a|^/dev/nvme3n1$|","r|.*|"] global_filter=["a|^/dev/nvme2n1$|","a|^/dev/nvme3n1$|","r|.*|"] }`

// A volume group over two disks beside its original: it is imported under a
// name of its own, only ever seen through its own disks.
func TestVolumeGroup(t *testing.T) {
	m := newMachine(t)
	m.disk("nvme2n1", "259:2", "vol0c")
	m.disk("nvme3n1", "259:3", "vol0d")
	for _, d := range []string{"nvme2n1", "nvme3n1"} {
		m.said["blkid -p -o export /dev/"+d] = said{Out: "DEVNAME=/dev/" + d + "\nUUID=Lx6uA1-" + d + "\nVERSION=LVM2 001\nTYPE=LVM2_member\nUSAGE=raid"}
	}
	pvs := "pvs --config " + mapped2 + " --reportformat json -o pv_name,vg_name,vg_uuid,pv_missing"
	m.said[pvs] = said{Out: `{"report": [{"pv": [
		{"pv_name":"/dev/nvme2n1", "vg_name":"data-vg", "vg_uuid":"fB2y", "pv_missing":""},
		{"pv_name":"/dev/nvme3n1", "vg_name":"data-vg", "vg_uuid":"fB2y", "pv_missing":""}]}]}`}
	m.then[pvs] = said{Out: strings.NewReplacer("data-vg", "quiesce0a1b2c3d0", "fB2y", "Qx9p").Replace(m.said[pvs].Out)}
	m.said["vgimportclone --basevgname quiesce0a1b2c3d0 /dev/nvme2n1 /dev/nvme3n1"] = said{}
	m.said["vgchange --config "+mapped2+" --activate y quiesce0a1b2c3d0"] = said{}
	m.said["lvs --config "+mapped2+" --reportformat json -o lv_name,lv_path quiesce0a1b2c3d0"] = said{Out: `{"report": [{"lv": [
		{"lv_name":"db", "lv_path":"/dev/quiesce0a1b2c3d0/db"}, {"lv_name":"pool", "lv_path":""}]}]}`}
	m.said["blkid -p -o export /dev/real/db"] = said{Out: "UUID=0815\nTYPE=xfs\nUSAGE=filesystem"}
	q := &protocol.RecoverRequest{At: filepath.Join(m.root, "at"), Disks: []protocol.RestoredDisk{
		{ID: "vol-0c", Origin: "vol-a", Serials: []string{"vol0c"}, Places: []protocol.Place{{Part: "data--vg-db", Type: "xfs", Path: "/srv/db"}}},
		{ID: "vol-0d", Origin: "vol-b", Serials: []string{"vol0d"}, Places: []protocol.Place{{Part: "data--vg-db", Type: "xfs", Path: "/srv/db"}}},
	}}
	w := m.work(q)
	must(t, w.find(t.Context()))
	must(t, w.assemble(t.Context()))
	must(t, w.settle(t.Context()))
	w.tell()
	if len(w.mountable) != 1 || w.mountable[0].mount != q.At+"/srv/db" || w.mountable[0].origin() != "vol-a,vol-b" || len(w.reply.Problems) > 0 {
		t.Errorf("got %+v and %v", w.reply.Filesystems, w.reply.Problems)
	}
	if f := w.reply.Filesystems[0]; !strings.Contains(f.How, "part of the volume group") {
		t.Errorf("got %+v", f)
	}
	m.said["vgs quiesce0a1b2c3d0"] = said{}
	m.said["vgchange --activate n quiesce0a1b2c3d0"] = said{}
	must(t, w.undo(t.Context(), w.journal, nil))
	m.said["vgs quiesce0a1b2c3d0"] = said{Exit: 5}
	m.asked = nil
	must(t, w.takeBack(t.Context(), step{Kind: group, Path: "quiesce0a1b2c3d0"}))
	if len(m.asked) != 1 {
		t.Errorf("asked %v of a group that is gone", m.asked)
	}
}

// A volume group of which the set has a part only is refused before it is
// touched.
func TestVolumeGroupBeyondTheSet(t *testing.T) {
	m := newMachine(t)
	m.disk("nvme2n1", "259:2", "vol0c")
	m.said["blkid -p -o export /dev/nvme2n1"] = said{Out: "TYPE=LVM2_member"}
	m.said[`pvs --config devices { use_devicesfile=0 filter=["a|^/dev/nvme2n1$|","r|.*|"] global_filter=["a|^/dev/nvme2n1$|","r|.*|"] } --reportformat json -o pv_name,vg_name,vg_uuid,pv_missing`] =
		said{Out: `{"report": [{"pv": [{"pv_name":"/dev/nvme2n1", "vg_name":"vg", "vg_uuid":"fB2y", "pv_missing":""}, {"pv_name":"[unknown]", "vg_name":"vg", "vg_uuid":"fB2y", "pv_missing":"missing"}]}]}`}
	w := m.work(&protocol.RecoverRequest{Disks: []protocol.RestoredDisk{{ID: "vol-0c", Origin: "vol-a", Serials: []string{"vol-0c"}}}})
	must(t, w.find(t.Context()))
	if err := w.assemble(t.Context()); fault.CodeOf(err) != fault.RestoreRefused || !strings.Contains(err.Error(), "not in the set") {
		t.Errorf("got %v", err)
	}
	if n := len(m.asked); n != 2 {
		t.Errorf("asked %v", m.asked)
	}
}

// A mirror is assembled under a name and a UUID of its own, and stopped again.
func TestArray(t *testing.T) {
	m := newMachine(t)
	for i, d := range []string{"nvme2n1", "nvme3n1"} {
		m.disk(d, fmt.Sprint("259:", i+2), fmt.Sprint("vol0", i))
		m.said["blkid -p -o export /dev/"+d] = said{Out: "UUID=a1\nUUID_SUB=b" + d + "\nLABEL=db1:data\nTYPE=linux_raid_member\nUSAGE=raid"}
		m.said["mdadm --examine --export /dev/"+d] = said{Out: "MD_LEVEL=raid1\nMD_DEVICES=2\nMD_NAME=db1:data\nMD_UUID=5b:6c:7d:8e\nMD_ROLE=" + fmt.Sprint(i)}
	}
	assemble := "mdadm --assemble /dev/md/quiesce0a1b2c3d0 --run --update=uuid /dev/nvme2n1 /dev/nvme3n1"
	m.said[assemble] = said{}
	m.said["blkid -p -o export /dev/real/quiesce0a1b2c3d0"] = said{Out: "UUID=77\nTYPE=ext4\nUSAGE=filesystem"}
	q := &protocol.RecoverRequest{At: filepath.Join(m.root, "at"), Disks: []protocol.RestoredDisk{
		{ID: "vol-1", Origin: "vol-a", Serials: []string{"vol00"}, Places: []protocol.Place{{Part: "data", Type: "ext4", Path: "/srv"}}},
		{ID: "vol-2", Origin: "vol-b", Serials: []string{"vol01"}},
	}}
	w := m.work(q)
	must(t, w.find(t.Context()))
	must(t, w.assemble(t.Context()))
	must(t, w.settle(t.Context()))
	if len(w.mountable) != 1 || w.mountable[0].was != "/srv" || w.mountable[0].device != "/dev/real/quiesce0a1b2c3d0" {
		t.Errorf("got %+v", w.mountable)
	}
	m.said["mdadm --detail /dev/md/quiesce0a1b2c3d0"] = said{}
	m.said["mdadm --stop /dev/md/quiesce0a1b2c3d0"] = said{}
	must(t, w.undo(t.Context(), w.journal, nil))
	if last := m.asked[len(m.asked)-1]; !strings.HasPrefix(last, "mdadm --stop") {
		t.Errorf("the last that was asked is %q", last)
	}
	m.said[assemble] = said{Exit: 1, Err: "mdadm: failed to RUN_ARRAY"}
	again := m.work(q)
	must(t, again.find(t.Context()))
	if err := again.assemble(t.Context()); fault.CodeOf(err) != fault.RestoreRefused || !strings.Contains(err.Error(), "RUN_ARRAY") {
		t.Errorf("got %v", err)
	}
	if s := again.journal.Steps; len(s) != 1 || s[0].Kind != array {
		t.Errorf("what may be there is not on record: %v", s)
	}
}

// What a machine has assembled of the disks by itself is taken apart from the
// top, unless somebody uses it or it is not of these disks alone.
func TestRelease(t *testing.T) {
	for name, c := range map[string]struct {
		with func(*machine)
		want string
	}{
		"a logical volume on an array": {func(*machine) {}, ""},
		"mounted": {func(m *machine) {
			m.write(filepath.Join(m.root, "proc/thread-self/mountinfo"), "30 22 252:9 / /srv rw - xfs /dev/mapper/vg-db rw")
		}, "mounted at /srv"},
		"an unlocked container": {func(m *machine) { m.write(filepath.Join(m.root, "sys/class/block/dm-0/dm/uuid"), "CRYPT-LUKS2-0815") }, "not by the machine"},
		"of another disk too": {func(m *machine) {
			m.disk("nvme9n1", "259:9", "vol09")
			m.write(filepath.Join(m.root, "sys/class/block/md127/slaves/nvme9n1"), "")
		}, "nvme9n1, which is not of the set"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.disk("nvme2n1", "259:2", "vol0c", "md127")
			m.disk("nvme3n1", "259:3", "vol0d", "md127")
			m.disk("md127", "9:127", "", "dm-0")
			m.disk("dm-0", "252:9", "")
			for path, text := range map[string]string{"md127/md/level": "raid1", "md127/slaves/nvme2n1": "", "md127/slaves/nvme3n1": "",
				"dm-0/slaves/md127": "", "dm-0/dm/name": "vg-db", "dm-0/dm/uuid": "LVM-fB2yQx9p"} {
				m.write(filepath.Join(m.root, "sys/class/block", path), text)
			}
			w := m.work(&protocol.RecoverRequest{Disks: []protocol.RestoredDisk{{ID: "vol-0c", Serials: []string{"vol0c"}}, {ID: "vol-0d", Serials: []string{"vol0d"}}}})
			c.with(m)
			m.said["dmsetup remove vg-db"], m.said["mdadm --stop /dev/md127"] = said{}, said{}
			found, _, err := match(mounts.Devices(m.root), w.req.Disks)
			must(t, err)
			err = w.release(t.Context(), found)
			switch asked := strings.Join(m.asked, ", "); {
			case c.want == "" && (err != nil || asked != "dmsetup remove vg-db, mdadm --stop /dev/md127"):
				t.Errorf("got %v, asked %s", err, asked)
			case c.want != "" && (fault.CodeOf(err) != fault.RestoreRefused || !strings.Contains(err.Error(), c.want) || asked != ""):
				t.Errorf("got %v, want %s, asked %s", err, c.want, asked)
			}
		})
	}
}

// What nobody may read is told of and not touched.
func TestWhatIsLeft(t *testing.T) {
	m := newMachine(t)
	for i, kind := range []string{"crypto_LUKS", "swap", "vfat", ""} {
		name := fmt.Sprintf("nvme%dn1", i+1)
		m.disk(name, fmt.Sprint("260:", i), "")
		m.said["blkid -p -o export /dev/"+name] = said{Out: "TYPE=" + kind, Exit: map[bool]int{true: 2}[kind == ""]}
	}
	q := &protocol.RecoverRequest{At: filepath.Join(m.root, "at")}
	for i := range 4 {
		q.Disks = append(q.Disks, protocol.RestoredDisk{ID: fmt.Sprint("vol-", i), Origin: fmt.Sprint("old-", i), Device: fmt.Sprintf("/dev/nvme%dn1", i+1)})
	}
	w := m.work(q)
	must(t, w.find(t.Context()))
	must(t, w.settle(t.Context()))
	w.tell()
	for i, want := range []string{"encrypted", "swap", "vfat is not mounted", "nothing that blkid knows"} {
		if got := w.reply.Filesystems[i]; !strings.Contains(got.How, want) || got.Mount != "" {
			t.Errorf("got %+v, want %q", got, want)
		}
	}
	if len(w.reply.Notes) != 2 || len(w.mountable) != 0 {
		t.Errorf("got the notes %q", w.reply.Notes)
	}
}

func TestMatch(t *testing.T) {
	m := newMachine(t)
	m.disk("nvme1n1", "259:2", "vol0a")
	m.disk("xvdf", "202:80", "")
	w := m.work(&protocol.RecoverRequest{})
	for _, c := range []struct {
		disks []protocol.RestoredDisk
		want  fault.Code
	}{
		{[]protocol.RestoredDisk{{ID: "a", Serials: []string{"vol-0A"}}, {ID: "b", Device: "/dev/sdf1", Serials: []string{"volb"}}}, ""},
		{[]protocol.RestoredDisk{{ID: "a", Serials: []string{"vol0x"}}}, fault.VolumeUnresolved},
		{[]protocol.RestoredDisk{{ID: "a", Serials: []string{"vol0x"}, Device: "/dev/nvme1n1"}}, fault.VolumeUnresolved}, // it has another serial number
		{[]protocol.RestoredDisk{{ID: "a", Device: "/dev/xvdf"}, {ID: "b", Device: "/dev/sdf"}}, fault.InvalidInput},
	} {
		for _, d := range []string{"nvme1n1", "xvdf"} {
			m.said["blkid -p -o export /dev/"+d] = said{Exit: 2}
		}
		w.req.Disks, w.copies = c.disks, nil
		if err := w.find(t.Context()); fault.CodeOf(err) != c.want {
			t.Errorf("%+v: got %v, want %s", c.disks, err, c.want)
		}
	}
}
