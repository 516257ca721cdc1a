package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/guest/linux"
	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/local/disk"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Freeze is the freeze of one filesystem with dirty pages, by the helper.
type Freeze struct {
	FS      string  `json:"fs"`
	With    Figure  `json:"withPresync"` // the freeze call, after the flush
	Without Figure  `json:"withoutPresync"`
	Presync Figure  `json:"presync"` // the flush, before the window
	Ratio   float64 `json:"ratio"`   // of the medians, without to with
}

func (b *bench) freeze(ctx context.Context, r *Report) error {
	for _, fs := range []string{disk.Ext4, disk.XFS} {
		f, err := b.freezeOf(ctx, fs)
		if err != nil {
			return fmt.Errorf("%s: %w", fs, err)
		}
		r.Freeze = append(r.Freeze, f)
	}
	return nil
}

func (b *bench) freezeOf(ctx context.Context, fs string) (_ Freeze, err error) {
	pool, err := disk.Open(ctx, disk.Config{})
	if err != nil {
		return Freeze{}, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	_, mount, err := mounted(ctx, pool, "dirty", fs, 2<<30)
	if err != nil {
		return Freeze{}, err
	}
	memory, err := pool.Room().Memory("state")
	if err != nil {
		return Freeze{}, err
	}
	state, err := linux.OpenState(filepath.Join(memory, "run"))
	if err != nil {
		return Freeze{}, err
	}
	exe, err := os.Executable()
	if err != nil {
		return Freeze{}, err
	}
	thaw, err := arm(pool.Room(), []string{mount})
	if err != nil {
		return Freeze{}, err
	}
	defer func() { thaw.cancel() }()
	machine := &linux.Host{State: state, Exe: exe}
	var with, without, presync []float64
	for i := range b.N + 1 { // the first one warms up: its blocks are new
		for _, skip := range []bool{false, true} {
			b.say("freeze: %s, %d MiB dirty, presync %t, %d of %d", fs, b.Dirty, !skip, i, b.N)
			thaw.cancel()
			if thaw, err = arm(pool.Room(), []string{mount}); err != nil {
				return Freeze{}, err
			}
			e, err := b.freezeDirty(ctx, session.New(machine, session.Options{SkipFlush: skip}), mount, fmt.Sprintf("bench-%d-%t", i, skip))
			switch {
			case err != nil:
				return Freeze{}, err
			case i == 0:
			case skip:
				without = append(without, float64(e.FrozenAt.Mono-e.FreezeAt.Mono)/1e6)
			default:
				with = append(with, float64(e.FrozenAt.Mono-e.FreezeAt.Mono)/1e6)
				presync = append(presync, e.Presync.Ms)
			}
		}
	}
	f := Freeze{FS: fs, With: figure(with), Without: figure(without), Presync: figure(presync)}
	f.Ratio = ratio(f.Without.Median, f.With.Median)
	return f, nil
}

// freezeDirty makes pages dirty, freezes and thaws, and leaves all clean.
func (b *bench) freezeDirty(ctx context.Context, helper *session.Helper, mount, run string) (e protocol.FilesystemEvidence, err error) {
	fs, err := superblock(mount)
	if err != nil {
		return e, err
	}
	file := filepath.Join(mount, "dirty")
	if err := soil(ctx, file, b.Dirty); err != nil {
		return e, err
	}
	ask := func(ctx context.Context, verb protocol.Verb, begin *protocol.BeginRequest) (*protocol.Evidence, error) {
		reply := helper.Handle(ctx, protocol.Request{Version: protocol.Version, Verb: verb, RunID: run, Begin: begin})
		return reply.Evidence, reply.Error.Err()
	}
	if _, err := ask(ctx, protocol.Begin, &protocol.BeginRequest{
		SessionSeconds: 40, FreezeSeconds: 30, Application: protocol.Application{Kind: "none"}, Filesystems: []protocol.Filesystem{fs},
	}); err != nil {
		return e, err
	}
	_, frozen := ask(ctx, protocol.Freeze, nil)
	evidence, thawed := ask(context.WithoutCancel(ctx), protocol.Thaw, nil) // also where the freeze failed halfway
	if err := errors.Join(frozen, thawed); err != nil {
		return e, err
	}
	return evidence.Filesystems[0], errors.Join(os.Remove(file), clean(mount))
}

// soil writes a file and syncs nothing.
func soil(ctx context.Context, path string, mib int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	chunk := make([]byte, 1<<20)
	for i := range mib {
		chunk[0] = byte(i)
		if _, err := f.Write(chunk); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func clean(mount string) error {
	dir, err := os.Open(mount)
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.Syncfs(int(dir.Fd()))
}

func superblock(mount string) (protocol.Filesystem, error) {
	var st unix.Stat_t
	err := unix.Stat(mount, &st)
	return protocol.Filesystem{Mount: mount, Device: fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))}, err
}
