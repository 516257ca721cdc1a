package mounts

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	rootLine = "22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw,discard"
	pseudo   = "23 22 0:21 / /proc rw,nosuid shared:2 - proc proc rw"
	tmpfs    = "24 22 0:22 / /run rw,nosuid shared:3 - tmpfs tmpfs rw"
	nfs      = "25 22 0:44 / /home rw shared:4 - nfs4 filer:/home rw,vers=4.1"
)

func base(r *tree) {
	r.nvme("nvme0n1", "259:0", "vol0aaaaaaaaaaaaaaaa")
	r.partition("nvme0n1p1", "259:1", "nvme0n1")
	r.mount(rootLine, pseudo, tmpfs, nfs)
}

// line renders a mount as the tables below write it.
func line(m Mount) string {
	var disks []string
	for _, d := range m.Disks {
		s := d.Name
		if d.Serial != "" {
			s += "=" + d.Serial
		}
		disks = append(disks, s)
	}
	s := fmt.Sprintf("%s %s %s depth %d on %s", m.Mount.Mount, m.Device, m.Type, m.Depth, strings.Join(disks, ","))
	if m.ReadOnly {
		s += " ro"
	}
	if len(m.Binds) > 0 {
		s += " binds " + strings.Join(m.Binds, ",")
	}
	if m.Refused != "" {
		s += " refused: " + m.Refused
	}
	return s
}

// A filesystem is known again on a copy of its disks by what part of them it is.
func TestPart(t *testing.T) {
	r := newTree(t)
	r.nvme("nvme1n1", "259:2", "vol0b")
	r.partition("nvme1n1p3", "259:5", "nvme1n1")
	r.nvme("nvme2n1", "259:3", "vol0c")
	r.stacked("dm-0", "252:0", "vg-data", "nvme2n1")
	r.xen("xvdf", "202:80")
	r.mount("30 22 259:5 / /a rw - xfs /dev/nvme1n1p3 rw", "31 22 252:0 / /b rw - xfs /dev/mapper/vg-data rw", "32 22 202:80 / /c rw - ext4 /dev/xvdf rw")
	got := map[string]string{}
	for _, m := range r.read().Mounts {
		got[m.Mount.Mount] = m.Part
	}
	if got["/a"] != "1" || got["/b"] != "vg-data" || got["/c"] != "" || len(got) != 3 {
		t.Errorf("got %v", got)
	}
	for i, d := range Devices(r.root) {
		if d.Name != []string{"dm-0", "nvme1n1", "nvme2n1", "xvdf"}[i] {
			t.Errorf("got %s", d.Name)
		}
		if d.Name == "nvme1n1" && (d.Serial != "vol0b" || len(d.Parts) != 1 || d.Parts[0].Part != "1" || d.Parts[0].Number != "259:5") {
			t.Errorf("got %+v", d)
		}
	}
}

const rootIs = "/ 259:1 ext4 depth 0 on nvme0n1=vol0aaaaaaaaaaaaaaaa refused: it is the root filesystem"

