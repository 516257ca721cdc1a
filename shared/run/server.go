package run

// Server is a database server that precheck found on the instance, and what it
// made of it.
type Server struct {
	Kind    string   `json:"kind"`
	Version string   `json:"version,omitempty"` // if it was asked
	Program string   `json:"program"`
	PID     int      `json:"pid"`
	Socket  string   `json:"socket,omitempty"`
	Folders []string `json:"folders,omitempty"` // of its data first, then of what else it needs
	OnSet   bool     `json:"onSet"`             // files of it lie on the set's volumes
	Picked  bool     `json:"picked,omitempty"`  // by kind auto
	Why     string   `json:"why"`               // it was picked, or was not
}
