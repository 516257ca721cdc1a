package windows

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/shared/vss"
)

const installStep = "InstallVss"

// Document is a stand-in for AWS's own, whose content is not published: its
// documented parameters, with patterns that take what is documented.
const Document = `{
  "schemaVersion": "2.2",
  "description": "Stand-in for AWSEC2-VssInstallAndSnapshot.",
  "parameters": {
    "ExcludeBootVolume": {"type": "String", "default": "False", "allowedValues": ["True", "False"]},
    "NoWriters": {"type": "String", "default": "False", "allowedValues": ["True", "False"]},
    "CopyOnly": {"type": "String", "default": "False", "allowedValues": ["True", "False"]},
    "SaveVssMetadata": {"type": "String", "default": "False", "allowedValues": ["True", "False"]},
    "CollectDiagnosticLogs": {"type": "String", "default": "False", "allowedValues": ["True", "False"]},
    "CreateAmi": {"type": "String", "default": "False", "allowedValues": ["True", "False"]},
    "AmiName": {"type": "String", "default": ""},
    "VssVersion": {"type": "String", "default": "", "allowedPattern": "^([0-9.]*)$"},
    "description": {"type": "String", "default": "", "maxChars": 255},
    "executionTimeout": {"type": "String", "default": "3600", "allowedPattern": "^[1-9][0-9]{0,5}$"},
    "tags": {"type": "String", "default": "", "allowedPattern": "^[A-Za-z0-9() ./\\-\"'@_+:={},;]*$"}
  },
  "mainSteps": [
    {"action": "aws:runPowerShellScript", "name": "InstallVss", "precondition": {"StringEquals": ["platformType", "Windows"]}, "inputs": {"timeoutSeconds": "600", "runCommand": ["# not published"]}},
    {"action": "aws:runPowerShellScript", "name": "CreateVssSnapshot", "precondition": {"StringEquals": ["platformType", "Windows"]}, "inputs": {"timeoutSeconds": "{{ executionTimeout }}", "runCommand": ["# not published"]}}
  ]
}`

// hold is the time that Windows gives a provider between freeze and thaw.
const hold = 10 * time.Second

// Times of the steps, plausible and no figures that anybody publishes.
const (
	installing = 4 * time.Second
	gathering  = 3 * time.Second // until the freeze
	slowly     = 60 * time.Second
)

func failed(format string, args ...any) instance.Result {
	return instance.Result{ExitCode: 1, Stderr: fmt.Appendf(nil, format+"\n", args...)}
}

func ok(format string, args ...any) instance.Result {
	return instance.Result{Stdout: fmt.Appendf(nil, format+"\n", args...)}
}

func (m *Machine) install() instance.Result {
	time.Sleep(installing)
	if m.Faults.Windows(fault.VssComponents) == fault.VssComponents {
		return failed("Failed to install package AwsVssComponents: the repository cannot be reached")
	}
	return ok("AwsVssComponents 2.5.1 is installed")
}

// snapshot is the document's second step, from its parameters to its tags.
func (m *Machine) snapshot(ctx context.Context, p map[string]string) instance.Result {
	tags, err := given(p)
	if err != nil {
		return failed("%v", err)
	}
	planned := m.Faults.Windows(fault.VssKinds...)
	switch planned {
	case fault.VssLanguage:
		return failed("Cannot invoke method. Method invocation is supported only on core types in this language mode.")
	case fault.VssUnknown:
		return failed("The system cannot find the file specified.")
	case fault.VssHang:
		<-ctx.Done()
		return instance.Result{ExitCode: 137}
	}
	if !wait(ctx, gathering) {
		return instance.Result{ExitCode: 137}
	}
	switch planned {
	case fault.VssFreeze:
		wait(ctx, slowly)
		return failed("Encountered an error: timeout waiting for VSS Freeze.")
	case fault.VssWriter:
		return failed("Asynchronous DoSnapshotSet finished with a writer failure. HRESULT: 0x800423F4")
	case fault.VssDenied:
		return failed("UnauthorizedOperation: You are not authorized to perform this operation. (CreateSnapshots)")
	case fault.VssThrottled:
		return failed("RequestLimitExceeded: Request limit exceeded. (CreateSnapshots)")
	}
	set, late, err := m.take(ctx, p, tags, planned)
	switch {
	case err != nil:
		return failed("%s: the snapshots could not be created. (CreateSnapshots)", codeOf(err))
	case late || planned == fault.VssThaw:
		return failed("Encountered an error: Thaw pipe connection timed out.")
	}
	for i, s := range set {
		own := map[string]string{vss.TagDevice: s.device, vss.TagApp: "true"}
		if planned == fault.VssUntagged && i == len(set)-1 {
			delete(own, vss.TagApp)
		}
		if err := m.Account.tag(ctx, s.id, own); err != nil {
			return failed("%s: the tags could not be written. (CreateTags)", codeOf(err))
		}
	}
	return ok("%d snapshots were created", len(set))
}

