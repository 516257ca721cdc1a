package protocol

// RecoverRequest asks the helper to bring a set's disks to life once they are
// attached: find their filesystems, let each replay its journal, check them,
// mount them, start a private second server on them and let it recover and be
// checked, and run the user's own check. What is mounted already is not
// touched. The request is refused, by InvalidInput naming the field or by
// ScriptUnsafe, before anything is.
type RecoverRequest struct {
	Disks []RestoredDisk `json:"disks"`

	// At is the absolute folder below which everything is mounted by its old
	// path: /data comes to At/data. It is made if it is not there.
	At string `json:"at"`
	// Mounts asks for other places: by the old mount point, or by the volume
	// that a disk's snapshot was taken of where that has one filesystem alone.
	Mounts map[string]string `json:"mounts,omitempty"`
	// Keep is a restore: the filesystems stay mounted until Unmount. Without
	// it this is a test: they are mounted where no other process sees them, and
	// everything is taken away again whatever happens.
	Keep bool `json:"keep,omitempty"`

	// Application is the server to start; of it only Kind is looked at. Kinds
	// none, script and document start nothing.
	Application Application `json:"application"`
	// Data is the server's data folder by its old path; empty: it is looked for.
	Data string `json:"data,omitempty"`
	// Files are what the run kept: ApplicationEvidence.Files, which the tags
	// of its snapshots hold as well (label.Files).
	Files Files `json:"files,omitempty"`

	// Check is the absolute path of the user's own check, root's alone to
	// write; empty for none. It is called with QUIESCE_AT, and is given
	// QUIESCE_SOCKET of the server while that runs.
	Check string `json:"check,omitempty"`

	TimeoutSeconds int `json:"timeoutSeconds"` // of all of it; 1 to MaxRecoverSeconds
}

// Limits of a recovery.
const (
	MaxRestoredDisks  = 40
	MaxRecoverSeconds = 6 * 3600
	MaxFilesBytes     = 8 << 10
)

// Recoverable are the kinds whose server a helper starts on copies.
var Recoverable = []string{"mariadb", "mysql", "postgresql", "redis"}

// RestoredDisk is one disk made of a set's member, as its maker knows it.
type RestoredDisk struct {
	ID      string   `json:"id"`
	Origin  string   `json:"origin"`            // the volume that the snapshot was taken of
	Serials []string `json:"serials,omitempty"` // what the machine may see as its serial number
	Device  string   `json:"device,omitempty"`  // as the provider attaches it; looked at where disks report no serial number
	Places  []Place  `json:"places,omitempty"`  // where its filesystems were mounted, as far as known
}

// Place is where a filesystem on a volume was mounted. Part tells which of the
// volume's it was: a partition's number, or the name of a logical volume or an
// array; empty for the volume itself.
type Place struct {
	Part string `json:"part,omitempty"`
	Type string `json:"type"`
	Path string `json:"path"`
}

// RecoverReply is how the disks came to life. Problems is the verdict: with
// none, all that was asked for succeeded. What could not be tried at all is
// the reply's Error instead: VolumeUnresolved for a disk that does not show up,
// RestoreRefused for a place that is taken, RestoreTimedOut when the time has
// run out.
type RecoverReply struct {
	Filesystems []Recovered    `json:"filesystems"`
	Server      *SecondServer  `json:"server,omitempty"`
	Script      *CheckedScript `json:"script,omitempty"`
	Seconds     float64        `json:"seconds"`
	Problems    []string       `json:"problems,omitempty"` // in sentences; each makes the recovery a failed one
	Notes       []string       `json:"notes,omitempty"`    // what an operator should know and what is no fault of the set
	Untold      int            `json:"untold,omitempty"`   // filesystems and sentences left out: the reply was too long
}

// Recovered is one filesystem of the set, or what else was found on its disks:
// swap, a container that is encrypted, data that nobody knows. Those are told
// of and not touched.
type Recovered struct {
	Origin   string   `json:"origin"`         // volumes, by commas where it spans several
	Device   string   `json:"device"`         // /dev/nvme2n1p1
	Type     string   `json:"type,omitempty"` // as blkid calls it
	UUID     string   `json:"uuid,omitempty"` // as it was found
	Mount    string   `json:"mount,omitempty"`
	Was      string   `json:"was,omitempty"`     // its old mount point, if known
	How      string   `json:"how,omitempty"`     // what was done so that it does not collide with its original
	Checked  string   `json:"checked,omitempty"` // the check and its end, in a sentence
	Findings []string `json:"findings,omitempty"`
}

// SecondServer is the private server that was started on the copies.
type SecondServer struct {
	Kind       string   `json:"kind"`
	Version    string   `json:"version,omitempty"`
	Data       string   `json:"data,omitempty"` // its folder, by its old path
	Started    bool     `json:"started"`
	RecoveryMs float64  `json:"recoveryMs,omitempty"` // from its start until it answered
	Checked    string   `json:"checked,omitempty"`    // what was looked at, in a sentence
	Findings   []string `json:"findings,omitempty"`
}

// CheckedScript is how the user's own check ended, with the end of its output.
type CheckedScript struct {
	Exit     int     `json:"exit"`
	TimedOut bool    `json:"timedOut,omitempty"`
	Ms       float64 `json:"ms"`
	Output   string  `json:"output,omitempty"`
}
