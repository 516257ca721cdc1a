package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/local/sim"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// simStage is a machine in memory: its filesystems, its disks and its agent
// are simulated, the helper's state machine on it is the real one.
type simStage struct {
	sim     *sim.Machine
	fs      string
	mounts  []string
	foreign []string // mounts that a planned fault froze
	writer  *sim.Ledger
	monoAt  int64
	wallAt  time.Time
	temp    string
}

func openSimulated(_ context.Context, o Options) (*simStage, error) {
	temp, err := os.MkdirTemp("", "quiesce-")
	if err != nil {
		return nil, err
	}
	s := &simStage{sim: sim.New(sim.Config{}), fs: o.FS, temp: temp}
	s.monoAt, s.wallAt = s.sim.Clock()
	return s, nil
}

func (s *simStage) machine() instance.Machine   { return s.sim }
func (s *simStage) disks() instance.Disks       { return s.sim }
func (s *simStage) dir() string                 { return s.temp }
func (s *simStage) close() error                { return errors.Join(s.sim.Close(), os.RemoveAll(s.temp)) }
func (s *simStage) scripts() (pre, post string) { return s.writer.PreScript(), s.writer.PostScript() }
func (s *simStage) mono(t time.Time) int64      { return s.monoAt + t.Sub(s.wallAt).Nanoseconds() }

func (s *simStage) furnish(ctx context.Context, volumes []member) error {
	for i, v := range volumes {
		at := fmt.Sprintf("/mnt/volume-%c", 'a'+i)
		if err := s.sim.Format(ctx, v.device, s.fs); err != nil {
			return err
		}
		if err := s.sim.Mount(v.device, at); err != nil {
			return err
		}
		s.mounts = append(s.mounts, at)
	}
	writer, err := s.sim.StartLedger(s.mounts, time.Millisecond, 0)
	s.writer = writer
	if err == nil {
		s.sim.Document(ledgerDocument, writer.Document)
	}
	return err
}

func (s *simStage) acks(ctx context.Context) ([]ledger.Ack, error) {
	if err := s.writer.Stop(ctx); err != nil {
		return nil, err
	}
	return s.writer.Acks()
}

func (s *simStage) changed(context.Context) (string, error) { return "", nil }

func (s *simStage) policy(o Options) policy.Policy { return o.Policy(s.scripts()) }

func (s *simStage) read(_ context.Context, volumes []member, _ run.Consistency) (*restored, error) {
	found := &restored{}
	for i, v := range volumes {
		log, err := s.sim.Inspect(v.device)
		if err != nil {
			return nil, err
		}
		at := fmt.Sprintf("/restored/volume-%c", 'a'+i)
		if err := s.sim.Mount(v.device, at); err != nil {
			return nil, fmt.Errorf("mount the restored %s: %w", v.id, err)
		}
		contents, err := s.sim.Read(at)
		if err != nil {
			return nil, err
		}
		found.volumes = append(found.volumes, ledger.Volume{Name: at, Contents: contents, Log: &log})
	}
	return found, nil
}

func (s *simStage) leftFrozen() (n int) {
	for _, m := range s.foreign {
		_ = s.sim.Fsfreeze(context.Background(), m, false) // refused if it was thawed before
	}
	for _, m := range s.mounts {
		if s.sim.Frozen(m) {
			n++
		}
	}
	return n
}

func (s *simStage) hooks() map[fault.Kind]func(context.Context) {
	return map[fault.Kind]func(context.Context){
		fault.KillHelper: func(context.Context) { s.sim.KillHelper() },
		fault.ForeignThaw: func(ctx context.Context) {
			if s.sim.Fsfreeze(ctx, s.mounts[0], false) == nil {
				s.foreignFreeze(ctx, s.mounts[0])
			}
		},
		fault.ForeignFreeze: func(ctx context.Context) { s.foreignFreeze(ctx, s.mounts[0]) },
	}
}

// foreignFreeze is somebody else's, as on a real machine.
func (s *simStage) foreignFreeze(ctx context.Context, mount string) {
	if s.sim.Fsfreeze(ctx, mount, true) == nil {
		s.foreign = append(s.foreign, mount)
		time.AfterFunc(foreignHold, func() { _ = s.sim.Fsfreeze(context.WithoutCancel(ctx), mount, false) })
	}
}