// hold brings the writers, if they take part, and the filesystems to rest, as
// Windows does. It lets go after its ten seconds whether or not release has been
// called, which tells if it had to.
func (m *Machine) hold(ctx context.Context, writers bool) (release func() (late bool), err error) {
	var frozen []string
	later := context.WithoutCancel(ctx)
	var once sync.Once
	thaw := func() {
		once.Do(func() {
			for _, mount := range slices.Backward(frozen) {
				_ = m.Host.Freeze(later, mount, false) // refused if somebody else has let go
			}
			if writers {
				_ = m.Host.Rest(later, false) // a writer that is not there has nothing to let go
			}
		})
	}
	if writers {
		if err := m.Host.Rest(ctx, true); err != nil {
			return nil, err
		}
	}
	for _, mount := range m.Host.Mounts() {
		if err := m.Host.Freeze(ctx, mount, true); err != nil {
			thaw()
			return nil, err
		}
		frozen = append(frozen, mount)
	}
	timer := time.AfterFunc(hold, thaw)
	return func() bool {
		late := !timer.Stop()
		thaw()
		return late
	}, nil
}

// take holds what Windows holds while the one call is made.
func (m *Machine) take(ctx context.Context, p, tags map[string]string, planned fault.Kind) (set []made, late bool, err error) {
	tags[vss.TagConfig] = fmt.Sprintf("AwsVssComponents 2.5.1, %s", guid(m.ID, m.next()))
	release, err := m.hold(ctx, p["NoWriters"] != "True")
	if err != nil {
		return nil, false, err
	}
	without := ""
	if planned == fault.VssPartial {
		if without, err = m.last(ctx); err != nil {
			release()
			return nil, false, err
		}
	}
	set, err = m.Account.snapshots(context.WithoutCancel(ctx), m.ID, p["description"], p["ExcludeBootVolume"] == "True", without, tags)
	return set, release(), err
}

// last is the data volume that a partial set leaves out.
func (m *Machine) last(ctx context.Context) (string, error) {
	devices, err := m.Account.devices(ctx, m.ID)
	all := slices.Sorted(maps.Keys(devices))
	if err != nil || len(all) == 0 {
		return "", err
	}
	return slices.MinFunc(all, func(a, b string) int { return strings.Compare(devices[a], devices[b]) }), nil // the boot volume's comes last here
}

// given reads the tags as the document documents them.
func given(p map[string]string) (map[string]string, error) {
	switch {
	case p["CreateAmi"] == "True":
		return nil, fmt.Errorf("images are not played here")
	case p["NoWriters"] == "True" && p["SaveVssMetadata"] == "True":
		return nil, fmt.Errorf("NoWriters and SaveVssMetadata cannot both be True")
	}
	tags := map[string]string{"Name": ""}
	for pair := range strings.SplitSeq(p["tags"], ";") {
		if pair == "" {
			continue
		}
		key, value, both := strings.Cut(strings.TrimPrefix(pair, "Key="), ",Value=")
		if !both || !strings.HasPrefix(pair, "Key=") {
			return nil, fmt.Errorf("the tag %q is not of the form Key=a,Value=b", pair)
		}
		if key == vss.TagApp || key == vss.TagConfig || key == vss.TagDevice {
			return nil, fmt.Errorf("the tag %s is reserved", key)
		}
		tags[key] = value
	}
	return tags, nil
}

func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