func TestRead(t *testing.T) {
	for name, c := range map[string]struct {
		build func(*tree)
		want  []string
	}{
		"NVMe with a partition": {func(r *tree) {
			r.nvme("nvme1n1", "259:2", "vol0bbbbbbbbbbbbbbbb")
			r.partition("nvme1n1p1", "259:3", "nvme1n1")
			r.mount("30 22 259:3 / /data rw shared:5 - xfs /dev/nvme1n1p1 rw")
		}, []string{"/data 259:3 xfs depth 0 on nvme1n1=vol0bbbbbbbbbbbbbbbb"}},
		"Xen": {func(r *tree) {
			r.xen("xvdf", "202:80")
			r.mount("30 22 202:80 / /data rw - ext4 /dev/xvdf rw")
		}, []string{"/data 202:80 ext4 depth 0 on xvdf"}},
		"virtio": {func(r *tree) {
			r.virtio("vdb", "253:16", "bp1abcdef")
			r.mount("30 22 253:16 / /data rw - ext4 /dev/vdb rw")
		}, []string{"/data 253:16 ext4 depth 0 on vdb=bp1abcdef"}},
		"LVM over two disks": {func(r *tree) {
			r.nvme("nvme1n1", "259:2", "vol0b")
			r.nvme("nvme2n1", "259:3", "vol0c")
			r.stacked("dm-0", "252:0", "vg-data", "nvme1n1", "nvme2n1")
			r.mount("30 22 252:0 / /data rw - xfs /dev/mapper/vg-data rw")
		}, []string{"/data 252:0 xfs depth 0 on nvme1n1=vol0b,nvme2n1=vol0c"}},
		"LVM thin": {func(r *tree) {
			r.nvme("nvme1n1", "259:2", "vol0b")
			r.stacked("dm-0", "252:0", "vg-pool_tmeta", "nvme1n1")
			r.stacked("dm-1", "252:1", "vg-pool_tdata", "nvme1n1")
			r.stacked("dm-2", "252:2", "vg-pool-tpool", "dm-0", "dm-1")
			r.stacked("dm-3", "252:3", "vg-thin", "dm-2")
			r.mount("30 22 252:3 / /data rw - ext4 /dev/mapper/vg-thin rw")
		}, []string{"/data 252:3 ext4 depth 0 on nvme1n1=vol0b"}},
		"md over LVM, encrypted": {func(r *tree) {
			r.nvme("nvme1n1", "259:2", "vol0b")
			r.nvme("nvme2n1", "259:3", "vol0c")
			r.stacked("dm-0", "252:0", "vg-a", "nvme1n1")
			r.stacked("dm-1", "252:1", "vg-b", "nvme2n1")
			r.stacked("md0", "9:0", "", "dm-0", "dm-1")
			r.stacked("dm-2", "252:2", "secret", "md0")
			r.mount("30 22 252:2 / /data rw - ext4 /dev/mapper/secret rw")
		}, []string{"/data 252:2 ext4 depth 0 on nvme1n1=vol0b,nvme2n1=vol0c"}},
		"binds are one superblock": {func(r *tree) {
			r.xen("xvdf", "202:80")
			r.mount("30 22 202:80 / /srv/deep/data rw - ext4 /dev/xvdf rw",
				"31 22 202:80 /sub /data rw - ext4 /dev/xvdf rw",
				"32 22 202:80 /sub /opt/chroot/data rw - ext4 /dev/xvdf rw",
				"33 22 202:80 / /ro ro - ext4 /dev/xvdf rw")
		}, []string{"/data 202:80 ext4 depth 0 on xvdf binds /opt/chroot/data,/ro,/srv/deep/data"}},
		"only read-only mounts of what can be written": {func(r *tree) {
			r.xen("xvdf", "202:80")
			r.mount("30 22 202:80 / /data ro - ext4 /dev/xvdf rw")
		}, []string{"/data 202:80 ext4 depth 0 on xvdf refused: " + roMount}},
		"read-only": {func(r *tree) {
			r.xen("xvdf", "202:80")
			r.mount("30 22 202:80 / /data ro - ext4 /dev/xvdf ro")
		}, []string{"/data 202:80 ext4 depth 0 on xvdf ro"}},
		"blanks in a mount point": {func(r *tree) {
			r.xen("xvdf", "202:80")
			r.mount(`30 22 202:80 / /my\040data\134x rw - ext4 /dev/xvdf rw`)
		}, []string{`/my data\x 202:80 ext4 depth 0 on xvdf`}},
		"mounted over": {func(r *tree) {
			r.xen("xvdf", "202:80")
			r.xen("xvdg", "202:96")
			r.xen("xvdh", "202:112")
			r.mount("30 22 202:80 / /data rw - ext4 /dev/xvdf rw",
				"31 30 202:112 / /data/sub rw - ext4 /dev/xvdh rw",
				"32 30 202:96 / /data rw - ext4 /dev/xvdg rw")
		}, []string{"/data 202:96 ext4 depth 0 on xvdg"}},
		"mount points within one another are not stacked": {func(r *tree) {
			r.xen("xvdf", "202:80")
			r.xen("xvdg", "202:96")
			r.mount("30 22 202:80 / /data rw - ext4 /dev/xvdf rw", "31 30 202:96 / /data/log rw - ext4 /dev/xvdg rw")
		}, []string{"/data 202:80 ext4 depth 0 on xvdf", "/data/log 202:96 ext4 depth 0 on xvdg"}},
		"btrfs over two disks": {func(r *tree) {
			r.xen("xvdf", "202:80")
			r.xen("xvdg", "202:96")
			r.btrfs("5e1f-aa", "xvdf", "xvdg")
			r.mount("30 22 0:45 /@ /data rw - btrfs /dev/xvdg rw,subvol=/@", "31 22 0:45 /@log /data-log rw - btrfs /dev/xvdg rw")
		}, []string{"/data 0:45 btrfs depth 0 on xvdf,xvdg binds /data-log"}},
		"btrfs on a mapped device": {func(r *tree) {
			r.xen("xvdf", "202:80")
			r.stacked("dm-0", "252:0", "vg-btr", "xvdf")
			r.mount("30 22 0:45 / /data rw - btrfs /dev/mapper/vg-btr rw")
		}, []string{"/data 0:45 btrfs depth 0 on xvdf"}},
		"loop files": {func(r *tree) {
			r.xen("xvdf", "202:80")
			r.loop("loop0", "7:0", "/data/a.img")
			r.loop("loop1", "7:1", "/data/a/b.img")
			r.loop("loop2", "7:2", "")
			r.mount("30 22 202:80 / /data rw - ext4 /dev/xvdf rw",
				"31 30 7:0 / /data/a rw - ext4 /dev/loop0 rw",
				"32 22 7:1 / /b rw - xfs /dev/loop1 rw",
				"33 22 7:2 / /c rw - xfs /dev/loop2 rw")
		}, []string{
			"/b 7:1 xfs depth 2 on loop1", "/c 7:2 xfs depth 0 on loop2",
			"/data 202:80 ext4 depth 0 on xvdf", "/data/a 7:0 ext4 depth 1 on loop0"}},
		"what cannot be frozen": {func(r *tree) {
			r.partition("nvme0n1p2", "259:5", "nvme0n1")
			r.mount("30 22 259:5 / /boot/efi rw - vfat /dev/nvme0n1p2 rw",
				"31 22 0:50 / /mnt/s3 rw - fuse.s3fs s3fs rw",
				"32 22 7:9 / /snap ro - squashfs /dev/loop9 ro")
		}, []string{"/boot/efi 259:5 vfat depth 0 on nvme0n1=vol0aaaaaaaaaaaaaaaa refused: vfat cannot be frozen"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTree(t)
			base(r)
			c.build(r)
			tab := r.read()
			tab.Refuse(Rules{})
			var got []string
			for _, m := range tab.Mounts {
				got = append(got, line(m))
			}
			want := append([]string{rootIs}, c.want...)
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("got\n %s\nwant\n %s", strings.Join(got, "\n "), strings.Join(want, "\n "))
			}
		})
	}
}

