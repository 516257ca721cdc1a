package mounts

import "testing"

func TestViewsOfOneFile(t *testing.T) {
	tree := newTree(t)
	tree.write("/proc/self/mountinfo", `21 1 259:1 / / rw - ext4 /dev/nvme0n1p1 rw
22 21 259:3 / /data rw - xfs /dev/nvme1n1 rw
23 22 0:30 / /data/cache rw - tmpfs tmpfs rw
`)
	tree.write("/proc/7/mountinfo", `31 1 0:57 / / rw - overlay overlay rw
32 31 259:3 /db /var/lib/db rw - xfs /dev/nvme1n1 rw
33 31 259:3 /cache /cache rw - xfs /dev/nvme1n1 rw
`)
	ours, err := ReadView(tree.root, "self")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := ReadView(tree.root, "7")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		theirs string
		place  Place
		ours   string // empty: not to be reached here
	}{
		{"/var/lib/db/base", Place{"259:3", "/db/base"}, "/data/db/base"},
		{"/var/lib/db", Place{"259:3", "/db"}, "/data/db"},
		{"/var/lib/dbx", Place{"0:57", "/var/lib/dbx"}, ""},
		{"/cache/a", Place{"259:3", "/cache/a"}, ""}, // something is mounted over it here
	} {
		if got := theirs.Place(c.theirs); got != c.place {
			t.Errorf("%s: got %+v, want %+v", c.theirs, got, c.place)
		}
		if got, ok := ours.Path(c.place); got != c.ours || ok != (c.ours != "") {
			t.Errorf("%+v: got %q, %t, want %q", c.place, got, ok, c.ours)
		}
	}
	if got := ours.Place("/data/db"); got == theirs.Place("/data/db") {
		t.Errorf("one path in two namespaces leads to one place: %+v", got)
	}
	if _, err := ReadView(tree.root, "8"); err == nil {
		t.Error("a process that is not there sees something")
	}
}
