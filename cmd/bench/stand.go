package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/quiesce/quiesce/local"
	cloud "github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/aws/ssm"
	"github.com/quiesce/quiesce/local/disk"
	"github.com/quiesce/quiesce/local/host"
	"github.com/quiesce/quiesce/local/ledger"
)

var (
	//go:embed scripts/one.sh
	oneScript []byte
	//go:embed scripts/dlm.sh
	dlmScript []byte
)

const instanceID = "i-0123456789abcdef0"

// standing says what a stand is made of.
type standing struct {
	volumes int
	fs      string
	latency map[string]time.Duration
	agent   time.Duration
}

// stand is a machine with volumes in an account, alike to that of a local run.
type stand struct {
	pool     *disk.Pool
	machine  *host.Machine
	cloud    *cloud.Cloud
	endpoint string
	ids      []string
	mounts   []string
	marks    string // what the scripts note, in memory
	writer   *ledger.Process
	monoAt   int64
	wallAt   time.Time
	stop     context.CancelFunc
	served   chan error
}

func openStand(ctx context.Context, o standing) (_ *stand, err error) {
	pool, err := disk.Open(ctx, disk.Config{})
	if err != nil {
		return nil, err
	}
	s := &stand{pool: pool, machine: &host.Machine{}}
	s.monoAt, s.wallAt = ledger.MonotonicClock()
	defer func() {
		if err != nil {
			s.closeInto(&err)
		}
	}()
	memory, err := pool.Room().Memory("marks")
	if err != nil {
		return nil, err
	}
	s.marks = filepath.Join(memory, "marks")
	agent := o.agent
	if agent == 0 {
		agent = -1 // none, where 0 means the default
	}
	s.cloud = cloud.New(cloud.Config{
		Disks: pool, Latency: o.latency,
		// A volume bears five pending snapshots, and nobody waits for these.
		EC2: ec2.Config{Completion: 200 * time.Millisecond, Spacing: -1},
		SSM: ssm.Config{Dispatch: agent, Report: local.ReportLatency},
	})
	if err := s.serve(ctx); err != nil {
		return nil, err
	}
	return s, s.furnish(ctx, o)
}

func (s *stand) serve(ctx context.Context) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.endpoint, s.served = "http://"+listener.Addr().String(), make(chan error, 1)
	go func() { s.served <- s.cloud.Serve(ctx, listener) }()
	return nil
}

// furnish makes the volumes with their filesystems, and rents the machine.
func (s *stand) furnish(ctx context.Context, o standing) error {
	volumes := []ec2.Volume{{ID: "vol-0root000000000000", Device: "/dev/xvda", Bytes: 8 << 30, Hollow: true}}
	for i := range o.volumes {
		id := fmt.Sprintf("vol-0%016x", 0xda7a0000+i)
		device, mount, err := mounted(ctx, s.pool, id, o.fs, 1<<30)
		if err != nil {
			return err
		}
		s.ids, s.mounts = append(s.ids, id), append(s.mounts, mount)
		volumes = append(volumes, ec2.Volume{ID: id, Device: device, Bytes: 1 << 30, Made: true, Path: device})
	}
	_, err := s.cloud.Rent(ctx, ec2.Instance{ID: instanceID, RootDevice: "/dev/xvda"}, s.machine, volumes...)
	return err
}

// mounted makes a volume with a filesystem on it.
func mounted(ctx context.Context, pool *disk.Pool, id, fs string, bytes int64) (device, mount string, err error) {
	if err := pool.Create(ctx, id, bytes, ""); err != nil {
		return "", "", err
	}
	if device, err = pool.Attach(ctx, id); err != nil {
		return "", "", err
	}
	mount = filepath.Join(pool.Room().Dir(), "mnt", id)
	if err := errors.Join(disk.Format(ctx, device, fs), os.MkdirAll(mount, 0o700)); err != nil {
		return "", "", err
	}
	return device, mount, pool.Mount(device, mount)
}

