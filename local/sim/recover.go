package sim

import (
	"context"
	"fmt"
	"slices"
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

// recovery is the verb on copies: a process of its own, whose mounts go with it.
// One works at a time, and a second one of the same run replays its answer.
func (m *Machine) recovery(ctx context.Context, req protocol.Request) protocol.Reply {
	reply := protocol.Reply{Version: protocol.Version, Verb: req.Verb, RunID: req.RunID}
	var err error
	select {
	case m.recovering <- struct{}{}:
		defer func() { <-m.recovering }()
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
	if err == nil {
		m.mu.Lock()
		m.recovered[req.RunID] = reply
		m.mu.Unlock()
	}
	return reply
}

// revive does the work within its time, and takes its mounts away however it
// ends.
func (m *Machine) revive(killed context.Context, run string, asked *protocol.RecoverRequest) (*protocol.RecoverReply, error) {
	if asked == nil || len(asked.Disks) == 0 || asked.TimeoutSeconds < 1 || asked.Keep {
		return nil, fault.Input("recover", "a simulated machine wants the disks of a test and its time")
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(killed, time.Duration(asked.TimeoutSeconds)*time.Second)
	defer cancel()
	r := &protocol.RecoverReply{Filesystems: []protocol.Recovered{}}
	err := m.mounting(ctx, run, asked, r)
	if ctx.Err() != nil {
		err = fault.New(fault.RestoreTimedOut, "it was not done after %d s", asked.TimeoutSeconds)
	}
	r.Seconds = time.Since(began).Seconds()
	return r, err
}

func (m *Machine) mounting(ctx context.Context, run string, asked *protocol.RecoverRequest, r *protocol.RecoverReply) error {
	for _, d := range asked.Disks {
		device, image, found := m.bySerial(d.Serials)
		if !found {
			return fault.New(fault.VolumeUnresolved, "%s is not seen on this machine", d.ID)
		}
		at := asked.At + "/" + run + "/" + d.ID
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
		defer func() { _ = m.Unmount(at) }() // it is there: nobody else knows the place
		r.Filesystems = append(r.Filesystems, protocol.Recovered{Origin: d.Origin, Device: device, Type: image.kind, Mount: at, Checked: "clean"})
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

// bySerial is the attached disk that reports one of these.
func (m *Machine) bySerial(serials []string) (device string, holds image, found bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.volumes {
		if v.device != "" && slices.Contains(serials, v.serial()) {
			return v.device, v.image, true
		}
	}
	return "", image{}, false
}
