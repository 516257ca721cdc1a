package fault

import "slices"

// WindowsTarget is the simulated Windows instance.
const WindowsTarget = "windows"

// Of AWS's document on it, by what is documented to happen, and of the documents
// of shadow copies by their exit codes.
const (
	VssComponents Kind = "vss-components" // the package cannot be installed
	VssFreeze     Kind = "vss-freeze"     // VSS does not freeze in its time, nothing is made
	VssThaw       Kind = "vss-thaw"       // the snapshots are made, and the thaw comes too late
	VssWriter     Kind = "vss-writer"     // a writer fails before the snapshots
	VssUntagged   Kind = "vss-untagged"   // all ends well, but for the component's word on one snapshot
	VssPartial    Kind = "vss-partial"    // all ends well, but one volume has no snapshot
	VssDenied     Kind = "vss-denied"     // the instance's profile may not make snapshots
	VssLanguage   Kind = "vss-language"   // PowerShell is constrained
	VssThrottled  Kind = "vss-throttled"  // EC2 refuses the instance's call for its rate
	VssUnknown    Kind = "vss-unknown"    // it fails, and says nothing that is documented
	VssHang       Kind = "vss-hang"       // it never ends

	ShadowAbsent Kind = "shadow-absent" // no diskshadow
	ShadowVolume Kind = "shadow-volume" // a volume is none that VSS can copy
	ShadowCreate Kind = "shadow-create" // diskshadow makes no copies
	ShadowWriter Kind = "shadow-writer" // a writer fails
	ShadowBusy   Kind = "shadow-busy"   // another run has copies there
	ShadowHang   Kind = "shadow-hang"   // it never ends

	RevertAbsent    Kind = "revert-absent"    // no diskshadow
	RevertOffline   Kind = "revert-offline"   // Windows does not bring a disk online
	RevertRefused   Kind = "revert-refused"   // diskshadow does not go back
	RevertSignature Kind = "revert-signature" // Windows does not take the signature
	RevertHang      Kind = "revert-hang"      // it never ends
)

// VssKinds are those of the step that takes the set, ShadowKinds those of shadow
// copies, RevertKinds those of going back to them.
var (
	VssKinds    = []Kind{VssFreeze, VssThaw, VssWriter, VssUntagged, VssPartial, VssDenied, VssLanguage, VssThrottled, VssUnknown, VssHang}
	ShadowKinds = []Kind{ShadowAbsent, ShadowVolume, ShadowCreate, ShadowWriter, ShadowBusy, ShadowHang}
	RevertKinds = []Kind{RevertAbsent, RevertOffline, RevertRefused, RevertSignature, RevertHang}
)

var ofWindows = slices.Concat([]Kind{VssComponents}, VssKinds, ShadowKinds, RevertKinds)

// Windows is asked by the simulated instance once a step, told what can go wrong
// there; empty: nothing does.
func (p *Plan) Windows(of ...Kind) Kind {
	if p == nil {
		return ""
	}
	for _, k := range p.reach(func(f *planned) bool { return f.Target == WindowsTarget && slices.Contains(of, f.Kind) }) {
		return k
	}
	return ""
}