// write starts the ledger and gives the machine the scripts of the other ways.
func (s *stand) write(ctx context.Context) (err error) {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	room := s.pool.Room()
	if s.writer, err = ledger.Start(ctx, ledger.Options{
		Exe: exe, Verb: []string{"ledger"}, Dir: room.Dir(), Mounts: s.mounts, Env: []string{room.Mark()}, Own: room.Own,
	}); err != nil {
		return err
	}
	for name, text := range map[string][]byte{"one.sh": oneScript, "dlm.sh": dlmScript} {
		if err := os.WriteFile(filepath.Join(room.Dir(), name), text, 0o700); err != nil {
			return err
		}
	}
	s.machine.Env = append(s.cloud.Environment("instance", s.endpoint), room.Mark(),
		"BENCH_EXE="+exe, "BENCH_INSTANCE="+instanceID, "BENCH_MARKS="+s.marks, "BENCH_DIR="+room.Dir(),
		"BENCH_MOUNTS="+strings.Join(s.mounts, " "), "BENCH_PRE="+s.writer.PreScript(), "BENCH_POST="+s.writer.PostScript(),
	)
	return s.cloud.SSM.RegisterDocument(document, []byte(documentText))
}

// client reaches the account over its socket, as any program does.
func (s *stand) client(role string) aws.Config {
	id, secret := s.cloud.Key(role)
	return aws.Config{
		Region: s.cloud.Region(), BaseEndpoint: &s.endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""),
	}
}

// rest is how long the ledger writes before and after a set.
const rest = 150 * time.Millisecond

// try takes one set and tells the window by the scripts' own marks, the pause
// by the ledger's acknowledgements.
func (s *stand) try(ctx context.Context, run string, way func(context.Context, string) (float64, error)) (t Try, err error) {
	if err := os.WriteFile(s.marks, nil, 0o600); err != nil {
		return t, err
	}
	thaw, err := arm(s.pool.Room(), s.mounts)
	if err != nil {
		return t, err
	}
	defer thaw.cancel()
	defer func() {
		if n := leftFrozen(s.mounts); n > 0 {
			err = errors.Join(err, fmt.Errorf("%d filesystems were still frozen, and were thawed", n))
		}
	}()
	if err := sleep(ctx, rest); err != nil {
		return t, err
	}
	began := time.Now()
	if t.CallMs, err = way(ctx, run); err != nil {
		return t, err
	}
	ended := time.Now()
	if err := sleep(ctx, rest); err != nil {
		return t, err
	}
	m, err := readMarks(s.marks)
	if err != nil {
		return t, err
	}
	frozen, thawed := m.first("frozen"), m.first("thawed")
	if frozen.IsZero() || thawed.IsZero() {
		return t, fmt.Errorf("the script did not get to its end: %v", m)
	}
	t.WindowMs = ms(thawed.Sub(frozen))
	t.InWindow = local.InWindow(s.cloud.Calls(), frozen, t.WindowMs)
	acks, err := s.writer.Acks()
	t.PauseMs = ledger.Pause(acks, ledger.Span{Start: s.mono(began), End: s.mono(ended)}).Ms()
	return t, err
}

func (s *stand) mono(t time.Time) int64 { return s.monoAt + t.Sub(s.wallAt).Nanoseconds() }

func (s *stand) closeInto(err *error) {
	if s.cloud != nil {
		s.cloud.Close()
	}
	if s.stop != nil {
		s.stop()
		*err = errors.Join(*err, <-s.served)
	}
	*err = errors.Join(*err, s.pool.Close())
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// marks are moments that a script noted, in order.
type marks []struct {
	name string
	at   time.Time
}

func readMarks(path string) (list marks, err error) {
	text, err := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		name, moment, _ := strings.Cut(strings.TrimSpace(line), " ")
		seconds, micros, _ := strings.Cut(moment, ".")
		s, bad1 := strconv.ParseInt(seconds, 10, 64)
		us, bad2 := strconv.ParseInt(micros, 10, 64)
		if bad1 != nil || bad2 != nil {
			return nil, fmt.Errorf("%q is no mark", line)
		}
		list = append(list, struct {
			name string
			at   time.Time
		}{name, time.Unix(s, us*1000)})
	}
	return list, err
}

// first is zero if there is none of that name.
func (m marks) first(name string) time.Time {
	for _, mark := range m {
		if mark.name == name {
			return mark.at
		}
	}
	return time.Time{}
}
