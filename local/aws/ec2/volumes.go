package ec2

import (
	"context"
	"encoding/xml"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// Volume is a disk as its owner puts it into the account. Its id is its name
// in the storage below.
type Volume struct {
	ID          string
	Instance    string // attached to; empty for none
	Device      string // the attachment's name, default /dev/sdf onwards
	Bytes       int64  // default 1 GiB
	Kind        string // gp3 (default), gp2, io1, io2, st1, sc1, standard
	MultiAttach bool
	Key         string // the ARN of the key that it is encrypted with; empty: it is not
	Zone        string // default the Region's first
	Tags        map[string]string

	DeleteOnTermination bool // of the attachment

	// Hollow has no storage below, as the root disk of a simulated machine:
	// snapshots of it hold nothing.
	Hollow bool
	// Made tells that the storage is there and attached already, at Path.
	Made bool
	Path string // the device on the machine
}

type volume struct {
	Volume
	created    time.Time
	attachedAt time.Time
	ready      time.Time // creating until then
	snapshot   string
	token      string
	last       time.Time // its last snapshot
	busy       bool      // the storage works on it
	leaving    bool      // it is being detached
	locked     bool      // its key could not be used: it is never there
	request    string    // what it was made by, to know the token's second use
}

const gib = 1 << 30

// AddVolume puts a volume into the account, making and attaching its storage
// unless it is there, and returns the path of its device on the machine.
func (e *EC2) AddVolume(ctx context.Context, v Volume) (path string, err error) {
	v.Bytes = max(v.Bytes, 0)
	if v.Bytes == 0 {
		v.Bytes = gib
	}
	if v.Kind == "" {
		v.Kind = "gp3"
	}
	if v.Zone == "" {
		v.Zone = e.cfg.Region + "a"
	}
	if v.Tags == nil {
		v.Tags = make(map[string]string)
	}
	if !v.Hollow && !v.Made {
		if err := e.cfg.Disks.Create(ctx, v.ID, v.Bytes, ""); err != nil {
			return "", err
		}
		if v.Instance != "" {
			if v.Path, err = e.cfg.Disks.Attach(ctx, v.ID); err != nil {
				return "", err
			}
		}
	}
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if v.Instance != "" && v.Device == "" {
		v.Device = "/dev/sd" + string(rune('f'+len(e.attached(v.Instance))))
	}
	e.volumes[v.ID] = &volume{Volume: v, created: now, attachedAt: now}
	return v.Path, nil
}

// Encrypt lets a volume be encrypted with a key, as if it had been made so.
func (e *EC2) Encrypt(volume, key string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if v := e.volumes[volume]; v != nil {
		v.Key = key
	}
}

// Path returns the device of an attached volume on its machine.
func (e *EC2) Path(volume string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if v := e.volumes[volume]; v != nil {
		return v.Path
	}
	return ""
}

func (e *EC2) attached(instance string) []*volume {
	var all []*volume
	for _, v := range e.volumes {
		if v.Instance == instance && instance != "" {
			all = append(all, v)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Device < all[j].Device })
	return all
}

func (e *EC2) volume(id string) (*volume, error) {
	v := e.volumes[id]
	if v == nil {
		return nil, wire.Bad("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
	}
	return v, nil
}

func (v *volume) status(now time.Time) string {
	switch {
	case v.Instance != "":
		return "in-use"
	case v.busy || now.Before(v.ready):
		return "creating"
	case v.locked:
		return "error"
	}
	return "available"
}

type xmlAttachment struct {
	VolumeID string `xml:"volumeId"`
	Instance string `xml:"instanceId"`
	Device   string `xml:"device"`
	Status   string `xml:"status"`
	At       string `xml:"attachTime"`
	Dies     bool   `xml:"deleteOnTermination"`
}

type xmlVolume struct {
	ID          string          `xml:"volumeId"`
	Size        int64           `xml:"size"`
	SnapshotID  string          `xml:"snapshotId"`
	Zone        string          `xml:"availabilityZone"`
	Status      string          `xml:"status"`
	Created     string          `xml:"createTime"`
	Kind        string          `xml:"volumeType"`
	Encrypted   bool            `xml:"encrypted"`
	Key         string          `xml:"kmsKeyId,omitempty"`
	MultiAttach bool            `xml:"multiAttachEnabled"`
	Attachments []xmlAttachment `xml:"attachmentSet>item"`
	Tags        []xmlTag        `xml:"tagSet>item"`
}

func (v *volume) gib() int64 { return max(1, (v.Bytes+gib-1)/gib) }

func (v *volume) attachment(status string) xmlAttachment {
	return xmlAttachment{v.ID, v.Instance, v.Device, status, wire.Time(v.attachedAt), v.DeleteOnTermination}
}

// attachState is how far an attachment is.
func (v *volume) attachState(now time.Time) string {
	switch {
	case v.leaving:
		return "detaching"
	case v.busy || now.Before(v.attachedAt):
		return "attaching"
	}
	return "attached"
}

func (e *EC2) renderVolume(v *volume) xmlVolume {
	x := xmlVolume{
		ID: v.ID, Size: v.gib(), SnapshotID: v.snapshot, Zone: v.Zone, Status: v.status(time.Now()),
		Created: wire.Time(v.created), Kind: v.Kind, MultiAttach: v.MultiAttach, Encrypted: v.Key != "", Key: v.Key, Tags: xmlTags(v.Tags),
	}
	if v.Instance != "" {
		x.Attachments = []xmlAttachment{v.attachment(v.attachState(time.Now()))}
	}
	return x
}

func (e *EC2) describeVolumes(_ context.Context, _ *wire.Call, q query) (any, error) {
	out := struct {
		XMLName xml.Name    `xml:"volumeSet"`
		Items   []xmlVolume `xml:"item"`
	}{}
	next := struct {
		XMLName xml.Name `xml:"nextToken"`
		Token   string   `xml:",chardata"`
	}{}
	e.mu.Lock()
	defer e.mu.Unlock()
	asked := q.list("VolumeId")
	for _, id := range asked {
		if _, err := e.volume(id); err != nil {
			return nil, err
		}
	}
	var found []*volume
	for id, v := range e.volumes {
		if len(asked) > 0 && !slices.Contains(asked, id) {
			continue
		}
		fields := map[string][]string{
			"volume-id":              {id},
			"volume-type":            {v.Kind},
			"status":                 {v.status(time.Now())},
			"size":                   {strconv.FormatInt(v.gib(), 10)},
			"snapshot-id":            {v.snapshot},
			"attachment.instance-id": nil,
			"attachment.device":      nil,
			"attachment.status":      nil,
			"multi-attach-enabled":   {strconv.FormatBool(v.MultiAttach)},
		}
		if v.Instance != "" {
			fields["attachment.instance-id"] = []string{v.Instance}
			fields["attachment.device"] = []string{v.Device}
			fields["attachment.status"] = []string{v.attachState(time.Now())}
		}
		ok, err := matches(q.filters(), fields, v.Tags)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, v)
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].ID < found[j].ID })
	from, to, token, err := page(q, len(found))
	if err != nil {
		return nil, err
	}
	for _, v := range found[from:to] {
		out.Items = append(out.Items, e.renderVolume(v))
	}
	next.Token = token
	return []any{out, next}, nil
}
