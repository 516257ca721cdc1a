package discover_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/guest/discover"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Mount tables as kernels wrote them: of this machine, of a service under
// systemd whose system folders are read-only, and of a container.
const (
	host = `21 1 259:1 / / rw,relatime - ext4 /dev/nvme0n1p1 rw
22 21 0:20 / /run rw,nosuid - tmpfs tmpfs rw
23 21 259:3 / /data rw,noatime - xfs /dev/nvme1n1 rw
24 21 259:4 / /log rw,noatime - ext4 /dev/nvme2n1 rw
`
	service = `121 1 259:1 / / ro,relatime - ext4 /dev/nvme0n1p1 rw
122 121 0:20 / /run rw,nosuid - tmpfs tmpfs rw
123 121 259:3 / /data rw,noatime - xfs /dev/nvme1n1 rw
124 121 259:4 / /log rw,noatime - ext4 /dev/nvme2n1 rw
125 121 259:1 /tmp/systemd-private-mariadb/tmp /tmp rw,relatime - ext4 /dev/nvme0n1p1 rw
`
	container = `221 1 0:57 / / rw,relatime - overlay overlay rw,upperdir=/var/lib/docker/overlay2/x/diff
222 221 0:58 / /run rw,nosuid - tmpfs tmpfs rw
223 221 259:3 /containers/db /var/lib/mysql rw,noatime - xfs /dev/nvme1n1 rw
`
)

const ourNamespace = "mnt:[4026531841]"

// recorded is a process as the kernel shows it.
type recorded struct {
	pid, parent, uid int
	exe, comm        string
	cmdline          string // blanks for the NULs
	cwd              string
	fds              []string
	unix, tcp        string // the tables of sockets, without their heads
	ns, mounts       string // ours if empty
}

func record(t *testing.T, root string, files map[string]string, processes ...recorded) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(at, text string) {
		at = filepath.Join(root, at)
		must(os.MkdirAll(filepath.Dir(at), 0o755))
		must(os.WriteFile(at, []byte(text), 0o644))
	}
	link := func(at, to string) {
		at = filepath.Join(root, at)
		must(os.MkdirAll(filepath.Dir(at), 0o755))
		must(os.Symlink(to, at))
	}
	write("proc/self/mountinfo", host)
	link("proc/self/ns/mnt", ourNamespace)
	write("proc/uptime", "1 1\n")
	for at, to := range files {
		link(at, to)
	}
	for _, p := range processes {
		dir := fmt.Sprintf("proc/%d/", p.pid)
		write(dir+"comm", p.comm+"\n")
		write(dir+"cmdline", strings.ReplaceAll(p.cmdline, " ", "\x00")+"\x00")
		write(dir+"status", fmt.Sprintf("Name:\t%s\nPPid:\t%d\nUid:\t%d\t%d\t%d\t%d\n", p.comm, p.parent, p.uid, p.uid, p.uid, p.uid))
		if p.exe != "" {
			link(dir+"exe", p.exe)
		}
		if p.cwd != "" {
			link(dir+"cwd", p.cwd)
		}
		link(dir+"root", "/")
		if p.ns == "" {
			p.ns, p.mounts = ourNamespace, host
		}
		link(dir+"ns/mnt", p.ns)
		write(dir+"mountinfo", p.mounts)
		for i, to := range p.fds {
			link(fmt.Sprintf("%sfd/%d", dir, i), to)
		}
		write(dir+"net/unix", "Num       RefCount Protocol Flags    Type St Inode Path\n"+p.unix)
		write(dir+"net/tcp", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"+p.tcp)
	}
}

func listening(inode int, at string) string {
	return fmt.Sprintf("0000000000000000: 00000002 00000000 00010000 0001 01 %d %s\n", inode, at)
}

func port(inode, n int) string {
	return fmt.Sprintf("   0: 0100007F:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000   102        0 %d 1 0000000000000000 100 0 0 10 0\n", n, inode)
}

func at(path, device string) protocol.Folder { return protocol.Folder{Path: path, Device: device} }

