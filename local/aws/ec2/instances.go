package ec2

import (
	"context"
	"encoding/xml"
	"regexp"
	"slices"
	"sort"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// Instance is a machine for rent as its owner puts it into the account.
type Instance struct {
	ID         string
	Arch       string // amd64 (default), arm64
	State      string // running (default), stopped, ...
	RootDevice string // default /dev/xvda
	RootKind   string // ebs (default), instance-store
	Zone       string // default the Region's first
	Type       string // default m7i.large, or m7g.large
	Image      string // that it was launched of
	BootMode   string // legacy-bios, uefi, uefi-preferred; empty: the type's own
	Virtual    string // hvm (default), paravirtual
	Platform   string // windows, or what else the details say; default Linux/UNIX
	Profile    string // the name of its instance profile; empty: none
	TPM        string
	ENA        bool
	Subnet     string
	Groups     []string
	Tags       map[string]string
}

type machine struct {
	Instance
	launched time.Time
	turning  *time.Timer // to the state that was asked for
	token    string      // that it was launched by
	request  string      // and what was asked, to know the token's second use
	doomed   bool        // a key of its disks may not be used
}

var instanceID = regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)

// AddInstance puts an instance into the account.
func (e *EC2) AddInstance(i Instance) {
	if i.Arch == "" {
		i.Arch = "amd64"
	}
	if i.State == "" {
		i.State = "running"
	}
	if i.RootDevice == "" {
		i.RootDevice = "/dev/xvda"
	}
	if i.RootKind == "" {
		i.RootKind = "ebs"
	}
	if i.Type == "" {
		i.Type = map[string]string{"arm64": "m7g.large"}[i.Arch]
	}
	if i.Type == "" {
		i.Type = "m7i.large"
	}
	if i.Virtual == "" {
		i.Virtual = "hvm"
	}
	if i.Platform == "" {
		i.Platform = linux
	}
	if i.Zone == "" {
		i.Zone = e.cfg.Region + "a"
	}
	if i.Tags == nil {
		i.Tags = make(map[string]string)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.instances[i.ID] = &machine{Instance: i, launched: time.Now()}
}

// State returns an instance's state, "" for one that does not exist.
func (e *EC2) State(instance string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if m := e.instances[instance]; m != nil {
		return m.State
	}
	return ""
}

// SetState puts an instance into a state without a call.
func (e *EC2) SetState(instance, state string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if m := e.instances[instance]; m != nil {
		m.State = state
	}
}

// find looks an instance up as every action does.
func (e *EC2) find(id string) (*machine, error) {
	if id == "" {
		return nil, wire.Bad("MissingParameter", "The request must contain the parameter InstanceId")
	}
	if !instanceID.MatchString(id) {
		return nil, wire.Bad("InvalidInstanceID.Malformed", "Invalid id: %q", id)
	}
	m := e.instances[id]
	if m == nil {
		return nil, wire.Bad("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
	}
	return m, nil
}

type xmlTag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

func xmlTags(tags map[string]string) []xmlTag {
	var all []xmlTag
	for k, v := range tags {
		all = append(all, xmlTag{k, v})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Key < all[j].Key })
	return all
}

type xmlState struct {
	Code int    `xml:"code"`
	Name string `xml:"name"`
}

var stateCodes = map[string]int{"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}

type xmlMapping struct {
	Device   string `xml:"deviceName"`
	VolumeID string `xml:"ebs>volumeId"`
	Status   string `xml:"ebs>status"`
	Attached string `xml:"ebs>attachTime"`
	Dies     bool   `xml:"ebs>deleteOnTermination"`
}

type xmlProfile struct {
	ARN string `xml:"arn"`
	ID  string `xml:"id"`
}

type xmlInstance struct {
	ID       string       `xml:"instanceId"`
	State    xmlState     `xml:"instanceState"`
	Type     string       `xml:"instanceType"`
	Launched string       `xml:"launchTime"`
	Zone     string       `xml:"placement>availabilityZone"`
	Arch     string       `xml:"architecture"`
	Root     string       `xml:"rootDeviceName"`
	RootKind string       `xml:"rootDeviceType"`
	Devices  []xmlMapping `xml:"blockDeviceMapping>item"`
	Platform string       `xml:"platformDetails"`
	Image    string       `xml:"imageId,omitempty"`
	Boot     string       `xml:"bootMode,omitempty"`
	Virtual  string       `xml:"virtualizationType"`
	TPM      string       `xml:"tpmSupport,omitempty"`
	ENA      bool         `xml:"enaSupport"`
	Subnet   string       `xml:"subnetId,omitempty"`
	Windows  string       `xml:"platform,omitempty"`
	Profile  *xmlProfile  `xml:"iamInstanceProfile"`
	Tags     []xmlTag     `xml:"tagSet>item"`
}

func (e *EC2) describeInstances(_ context.Context, _ *wire.Call, q query) (any, error) {
	type reservation struct {
		ID        string        `xml:"reservationId"`
		Owner     string        `xml:"ownerId"`
		Instances []xmlInstance `xml:"instancesSet>item"`
	}
	out := struct {
		XMLName xml.Name      `xml:"reservationSet"`
		Items   []reservation `xml:"item"`
	}{}
	next := struct {
		XMLName xml.Name `xml:"nextToken"`
		Token   string   `xml:",chardata"`
	}{}
	e.mu.Lock()
	defer e.mu.Unlock()
	asked := q.list("InstanceId")
	for _, id := range asked {
		if _, err := e.find(id); err != nil {
			return nil, err
		}
	}
	var found []*machine
	for id, m := range e.instances {
		if len(asked) > 0 && !slices.Contains(asked, id) {
			continue
		}
		ok, err := matches(q.filters(), map[string][]string{
			"instance-id":         {id},
			"instance-state-name": {m.State},
			"architecture":        {architecture(m.Arch)},
		}, m.Tags)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, m)
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].ID < found[j].ID })
	from, to, token, err := page(q, len(found))
	if err != nil {
		return nil, err
	}
	for _, m := range found[from:to] {
		out.Items = append(out.Items, reservation{ID: "r-" + hash(m.ID), Owner: e.cfg.Account, Instances: []xmlInstance{e.render(m)}})
	}
	next.Token = token
	return []any{out, next}, nil
}

func (e *EC2) render(m *machine) xmlInstance {
	x := xmlInstance{
		ID: m.ID, State: xmlState{stateCodes[m.State], m.State}, Type: m.Type, Launched: wire.Time(m.launched),
		Zone: m.Zone, Arch: architecture(m.Arch), Root: m.RootDevice, RootKind: m.RootKind, Platform: m.Platform, Tags: xmlTags(m.Tags),
		Image: m.Image, Boot: m.BootMode, Virtual: m.Virtual, TPM: m.TPM, ENA: m.ENA, Subnet: m.Subnet,
	}
	if m.Type != "" {
		x.Type = m.Type
	}
	if m.Platform == "windows" {
		x.Platform, x.Windows = "Windows", m.Platform
	}
	if m.Profile != "" {
		x.Profile = &xmlProfile{"arn:aws:iam::" + e.cfg.Account + ":instance-profile/" + m.Profile, "AIPA" + hash(m.Profile)}
	}
	for _, v := range e.attached(m.ID) {
		x.Devices = append(x.Devices, xmlMapping{v.Device, v.ID, v.attachState(time.Now()), wire.Time(v.attachedAt), v.DeleteOnTermination})
	}
	return x
}

func architecture(arch string) string {
	if arch == "amd64" {
		return "x86_64"
	}
	return arch
}
