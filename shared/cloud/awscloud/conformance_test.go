package awscloud_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/aws/kms"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
	played "github.com/quiesce/quiesce/local/windows"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/cloud/cloudtest"
	"github.com/quiesce/quiesce/shared/vss"
	"github.com/quiesce/quiesce/workflow/asl"
)

func TestConformance(t *testing.T) { cloudtest.Run(t, emulated) }

const (
	running = "i-0123456789abcdef0"
	windows = "i-0123456789abcdef3"
	stopped = "i-0123456789abcdef1"
	absent  = "i-0123456789abcdef2"

	abroad = "eu-west-1"
	key    = "arn:aws:kms:" + abroad + ":123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
)

// actions are the operations on AWS's wire, and kinds what they meet there.
var (
	actions = map[cloudtest.Op]string{
		cloudtest.CreateSet: "CreateSnapshots",
		cloudtest.FindSet:   "DescribeSnapshots",
		cloudtest.Send:      "SendCommand",
		cloudtest.Publish:   "PutEvents",
		cloudtest.SaveToken: "PutObject",
		cloudtest.FindToken: "GetObject",
		cloudtest.EndWait:   "SendTaskSuccess",
		cloudtest.Delete:    "DeleteSnapshot",
		cloudtest.Copy:      "CopySnapshot",

		cloudtest.ReadDocument: "GetDocument",

		cloudtest.MakeDisk:   "CreateVolume",
		cloudtest.FindDisks:  "DescribeVolumes",
		cloudtest.AttachDisk: "AttachVolume",
		cloudtest.DetachDisk: "DetachVolume",
		cloudtest.BindDisk:   "ModifyInstanceAttribute",
		cloudtest.MarkDisk:   "CreateTags",
		cloudtest.UnmarkDisk: "DeleteTags",
		cloudtest.DeleteDisk: "DeleteVolume",
		cloudtest.StopHost:   "StopInstances",
		cloudtest.StartHost:  "StartInstances",

		cloudtest.MakeImage:  "RegisterImage",
		cloudtest.FindImages: "DescribeImages",
		cloudtest.DropImage:  "DeregisterImage",
		cloudtest.Launch:     "RunInstances",
		cloudtest.FindHosts:  "DescribeInstances",
		cloudtest.EndHost:    "TerminateInstances",
	}
	kinds = map[cloudtest.Kind]fault.Kind{
		cloudtest.LostReply: fault.LostReply,
		cloudtest.Throttle:  fault.Throttle,
		cloudtest.Deny:      fault.Deny,
	}
)