func TestRead(t *testing.T) {
	mariadb := recorded{
		pid: 700, parent: 1, uid: 106, exe: "/usr/sbin/mariadbd", comm: "mariadbd", cmdline: "/usr/sbin/mariadbd", cwd: "/data/mysql",
		fds:  []string{"/dev/null", "socket:[41]", "/data/mysql/aria_log_control", "/data/mysql/ibdata1", "/log/redo/ib_logfile0", "/data/mysql/aria_log.00000001", "/tmp/#sql (deleted)"},
		unix: listening(41, "/run/mysqld/mysqld.sock") + listening(99, "/run/other.sock"),
		tcp:  port(42, 3306),
	}
	in := func(p recorded, ns, mounts string) recorded {
		p.ns, p.mounts = ns, mounts
		return p
	}
	for _, c := range []struct {
		name      string
		links     map[string]string
		processes []recorded
		want      []protocol.Found
	}{
		{"nothing runs", nil, []recorded{{pid: 1, exe: "/usr/lib/systemd/systemd", comm: "systemd"}, {pid: 2, comm: "kthreadd"}}, nil},
		{"a client is no server", nil, []recorded{{pid: 5, exe: "/usr/bin/mariadb", comm: "mariadb"}, {pid: 6, exe: "/usr/lib/postgresql/15/bin/psql", comm: "psql"}}, nil},
		{"MariaDB, its log on another volume", nil, []recorded{mariadb}, []protocol.Found{{
			Kind: "mariadb", Program: "mariadbd", PID: 700, UID: 106, Socket: "/run/mysqld/mysqld.sock",
			Folders: []protocol.Folder{at("/data/mysql", "259:3"), at("/log/redo", "259:4")},
		}}},
		{"MySQL, with a socket of another protocol, and a program that was replaced", nil, []recorded{{
			pid: 701, parent: 1, uid: 27, exe: "/usr/sbin/mysqld (deleted)", comm: "mysqld", cwd: "/data/mysql", cmdline: "/usr/sbin/mysqld --datadir /data/mysql",
			fds:  []string{"socket:[51]", "socket:[52]", "socket:[53]", "/data/mysql/#innodb_redo/#ib_redo12", "/log/binlog/db-bin.000042"},
			unix: listening(51, "/data/mysql/mysqlx.sock") + listening(52, "/data/mysql/mysql.sock"), tcp: port(53, 3307),
		}}, []protocol.Found{{
			Kind: "mysql", Program: "mysqld", PID: 701, UID: 27, Socket: "/data/mysql/mysql.sock", Port: 3307,
			Folders: []protocol.Folder{at("/data/mysql", "259:3"), at("/log/binlog", "259:4")},
		}}},
		{"PostgreSQL, its sessions and its links",
			map[string]string{"data/pg/pg_wal": "/log/pg_wal", "data/pg/pg_tblspc/16384": "/srv/space"},
			[]recorded{
				{pid: 800, parent: 1, uid: 105, exe: "/usr/lib/postgresql/15/bin/postgres", comm: "postgres", cwd: "/data/pg", fds: []string{"socket:[61]"}, unix: listening(61, "/var/run/postgresql/.s.PGSQL.5433")},
				{pid: 801, parent: 800, uid: 105, exe: "/usr/lib/postgresql/15/bin/postgres", comm: "postgres", cmdline: "postgres: checkpointer", cwd: "/data/pg"},
			}, []protocol.Found{{
				Kind: "postgresql", Program: "postgres", PID: 800, UID: 105, Socket: "/var/run/postgresql/.s.PGSQL.5433",
				Folders: []protocol.Folder{at("/data/pg", "259:3"), at("/log/pg_wal", "259:4"), at("/srv/space", "259:1")},
			}}},
		{"Redis by a port, called through a link, while it writes a snapshot", nil, []recorded{
			{pid: 900, parent: 1, uid: 102, exe: "/usr/bin/redis-check-rdb", comm: "redis-server", cmdline: "/usr/bin/redis-server 127.0.0.1:6380", cwd: "/data/redis", fds: []string{"socket:[71]"}, tcp: port(71, 6380)},
			{pid: 901, parent: 900, uid: 102, exe: "/usr/bin/redis-check-rdb", comm: "redis-server", cmdline: "redis-rdb-bgsave 127.0.0.1:6380", cwd: "/data/redis"},
			{pid: 902, parent: 1, uid: 0, exe: "/usr/bin/redis-check-rdb", comm: "redis-check-rdb", cmdline: "redis-check-rdb /data/redis/dump.rdb", cwd: "/data/redis"},
		}, []protocol.Found{{Kind: "redis", Program: "redis-server", PID: 900, UID: 102, Port: 6380, Folders: []protocol.Folder{at("/data/redis", "259:3")}}}},
		{"Valkey, by a socket relative to where it stands", nil, []recorded{
			{pid: 910, parent: 1, uid: 103, exe: "/usr/bin/valkey-server", comm: "valkey-server", cwd: "/data/valkey", fds: []string{"socket:[81]"}, unix: listening(81, "valkey.sock")},
		}, []protocol.Found{{Kind: "redis", Program: "valkey-server", PID: 910, UID: 103, Socket: "/data/valkey/valkey.sock", Folders: []protocol.Folder{at("/data/valkey", "259:3")}}}},
		{"MongoDB, its journal on another volume", nil, []recorded{
			{pid: 920, parent: 1, uid: 104, exe: "/usr/bin/mongod", comm: "mongod", cwd: "/", cmdline: "/usr/bin/mongod --config /etc/mongod.conf",
				fds:  []string{"socket:[91]", "/data/mongo/mongod.lock", "/data/mongo/WiredTiger.lock", "/log/journal/WiredTigerLog.0000000003"},
				unix: listening(91, "/tmp/mongodb-27017.sock")},
		}, []protocol.Found{{
			Kind: "mongodb", Program: "mongod", PID: 920, UID: 104, Socket: "/tmp/mongodb-27017.sock",
			Folders: []protocol.Folder{at("/data/mongo", "259:3"), at("/log/journal", "259:4")},
		}}},
		{"a service under systemd, whose paths mean the same", nil, []recorded{in(mariadb, "mnt:[4026532200]", service)}, []protocol.Found{{
			Kind: "mariadb", Program: "mariadbd", PID: 700, UID: 106, Socket: "/run/mysqld/mysqld.sock",
			Folders: []protocol.Folder{at("/data/mysql", "259:3"), at("/log/redo", "259:4")},
		}}},
		{"the same, with a socket in a folder of its own", nil, []recorded{func() recorded {
			p := in(mariadb, "mnt:[4026532200]", service)
			p.unix = listening(41, "/tmp/mysql.sock")
			return p
		}()}, []protocol.Found{{
			Kind: "mariadb", Program: "mariadbd", PID: 700, UID: 106,
			Folders: []protocol.Folder{at("/data/mysql", "259:3"), at("/log/redo", "259:4")},
			Apart:   "it runs in another mount namespace, as in a container, where its socket is at /tmp/mysql.sock",
		}}},
		{"a container with a folder of this machine", nil, []recorded{{
			pid: 930, parent: 929, uid: 999, exe: "/usr/sbin/mariadbd", comm: "mariadbd", cwd: "/var/lib/mysql", ns: "mnt:[4026532300]", mounts: container,
			fds: []string{"socket:[41]", "/var/lib/mysql/ibdata1"}, unix: listening(41, "/run/mysqld/mysqld.sock"),
		}}, []protocol.Found{{
			Kind: "mariadb", Program: "mariadbd", PID: 930, UID: 999, Folders: []protocol.Folder{at("/data/containers/db", "259:3")},
			Apart: "it runs in another mount namespace, as in a container, where its data is at /var/lib/mysql",
		}}},
		{"a container with its data in its own layer", nil, []recorded{{
			pid: 940, parent: 939, uid: 999, exe: "/usr/local/bin/redis-server", comm: "redis-server", cwd: "/data", ns: "mnt:[4026532301]", mounts: container,
		}}, []protocol.Found{{
			Kind: "redis", Program: "redis-server", PID: 940, UID: 999, Folders: []protocol.Folder{at("/data", "0:57")},
			Apart: "it runs in another mount namespace, as in a container, where its data is at /data",
		}}},
		{"two of a kind", nil, []recorded{
			{pid: 951, parent: 1, uid: 102, exe: "/usr/bin/redis-server", comm: "redis-server", cwd: "/log/redis"},
			{pid: 950, parent: 1, uid: 102, exe: "/usr/bin/redis-server", comm: "redis-server", cwd: "/data/redis"},
		}, []protocol.Found{
			{Kind: "redis", Program: "redis-server", PID: 950, UID: 102, Folders: []protocol.Folder{at("/data/redis", "259:3")}},
			{Kind: "redis", Program: "redis-server", PID: 951, UID: 102, Folders: []protocol.Folder{at("/log/redis", "259:4")}},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			record(t, root, c.links, c.processes...)
			got, err := discover.Read(root)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(c.want) || len(got) > 0 && !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}
