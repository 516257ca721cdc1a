package aws_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"

	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/instance"
)

const target = "i-0123456789abcdef0"

// disks is storage that keeps what was done to it.
type disks struct {
	mu        sync.Mutex
	volumes   map[string]bool
	snapshots map[string]string // snapshot to volume
	at        []time.Time       // of each set
	fail      error
}

func newDisks() *disks {
	return &disks{volumes: map[string]bool{}, snapshots: map[string]string{}}
}

func (d *disks) Create(_ context.Context, volume string, _ int64, snapshot string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.snapshots[snapshot]; snapshot != "" && !ok {
		return fmt.Errorf("no snapshot %s", snapshot)
	}
	d.volumes[volume] = false
	return nil
}

func (d *disks) Attach(_ context.Context, volume string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.volumes[volume] = true
	return "/dev/" + volume, nil
}

func (d *disks) Detach(_ context.Context, volume string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.volumes[volume] = false
	return nil
}

func (d *disks) Delete(_ context.Context, volume string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.volumes, volume)
	return nil
}

func (d *disks) Snapshot(_ context.Context, set map[string]string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return d.fail
	}
	d.at = append(d.at, time.Now())
	for v, s := range set {
		d.snapshots[s] = v
	}
	return nil
}

func (d *disks) DeleteSnapshot(_ context.Context, snapshot string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.snapshots, snapshot)
	return nil
}

func (d *disks) Close() error { return nil }

func (d *disks) sets() map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.snapshots)
}

// machine runs do for every command.
type machine struct {
	do func(context.Context, instance.Command) instance.Result
}

func (m *machine) Arch() string { return "arm64" }

func (m *machine) Execute(ctx context.Context, c instance.Command) instance.Result {
	if m.do == nil {
		return instance.Result{Stdout: []byte(c.Script)}
	}
	return m.do(ctx, c)
}

// world is one account with one instance: a boot disk and two data volumes.
type world struct {
	*aws.Cloud
	disks   *disks
	machine *machine
	ec2     *awsec2.Client
	ssm     *awsssm.Client
}

// once makes clients that do not retry, so that a test sees every refusal.
func once(cfg sdk.Config) sdk.Config {
	cfg.Retryer = func() sdk.Retryer { return sdk.NopRetryer{} }
	return cfg
}

func run(t *testing.T, cfg aws.Config, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{disks: newDisks(), machine: &machine{}}
		cfg.Disks = w.disks
		w.Cloud = aws.New(cfg)
		defer w.Close()
		if cfg.Engine != nil {
			defer cfg.Engine.Close()
		}
		_, err := w.Rent(t.Context(), ec2.Instance{ID: target, Tags: map[string]string{"quiesce:opt-in": "true"}}, w.machine,
			ec2.Volume{ID: "vol-00000000000000000", Device: "/dev/xvda", Hollow: true},
			ec2.Volume{ID: "vol-00000000000000001", Tags: map[string]string{"disk": "a"}},
			ec2.Volume{ID: "vol-00000000000000002"})
		if err != nil {
			t.Fatal(err)
		}
		client := once(w.Client("test"))
		w.ec2, w.ssm = awsec2.NewFromConfig(client), awsssm.NewFromConfig(client)
		test(t, w)
	})
}

// wantCode checks that err is a refusal with the given wire code.
func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatalf("got %v, want %s", err, code)
	}
	if api.ErrorCode() != code {
		t.Fatalf("got %s (%s), want %s", api.ErrorCode(), api.ErrorMessage(), code)
	}
}

func TestRetriesOfTheSDKEndAThrottle(t *testing.T) {
	run(t, aws.Config{Latency: map[string]time.Duration{"*": 0}}, func(t *testing.T, w *world) {
		for range 50 {
			if _, err := w.ec2.DescribeSnapshots(t.Context(), &awsec2.DescribeSnapshotsInput{}); err != nil {
				t.Fatal(err)
			}
		}
		_, err := w.ec2.DescribeSnapshots(t.Context(), &awsec2.DescribeSnapshotsInput{})
		wantCode(t, err, "RequestLimitExceeded")
		patient := w.Client("patient")
		patient.Retryer = func() sdk.Retryer { return retry.NewStandard() }
		if _, err := awsec2.NewFromConfig(patient).DescribeSnapshots(t.Context(), &awsec2.DescribeSnapshotsInput{}); err != nil {
			t.Fatalf("a client that retries: %v", err)
		}
	})
}

func TestSignatures(t *testing.T) {
	run(t, aws.Config{}, func(t *testing.T, w *world) {
		stranger := once(w.Client("test"))
		stranger.Credentials = sdk.CredentialsProviderFunc(func(context.Context) (sdk.Credentials, error) {
			return sdk.Credentials{AccessKeyID: "AKIASTRANGER", SecretAccessKey: "x"}, nil
		})
		_, err := awsec2.NewFromConfig(stranger).DescribeInstances(t.Context(), nil)
		wantCode(t, err, "AuthFailure")
		_, err = awsssm.NewFromConfig(stranger).DescribeInstanceInformation(t.Context(), nil)
		wantCode(t, err, "UnrecognizedClientException")

		id, _ := w.Key("test")
		forged := once(w.Client("test"))
		forged.Credentials = sdk.CredentialsProviderFunc(func(context.Context) (sdk.Credentials, error) {
			return sdk.Credentials{AccessKeyID: id, SecretAccessKey: "guessed"}, nil
		})
		_, err = awsssm.NewFromConfig(forged).DescribeInstanceInformation(t.Context(), nil)
		wantCode(t, err, "InvalidSignatureException")

		anonymous := once(w.Client("test"))
		anonymous.Credentials = sdk.AnonymousCredentials{}
		_, err = awsec2.NewFromConfig(anonymous).DescribeInstances(t.Context(), nil)
		wantCode(t, err, "MissingAuthenticationToken")

		elsewhere := once(w.Client("test"))
		elsewhere.Region = "us-east-1"
		_, err = awsec2.NewFromConfig(elsewhere).DescribeInstances(t.Context(), nil)
		wantCode(t, err, "SignatureDoesNotMatch")
	})
}