// emulated is an account of the emulated AWS, in process.
func emulated(t *testing.T) cloudtest.Harness {
	plan := &fault.Plan{}
	states := engine.New(engine.Config{})
	t.Cleanup(states.Close)
	account := aws.New(aws.Config{Disks: storage{}, Faults: plan, Engine: states, Regions: []string{abroad}})
	t.Cleanup(account.Close)
	agent := &machine{documents: map[string]cloudtest.Script{}, guest: func(context.Context, string, []byte) cloudtest.Answer { return cloudtest.Answer{Stdout: "ok"} }}
	tags := map[string]string{cloud.TagOptIn: "true", "name": "db"}
	rent := func(i ec2.Instance, volumes ...ec2.Volume) {
		var on instance.Machine = agent
		if i.Platform == "windows" {
			on = server{agent}
		}
		if _, err := account.Rent(t.Context(), i, on, volumes...); err != nil {
			t.Fatal(err)
		}
	}
	rent(ec2.Instance{ID: running, Tags: tags},
		ec2.Volume{ID: "vol-0123456789abcdef0", Device: "/dev/xvda", Hollow: true},
		ec2.Volume{ID: "vol-0123456789abcdef1"}, ec2.Volume{ID: "vol-0123456789abcdef2"})
	rent(ec2.Instance{ID: windows, Platform: "windows"}, ec2.Volume{ID: "vol-0123456789abcdef4", Device: "/dev/sda1", Hollow: true})
	rent(ec2.Instance{ID: stopped, State: "stopped"}, ec2.Volume{ID: "vol-0123456789abcdef3", Device: "/dev/xvda", Hollow: true})

	document, helper := []byte(awscloud.Document()), []byte("the helper")
	for name, text := range map[string]string{"Quiesce": string(document), "Quiesce-Shadow": awscloud.ShadowDocument(), vss.Document: played.Document} {
		if err := account.SSM.RegisterDocument(name, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	account.S3.Put("assets", "quiesce-guest", helper)
	cfg := account.Client("conformance")
	bus := &partial{next: account.Transport(), credentials: cfg.Credentials, region: cfg.Region}
	cfg.HTTPClient = &http.Client{Transport: bus}
	provider := awscloud.New(cfg, awscloud.Options{
		AssetBucket: "assets", Helpers: map[string]awscloud.Helper{"arm64": {Key: "quiesce-guest", SHA256: sum(helper)}},
		Document: "Quiesce", DocumentHash: sum(document), Shadow: "Quiesce-Shadow", ShadowHash: sum([]byte(awscloud.ShadowDocument())),
	})
	place := network(account.EC2)
	account.KMS.AddKey(kms.Key{Region: abroad, ID: "1234abcd-12ab-34cd-56ef-1234567890ab"})
	return cloudtest.Harness{
		Provider: provider, Keeper: provider, Restorer: provider,
		Curator: provider, Abroad: provider.In(abroad), Key: key, ManagedKey: account.KMS.Managed(abroad),
		Running: cloudtest.Target{
			ID: running, Arch: "arm64", Tags: tags, Boot: "vol-0123456789abcdef0", Data: []string{"vol-0123456789abcdef1", "vol-0123456789abcdef2"},
		},
		Stopped: stopped,
		Absent:  absent,
		Windows: windows,
		Played:  func(do func(context.Context, string, map[string]string) cloudtest.Answer) { agent.played = do },
		Component: func(snapshot string, tags map[string]string) {
			component(t, awsec2.NewFromConfig(account.Client(windows)), snapshot, tags)
		},

		AbsentDisk: "vol-0123456789abcdef9", AbsentSnapshot: "snap-0123456789abcdef9", Zone: account.Region() + "a", OtherZone: account.Region() + "b", Place: place,
		Trouble: func(op cloudtest.Op, kind cloudtest.Kind) {
			plan.Add(fault.Fault{Target: actions[op], Kind: kinds[kind]})
		},
		Attempts: func(op cloudtest.Op) int { return account.Count(actions[op]) },
		Guest:    func(g cloudtest.Guest) { agent.guest = g },
		Register: func(name string, run cloudtest.Script) {
			if err := account.SSM.RegisterDocument(name, []byte(usersDocument)); err != nil {
				t.Fatal(err)
			}
			agent.documents[name] = run
		},
		Agent:  func(online bool) { account.SSM.SetOnline(running, online) },
		Wait:   func() (string, func() bool) { return waiting(t, states) },
		Refuse: func(n int) { bus.refuse = &n },
		Hold:   func(how cloudtest.Hold, id string) { hold(t, account, how, id) },
		Fetch: func(url string) ([]byte, error) {
			response, err := (&http.Client{Transport: account.Transport()}).Get(url)
			if err != nil {
				return nil, err
			}
			defer func() { _ = response.Body.Close() }()
			if response.StatusCode != http.StatusOK {
				return nil, fmt.Errorf("got %s", response.Status)
			}
			return io.ReadAll(response.Body)
		},
		Received: func() (list []cloudtest.Received) {
			for _, e := range account.Bus.Events() {
				if e.Source == events.Source {
					list = append(list, cloudtest.Received{Source: e.Source, Type: e.DetailType, Time: e.Time, Resources: e.Resources, Detail: e.Detail})
				}
			}
			return list
		},
	}
}

// network puts into the account what an instance is launched in.
func network(e *ec2.EC2) cloudtest.Place {
	e.AddSubnet(ec2.Subnet{ID: "subnet-0123456789abcdef0", VPC: "vpc-1"})
	e.AddGroup(ec2.Group{ID: "sg-0123456789abcdef0", VPC: "vpc-1"})
	e.AddGroup(ec2.Group{ID: "sg-0123456789abcdef1", VPC: "vpc-2"})
	e.AddProfile("restored")
	return cloudtest.Place{
		Type: "m7g.large", Unfit: "m7i.large", Subnet: "subnet-0123456789abcdef0", AbsentSubnet: "subnet-0123456789abcdef9",
		Group: "sg-0123456789abcdef0", AbsentGroup: "sg-0123456789abcdef9", ForeignGroup: "sg-0123456789abcdef1", Profile: "restored",
	}
}

// component tags a snapshot as AWS's does, with the instance's own rights.
func component(t *testing.T, own *awsec2.Client, snapshot string, tags map[string]string) {
	t.Helper()
	in := &awsec2.CreateTagsInput{Resources: []string{snapshot}}
	for key, value := range tags {
		in.Tags = append(in.Tags, types.Tag{Key: &key, Value: &value})
	}
	if _, err := own.CreateTags(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// hold keeps a snapshot as its owner would.
func hold(t *testing.T, account *aws.Cloud, how cloudtest.Hold, id string) {
	t.Helper()
	owner := awsec2.NewFromConfig(account.Client("owner"))
	var err error
	switch how {
	case cloudtest.Locked:
		_, err = owner.LockSnapshot(t.Context(), &awsec2.LockSnapshotInput{SnapshotId: &id, LockMode: types.LockModeGovernance, LockDuration: sdk.Int32(30)})
	case cloudtest.Shared:
		_, err = owner.ModifySnapshotAttribute(t.Context(), &awsec2.ModifySnapshotAttributeInput{
			SnapshotId: &id, Attribute: types.SnapshotAttributeNameCreateVolumePermission, OperationType: types.OperationTypeAdd, UserIds: []string{"210987654321"},
		})
	case cloudtest.Imaged:
		account.EC2.AddImage("ami-0123456789abcdef0", id)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// waiting starts an execution whose one state waits for its token.
func waiting(t *testing.T, states *engine.Engine) (token string, ended func() bool) {
	const definition = `{"StartAt":"Wait","States":{"Wait":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke.waitForTaskToken",
		"TimeoutSeconds":3600,"Parameters":{"FunctionName":"f","Payload.$":"$$.Task.Token"},"End":true}}}`
	m, err := asl.Parse([]byte(definition), nil)
	if err != nil {
		t.Fatal(err)
	}
	states.Deploy("waits", []byte(definition), m, asl.TasksFunc(func(_ context.Context, _ string, input json.RawMessage) (json.RawMessage, error) {
		var in struct{ Payload string }
		err := json.Unmarshal(input, &in)
		token = in.Payload
		return json.RawMessage("{}"), err
	}))
	x, err := states.Start("waits", "w", nil)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return token, func() bool {
		synctest.Wait()
		now, err := states.Describe(x.ARN)
		return err == nil && now.Status != engine.Running
	}
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// machine is an instance with a helper in place of a shell.
type machine struct {
	guest     cloudtest.Guest
	documents map[string]cloudtest.Script
	played    func(ctx context.Context, step string, parameters map[string]string) cloudtest.Answer
}

// usersDocument is one in YAML with the parameters that published ones have.
const usersDocument = `schemaVersion: "2.2"
parameters:
  executionId:
    type: String
    default: None
    allowedPattern: "^(None|[a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12})$"
  command:
    type: String
    default: dry-run
    allowedValues: [pre-script, post-script, dry-run]
  database:
    type: String
    default: ledger
mainSteps:
  - action: aws:runShellScript
    name: run_pre_post_scripts
    inputs:
      runCommand: ["true"]
`

func (m *machine) Arch() string { return "arm64" }

func (m *machine) Execute(ctx context.Context, c instance.Command) instance.Result {
	if run, theirs := m.documents[c.Document]; theirs {
		a := run(ctx, c.Parameters)
		return instance.Result{ExitCode: a.ExitCode, Stdout: []byte(a.Stdout), Stderr: []byte(a.Stderr)}
	}
	if c.Document == vss.Document {
		a := m.played(ctx, c.Step, c.Parameters)
		return instance.Result{ExitCode: a.ExitCode, Stdout: []byte(a.Stdout), Stderr: []byte(a.Stderr)}
	}
	request, err := base64.StdEncoding.DecodeString(c.Parameters["Request"])
	if err != nil {
		return instance.Result{ExitCode: 2, Stderr: []byte(err.Error())}
	}
	a := m.guest(ctx, c.Parameters["Verb"], request)
	return instance.Result{ExitCode: a.ExitCode, Stdout: []byte(a.Stdout), Stderr: []byte(a.Stderr)}
}

// server is the same under Windows.
type server struct{ *machine }

func (server) System() instance.System {
	return instance.System{Platform: "Windows", Name: "Microsoft Windows Server 2022 Datacenter", Version: "10.0.20348", Agent: "3.3.40.0"}
}

// storage holds nothing: this suite asks for the wire, not for the bytes.
type storage struct{}

func (storage) Create(context.Context, string, int64, string) error { return nil }
func (storage) Attach(_ context.Context, v string) (string, error)  { return "/dev/" + v, nil }
func (storage) Detach(context.Context, string) error                { return nil }
func (storage) Delete(context.Context, string) error                { return nil }
func (storage) Snapshot(context.Context, map[string]string) error   { return nil }
func (storage) DeleteSnapshot(context.Context, string) error        { return nil }
func (storage) Close() error                                        { return nil }

// partial keeps one entry of the next PutEvents from the bus and says so in
// the answer, as the service does with an entry that it could not take.
type partial struct {
	next        http.RoundTripper
	credentials sdk.CredentialsProvider
	region      string
	refuse      *int
}

func (p *partial) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.refuse == nil || r.Header.Get("X-Amz-Target") != "AWSEvents.PutEvents" {
		return p.next.RoundTrip(r)
	}
	n := *p.refuse
	p.refuse = nil
	var in, out struct {
		Entries          []json.RawMessage
		FailedEntryCount int `json:",omitempty"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	in.Entries = append(in.Entries[:n:n], in.Entries[n+1:]...)
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	keys, err := p.credentials.Retrieve(r.Context())
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Del("Authorization")
	if err := v4.NewSigner().SignHTTP(r.Context(), keys, r, sum(body), "events", p.region, time.Now()); err != nil {
		return nil, err
	}
	response, err := p.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if err := json.NewDecoder(response.Body).Decode(&out); err != nil {
		return nil, err
	}
	refusal := json.RawMessage(`{"ErrorCode":"InternalFailure","ErrorMessage":"try again"}`)
	out.FailedEntryCount++
	out.Entries = append(out.Entries[:n:n], append([]json.RawMessage{refusal}, out.Entries[n:]...)...)
	if body, err = json.Marshal(out); err != nil {
		return nil, err
	}
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return response, nil
}
