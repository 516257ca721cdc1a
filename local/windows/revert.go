package windows

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/shadow"
)

// reverting is how long it takes here to go back to one copy.
const reverting = 2 * time.Second

// What the document takes; anything else is refused before a disk is touched.
var (
	runName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)
	setName = regexp.MustCompile(`^[0-9A-Fa-f-]{36}$`)
	signs   = regexp.MustCompile(`^[0-9A-Fa-f]{8}$|^[0-9A-Fa-f-]{36}$`)
	volumes = regexp.MustCompile(`^vol-[0-9a-f]{8,17}$`)
)

// end is how the document ends that cannot do it.
type end struct {
	exit int
	why  string
}

// revert plays the document that goes back to the shadow copies of a set. It does
// one disk after the other; what is done before it fails stays done.
func (m *Machine) revert(ctx context.Context, encoded string) instance.Result {
	var asked shadow.RevertRequest
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err == nil {
		err = json.Unmarshal(raw, &asked)
	}
	reply := &shadow.RevertReply{Version: shadow.Version, Verb: shadow.Revert, RunID: asked.RunID, Reverted: []string{}}
	fails := func(e *end) instance.Result {
		reply.Error = &shadow.Failure{Exit: e.exit, Message: e.why}
		r := answer(reply)
		r.ExitCode = e.exit
		return r
	}
	defer m.alone()()
	switch {
	case err != nil:
		return fails(&end{shadow.ExitRequest, "the request cannot be read: " + err.Error()})
	case asked.Version != shadow.Version || !runName.MatchString(asked.RunID):
		return fails(&end{shadow.ExitRequest, "the request is of another version, or names no run"})
	case !setName.MatchString(asked.SetID):
		return fails(&end{shadow.ExitRequest, "the request names no set of shadow copies"})
	}
	planned := m.Faults.Windows(fault.RevertKinds...)
	if planned == fault.RevertHang {
		<-ctx.Done()
		return instance.Result{ExitCode: 137}
	}
	disks, err := m.Account.disks(ctx, m.ID)
	if err != nil {
		return fails(&end{shadow.ExitVolume, codeOf(err)})
	}
	for _, wanted := range asked.Disks {
		if e := m.refuses(wanted, disks); e != nil {
			return fails(e)
		}
	}
	for _, wanted := range asked.Disks {
		e, killed := m.goBack(ctx, wanted, disks, asked.SetID, planned, &reply.Reverted)
		if killed {
			return instance.Result{ExitCode: 137}
		}
		if e != nil {
			return fails(e)
		}
	}
	return answer(reply)
}

// refuses is what is looked at before any disk is touched.
func (m *Machine) refuses(wanted run.ShadowDisk, disks map[string]disk) *end {
	if !signs.MatchString(wanted.Signature) || wanted.Style != "MBR" && wanted.Style != "GPT" {
		return &end{shadow.ExitRequest, "the request has no signature for " + wanted.VolumeID}
	}
	if !volumes.MatchString(wanted.VolumeID) {
		return &end{shadow.ExitRequest, wanted.VolumeID + " is no volume's id"}
	}
	d, there := disks[wanted.VolumeID]
	if !there {
		return &end{shadow.ExitVolume, "Windows shows 0 disks for " + wanted.VolumeID + "; dynamic disks and storage pools are none that can be told apart"}
	}
	if d.boot {
		return &end{shadow.ExitRevert, wanted.VolumeID + " is the disk that Windows runs from, and there is no going back on it"}
	}
	return nil
}

// goBack brings a disk online, goes back to the set's copies on it, and gives it
// its signature.
func (m *Machine) goBack(ctx context.Context, wanted run.ShadowDisk, disks map[string]disk, set string, planned fault.Kind, reverted *[]string) (e *end, killed bool) {
	if planned == fault.RevertOffline {
		return &end{shadow.ExitDisk, wanted.VolumeID + " could not be made ready: the disk is offline by policy"}, false
	}
	own := m.online(wanted.VolumeID, disks)
	held := m.within(disks[wanted.VolumeID], set)
	if len(held) == 0 {
		return &end{shadow.ExitRevert, wanted.VolumeID + " holds no shadow copy of the set " + set}, false
	}
	for _, c := range held {
		if planned == fault.RevertAbsent {
			return &end{shadow.ExitAbsent, "there is no diskshadow.exe: it is part of Windows Server alone"}, false
		}
		if !wait(ctx, reverting) {
			return nil, true
		}
		err := error(nil)
		if planned == fault.RevertRefused {
			err = fmt.Errorf("the volume is in use")
		} else {
			err = m.Host.Revert(ctx, wanted.VolumeID, c.ID)
		}
		if err != nil {
			return &end{shadow.ExitRevert, fmt.Sprintf("diskshadow did not go back to {%s} on %s: %v", c.ID, wanted.VolumeID, err)}, false
		}
		*reverted = append(*reverted, c.ID)
	}
	if strings.EqualFold(own, wanted.Signature) {
		return nil, false
	}
	for volume, d := range disks {
		if volume != wanted.VolumeID && strings.EqualFold(m.signature(volume, d), wanted.Signature) {
			return &end{shadow.ExitDisk, "another disk has the signature of " + wanted.VolumeID + ": detach what the restored disk takes the place of"}, false
		}
	}
	if planned == fault.RevertSignature {
		return &end{shadow.ExitDisk, wanted.VolumeID + " could not be given its signature: access is denied"}, false
	}
	m.sign(wanted.VolumeID, wanted.Signature)
	return nil, false
}

// online brings a disk online, which Windows keeps offline as long as its twin is
// there and gives a signature of its own then.
func (m *Machine) online(volume string, disks map[string]disk) string {
	own := m.signature(volume, disks[volume])
	if disks[volume].source == "" {
		return own // it is no copy of another
	}
	for other, d := range disks {
		if other != volume && m.signature(other, d) == own {
			own = guid("signed anew", volume)
			m.sign(volume, own)
			return own
		}
	}
	return own
}

// signature is what a disk has: its origin's, if Windows or the document has not
// given it another.
func (m *Machine) signature(volume string, d disk) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if own, ok := m.signed[volume]; ok {
		return own
	}
	if d.source != "" {
		return signature(d.source)
	}
	return signature(volume)
}

func (m *Machine) sign(volume, own string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.signed == nil {
		m.signed = map[string]string{}
	}
	m.signed[volume] = own
}

// within are the copies of a set that lie on a disk: those that its origin had
// when the snapshot was taken that it is made of.
func (m *Machine) within(d disk, set string) (held []run.ShadowCopy) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		if r.shadows == nil || !strings.EqualFold(r.shadows.SetID, set) || d.taken.Before(r.made) || !r.dropped.IsZero() && d.taken.After(r.dropped) {
			continue
		}
		for _, c := range r.shadows.Copies {
			if c.VolumeID == d.source {
				held = append(held, c)
			}
		}
	}
	return held
}