func TestRefuse(t *testing.T) {
	build := func() *Table {
		r := newTree(t)
		base(r)
		r.xen("xvdf", "202:80")
		r.xen("xvdg", "202:96")
		r.mount("30 22 202:80 / /var rw - ext4 /dev/xvdf rw", "31 22 202:96 / /data rw - ext4 /dev/xvdg rw")
		return r.read()
	}
	refused := func(tab *Table) string {
		var out []string
		for _, m := range tab.Mounts {
			if m.Refused != "" {
				out = append(out, m.Mount.Mount)
			}
		}
		return strings.Join(out, " ")
	}
	agent := Rules{Keep: []string{"/var/lib/amazon/ssm"}, Why: map[string]string{"/var/lib/amazon/ssm": "the agent's state"}}
	tab := build()
	tab.Refuse(agent)
	if got := refused(tab); got != "/ /var" {
		t.Errorf("refused %s", got)
	}
	agent.AllowRoot = true
	tab = build()
	tab.Refuse(agent)
	if got := refused(tab); got != "/var" {
		t.Errorf("refused %s", got)
	}
}

func TestParse(t *testing.T) {
	if _, err := parse(strings.NewReader("garbage\n")); err == nil {
		t.Error("garbage is read as a mount")
	}
	all, err := parse(strings.NewReader(`36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 - ext3 /dev/ro\040ot rw,errors=continue` + "\n"))
	if err != nil || len(all) != 1 || all[0].source != "/dev/ro ot" || all[0].kind != "ext3" || all[0].readOnly {
		t.Errorf("got %+v, %v", all, err)
	}
}
