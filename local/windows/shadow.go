package windows

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/shadow"
)

// copying is how long a set of shadow copies takes here.
const copying = 5 * time.Second

// guid makes a stable one.
func guid(parts ...any) string {
	x := fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, parts...)))
	return strings.Join([]string{x[:8], x[8:12], x[12:16], x[16:20], x[20:32]}, "-")
}

// shadow plays the document of shadow copies: copies are made once a run, and
// their answer is repeated.
func (m *Machine) shadow(ctx context.Context, encoded string) instance.Result {
	var asked shadow.Request
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err == nil {
		err = json.Unmarshal(raw, &asked)
	}
	reply := &shadow.Reply{Version: shadow.Version, Verb: asked.Verb, RunID: asked.RunID}
	if err != nil || asked.Version != shadow.Version {
		return refuse(reply, shadow.ExitRequest, "the request cannot be read")
	}
	defer m.alone()()
	own := m.of(asked.RunID)
	switch {
	case asked.Verb == shadow.Drop:
		after := record{dropped: time.Now()}
		if own != nil && own.on() {
			reply.Dropped = len(own.shadows.Copies)
			after.shadows, after.made = own.shadows, own.made
		} else if own != nil {
			after = *own
		}
		m.keep(asked.RunID, &after)
		return answer(reply)
	case asked.Verb != shadow.Make:
		return refuse(reply, shadow.ExitRequest, "the verb "+asked.Verb+" is unknown")
	case own != nil && !own.on():
		return refuse(reply, shadow.ExitLate, "the run has deleted its copies: the request came too late")
	case own != nil:
		reply.Shadows = own.shadows
		return answer(reply)
	}
	planned := m.Faults.Windows(fault.ShadowKinds...)
	if planned == fault.ShadowHang {
		<-ctx.Done()
		return instance.Result{ExitCode: 137}
	}
	if exit, why := fails(planned); exit != 0 {
		return refuse(reply, exit, why)
	}
	devices, err := m.Account.devices(ctx, m.ID)
	if err != nil {
		return refuse(reply, shadow.ExitVolume, codeOf(err))
	}
	made := &run.Shadows{SetID: guid(m.ID, "set", m.next())}
	for i, volume := range asked.Volumes {
		if !slices.Contains(slices.Collect(maps.Keys(devices)), volume) {
			return refuse(reply, shadow.ExitVolume, "Windows shows 0 disks for "+volume)
		}
		made.Copies = append(made.Copies, run.ShadowCopy{ID: guid(made.SetID, volume), VolumeID: volume, Path: string(rune('D'+i)) + `:\`})
		made.Disks = append(made.Disks, run.ShadowDisk{VolumeID: volume, Style: "GPT", Signature: signature(volume)})
	}
	if !wait(ctx, copying) {
		return instance.Result{ExitCode: 137}
	}
	if err := m.copies(ctx, made); err != nil {
		return refuse(reply, shadow.ExitCreate, "diskshadow ended with 1 and 0 copies: "+err.Error())
	}
	m.keep(asked.RunID, &record{shadows: made, made: time.Now()})
	reply.Shadows = made
	return answer(reply)
}

// signature is that of a disk as it was made.
func signature(volume string) string { return guid("disk", volume) }

// copies has all volumes copied at one moment, with the writers at rest.
func (m *Machine) copies(ctx context.Context, made *run.Shadows) error {
	release, err := m.hold(ctx, true)
	if err != nil {
		return err
	}
	defer release()
	set := map[string]string{}
	for _, c := range made.Copies {
		set[c.VolumeID] = c.ID
	}
	return m.Host.Copy(ctx, set)
}

// fails is what was planned to go wrong, by its exit code.
func fails(planned fault.Kind) (exit int, why string) {
	switch planned {
	case fault.ShadowAbsent:
		return shadow.ExitAbsent, "there is no diskshadow.exe: it is part of Windows Server alone"
	case fault.ShadowVolume:
		return shadow.ExitVolume, `E:\ is FAT32: Windows makes shadow copies of NTFS and ReFS`
	case fault.ShadowCreate:
		return shadow.ExitCreate, "diskshadow ended with 1 and 0 of 2 copies"
	case fault.ShadowWriter:
		return shadow.ExitWriter, "a writer failed: SqlServerWriter is in the state 8"
	case fault.ShadowBusy:
		return shadow.ExitBusy, "the run other has shadow copies here"
	}
	return 0, ""
}

// Shadows counts the copies that are on the instance.
func (m *Machine) Shadows() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		if r.on() {
			n += len(r.shadows.Copies)
		}
	}
	return n
}

func answer(reply any) instance.Result {
	text, err := json.Marshal(reply)
	if err != nil {
		return failed("%v", err)
	}
	return instance.Result{Stdout: append(text, '\n')}
}

func refuse(reply *shadow.Reply, exit int, why string) instance.Result {
	reply.Error = &shadow.Failure{Exit: exit, Message: why}
	r := answer(reply)
	r.ExitCode = exit
	return r
}
