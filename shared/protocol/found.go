package protocol

// Auto is the kind of an application that is to be found: a dry run looks at
// every server, and no session is opened for it.
const Auto = "auto"

// Found is a database server that runs on the machine, as the kernel shows its
// process: nobody has asked it, but where Server or NoServer is set.
type Found struct {
	Kind    string   `json:"kind"` // mariadb, mysql, postgresql, redis, mongodb
	Program string   `json:"program"`
	PID     int      `json:"pid"`
	UID     int      `json:"uid"`
	Socket  string   `json:"socket,omitempty"` // that it listens at; empty for none, or none that can be reached
	Port    int      `json:"port,omitempty"`   // of TCP
	Folders []Folder `json:"folders"`          // where its files lie, those of its data first
	Apart   string   `json:"apart,omitempty"`  // why the helper cannot speak to it; empty if it can

	Server   *Server  `json:"server,omitempty"`   // as its adapter found it
	NoServer *Failure `json:"noServer,omitempty"` // why its adapter did not
}

// Folder is a folder on the superblock of the device number; Path is one by
// which the machine reaches it, or else that of the server's own namespace.
type Folder struct {
	Path   string `json:"path"`
	Device string `json:"device"`
}
