package sim

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// How long it takes to replay and check a filesystem, and for a server to
// recover on what it holds.
const (
	replays  = 800 * time.Millisecond
	recovers = 3 * time.Second
)

// Damage spoils a snapshot: what is made of it does not pass its check.
func (m *Machine) Damage(snapshot string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, ok := m.snapshots[snapshot]
	if !ok {
		return fmt.Errorf("no snapshot %s", snapshot)
	}
	i.damaged = true
	m.snapshots[snapshot] = i
	return nil
}

// recovery is a verb on copies: a process of its own, whose mounts go with it
// unless they are to be kept. One works at a time, and a second one of the same
// run replays its answer.
func (m *Machine) recovery(ctx context.Context, req protocol.Request) protocol.Reply {
	reply := protocol.Reply{Version: protocol.Version, Verb: req.Verb, RunID: req.RunID}
	var err error
	select {
	case m.recovering <- struct{}{}:
		defer func() { <-m.recovering }()
		if req.Verb == protocol.Unmount {
			err = m.forget(req.RunID)
			break
		}
		m.mu.Lock()
		answered, again := m.recovered[req.RunID]
		m.mu.Unlock()
		if again {
			answered.Replayed = true
			return answered
		}
		if err = session.Late(req, m.config.Clock()); err == nil {
			reply.Recover, err = m.revive(ctx, req.RunID, req.Recover)
		}
	case <-ctx.Done():
		err = ctx.Err()
	}
	reply.Error, reply.Now = protocol.FailureOf(err), m.config.Clock()
	if err == nil && req.Verb == protocol.Recover {
		m.mu.Lock()
		m.recovered[req.RunID] = reply
		m.mu.Unlock()
	}
	return reply
}

// revive does the work within its time, and takes its mounts away however it
// ends.
func (m *Machine) revive(killed context.Context, run string, asked *protocol.RecoverRequest) (*protocol.RecoverReply, error) {
	if asked == nil || len(asked.Disks) == 0 || asked.TimeoutSeconds < 1 {
		return nil, fault.Input("recover", "a simulated machine wants the disks and a time")
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(killed, time.Duration(asked.TimeoutSeconds)*time.Second)
	defer cancel()
	r := &protocol.RecoverReply{Filesystems: []protocol.Recovered{}}
	var mounted []string
	err := m.mounting(ctx, run, asked, r, &mounted)
	if ctx.Err() != nil {
		err = fault.New(fault.RestoreTimedOut, "it was not done after %d s", asked.TimeoutSeconds)
	}
	if err == nil && asked.Keep {
		m.mu.Lock()
		m.kept[run] = mounted
		m.mu.Unlock()
		mounted = nil
	}
	for _, at := range mounted {
		_ = m.Unmount(at) // it is there: nobody else knows the place
	}
	r.Seconds = time.Since(began).Seconds()
	return r, err
}

func (m *Machine) mounting(ctx context.Context, run string, asked *protocol.RecoverRequest, r *protocol.RecoverReply, mounted *[]string) error {
	for _, d := range asked.Disks {
		device, image, found := m.bySerial(d.Serials)
		if !found {
			return fault.New(fault.VolumeUnresolved, "%s is not seen on this machine", d.ID)
		}
		at, was := placed(asked, run, d)
		if !wait(ctx, replays) {
			return ctx.Err()
		}
		if image.damaged {
			r.Problems = append(r.Problems, fmt.Sprintf("the filesystem of %s does not pass its check", d.Origin))
			continue
		}
		if err := m.Mount(device, at); err != nil {
			return fault.Wrap(fault.RestoreRefused, err, "mount %s", d.ID)
		}
		*mounted = append(*mounted, at)
		r.Filesystems = append(r.Filesystems, protocol.Recovered{Origin: d.Origin, Device: device, Type: image.kind, Mount: at, Was: was, Checked: "clean"})
	}
	if len(r.Problems) > 0 {
		return nil
	}
	if slices.Contains(protocol.Servers, asked.Application.Kind) {
		if !wait(ctx, recovers) {
			return ctx.Err()
		}
		r.Server = &protocol.SecondServer{Kind: asked.Application.Kind, Started: true, RecoveryMs: recovers.Seconds() * 1000}
	}
	if asked.Check == "" {
		return nil
	}
	m.mu.Lock()
	check := m.scripts[asked.Check]
	m.mu.Unlock()
	if check == nil {
		return fault.New(fault.ScriptUnsafe, "%s does not exist", asked.Check)
	}
	r.Script = &protocol.CheckedScript{}
	ended := make(chan error, 1)
	go func() { ended <- check(ctx, session.Script{Path: asked.Check, Run: run}) }() // which is killed with its group
	select {
	case err := <-ended:
		if err != nil {
			r.Script.Exit = 1
			r.Problems = append(r.Problems, fmt.Sprintf("the check %s ended with 1: %v", asked.Check, err))
		}
	case <-ctx.Done():
	}
	return nil
}

// placed is where a copy is mounted: of a test where nobody else sees it.
func placed(asked *protocol.RecoverRequest, run string, d protocol.RestoredDisk) (at, was string) {
	if !asked.Keep {
		return asked.At + "/" + run + "/" + d.ID, ""
	}
	at = asked.At + "/" + d.Origin
	if len(d.Places) > 0 {
		was = d.Places[0].Path
		at = asked.At + was
	}
	return cmp.Or(asked.Mounts[was], asked.Mounts[d.Origin], at), was
}

// forget takes away what a recovery has kept. One that somebody uses stays, and
// so does what is told of it.
func (m *Machine) forget(run string) error {
	for {
		m.mu.Lock()
		kept := m.kept[run]
		if len(kept) == 0 {
			delete(m.kept, run)
			delete(m.recovered, run)
			m.mu.Unlock()
			return nil
		}
		at := kept[len(kept)-1]
		used := m.used[at]
		m.mu.Unlock()
		if used {
			return fault.New(fault.VolumeBusy, "unmounting %s: device or resource busy", at)
		}
		_ = m.Unmount(at) // by hand already: it is as it should be
		m.mu.Lock()
		m.kept[run] = kept[:len(kept)-1]
		m.mu.Unlock()
	}
}

// Use lets somebody use what is mounted at a place, or stop to.
func (m *Machine) Use(at string, used bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used[at] = used
}

// bySerial is the attached disk that reports one of these.
func (m *Machine) bySerial(serials []string) (device string, holds image, found bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.volumes {
		known := slices.Contains(serials, v.serial()) || slices.Contains(serials, strings.TrimPrefix(v.name, "d-")) // as each cloud says it
		if v.device != "" && known {
			return v.device, v.image, true
		}
	}
	return "", image{}, false
}
