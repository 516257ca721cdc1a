package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/functions/thaw"
	cloud "github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/bus"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/aws/emf"
	"github.com/quiesce/quiesce/local/aws/ssm"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/local/windows"
	port "github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/vss"
	"github.com/quiesce/quiesce/workflow"
)

// Names in the emulated account.
const (
	machineName = "quiesce-snapshot"
	document    = "Quiesce-Helper"
	shadows     = "Quiesce-Shadow"
	reverts     = "Quiesce-Revert"
	bucket      = "quiesce-assets"
	busName     = "default"
	rootVolume  = "vol-0root000000000000"
	instanceID  = "i-0123456789abcdef0"
	rootDevice  = "/dev/xvda"
	gibibyte    = 1 << 30
)

// account is the emulated cloud with the workflow deployed in it, reached as a
// real one is: over its wire protocols, by SDK clients.
type account struct {
	cloud    *cloud.Cloud
	engine   *engine.Engine
	host     *runtimeapi.Host
	lambda   runtimeapi.Invoker // the host, with the planned faults around it
	metrics  emf.Capture
	janitors atomic.Int32 // how often the janitor has thawed
	faults   *fault.Plan
	windows  bool             // the instance is to be a simulated Windows
	played   *windows.Machine // it, once it is rented
	endpoint string
	machine  string       // the state machine's ARN
	restorer string       // the ARN of the restore's
	verifier string       // and of the restore test's
	cleaners atomic.Int32 // how often the janitor has cleaned up after a restore test
	halted   func()       // what becomes of the machine when its instance is stopped; nil for nothing
	sfn      *sfn.Client
	ec2      *awsec2.Client
	stop     context.CancelFunc
	served   chan error
}

// openAccount deploys everything into a new account on loopback.
func openAccount(ctx context.Context, o Options, s stage, b binaries) (*account, error) {
	faults, err := fault.New(o.Faults...)
	if err != nil {
		return nil, err
	}
	for kind, do := range s.hooks() {
		faults.On(kind, do)
	}
	a := &account{faults: faults, windows: policy.Mode(o.Mode).Windows(), engine: engine.New(engine.Config{}), served: make(chan error, 1)}
	a.cloud = cloud.New(cloud.Config{
		Seed: uint64(time.Now().UnixNano()), Disks: s.disks(), Engine: a.engine, Faults: faults, Latency: o.Latency,
		EC2: ec2.Config{Completion: o.Completion, Provision: -1, Attaching: -1, Turning: -1, Stopped: a.halt},
		SSM: ssm.Config{Dispatch: orNone(o.AgentLatency), Report: ReportLatency},
		Bus: bus.Config{},
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stop, a.endpoint = stop, "http://"+listener.Addr().String()
	go func() { a.served <- a.cloud.Serve(serving, listener) }()
	if err := a.deploy(ctx, s, b); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// deploy does what the stack does in an account: the helper into the bucket,
// the document, the functions, the state machine, the rules.
func (a *account) deploy(ctx context.Context, s stage, b binaries) error {
	helper, err := os.ReadFile(b.helper)
	if err != nil {
		return err
	}
	cfg := a.cloud.Client("operator")
	a.sfn, a.ec2 = sfn.NewFromConfig(cfg), awsec2.NewFromConfig(cfg)
	sum := checksum(helper)
	key := "helper/" + sum + "/quiesce-guest"
	a.cloud.S3.Put(bucket, "README", []byte("the helper, by its checksum"))
	store := awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.UsePathStyle = true; o.BaseEndpoint = aws.String(a.endpoint) })
	if _, err := store.PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader(helper)}); err != nil {
		return fmt.Errorf("put the helper into the bucket: %w", err)
	}
	if err := a.register(); err != nil {
		return err
	}
	arch := strings.ToUpper(s.machine().Arch())
	deployed := map[string]runtimeapi.Function{}
	for _, name := range functions.Names {
		deployed[name] = runtimeapi.Function{Timeout: functions.Timeouts[name], Environment: append(a.cloud.Environment(name, a.endpoint),
			"QUIESCE_DOCUMENT="+document, "QUIESCE_DOCUMENT_HASH="+checksum([]byte(awscloud.Document())),
			"QUIESCE_SHADOW_DOCUMENT="+shadows, "QUIESCE_SHADOW_DOCUMENT_HASH="+checksum([]byte(awscloud.ShadowDocument())),
			"QUIESCE_BUS="+busName, "QUIESCE_ASSET_BUCKET="+bucket, "QUIESCE_MACHINES="+a.engine.MachineARN(machineName),
			"QUIESCE_HELPER_KEY_"+arch+"="+key, "QUIESCE_HELPER_SHA256_"+arch+"="+sum,
		)}
	}
	a.host = runtimeapi.New(runtimeapi.Config{Binary: b.functions, Functions: deployed, Log: a.metrics.Line})
	a.lambda = a.faults.Around(a.host)
	m, err := workflow.Machine(busName, a.cloud.FunctionARN)
	if err != nil {
		return fmt.Errorf("the definition: %w", err)
	}
	a.machine = a.engine.Deploy(machineName, []byte(workflow.Snapshot()), m, a.cloud.Tasks(a.lambda))
	if err := errors.Join(a.deployRestore(), a.deployVerify()); err != nil {
		return err
	}
	a.faults.On(fault.StopExecution, func(context.Context) {
		for _, machine := range []string{machineName, verifierName} {
			running, _ := a.engine.List(machine, engine.Running)
			for _, e := range running {
				_, _ = a.engine.Stop(e.ARN, "StopExecution", "planned") // over already: nothing to stop
			}
		}
	})
	return a.listen()
}

// register puts the documents into the account: the deployment's own, and a
// stand-in for the one that AWS has in every account.
func (a *account) register() error {
	for name, text := range map[string]string{document: awscloud.Document(), shadows: awscloud.ShadowDocument(), reverts: awscloud.RevertDocument(), vss.Document: windows.Document} {
		if err := a.cloud.SSM.RegisterDocument(name, []byte(text)); err != nil {
			return fmt.Errorf("register the document %s: %w", name, err)
		}
	}
	return nil
}

// listen adds the rules by which events start functions.
func (a *account) listen() error {
	return errors.Join(
		a.cloud.Janitor("janitor", a.machine, a.sweep),
		a.cloud.Ended("restores", a.restorer, []string{"FailedClean", "FailedDirty"}, a.unreported),
		a.cloud.Listen("completion", awscloud.Completion(), a.wake),
	)
}

// wake hands the event over as it is.
func (a *account) wake(ctx context.Context, e bus.Event) error {
	payload, err := json.Marshal(e)
	if err == nil {
		_, err = a.lambda.Invoke(ctx, "wake", payload)
	}
	return err
}

// sweep is the janitor: thaw, started with what the execution was started with.
func (a *account) sweep(ctx context.Context, stopped cloud.Stopped) error {
	payload, err := json.Marshal(map[string]any{
		"run":     run.Run{ID: stopped.RunID},
		"request": json.RawMessage(stopped.Input),
		"ended":   thaw.Ended{Status: stopped.Status, Error: stopped.Error},
		"plan":    nil,
	})
	if err != nil {
		return err
	}
	_, err = a.lambda.Invoke(ctx, "thaw", payload)
	if err == nil {
		a.janitors.Add(1)
	}
	return err
}

// volumeBytes is the size of each data volume; sparse, so that it costs what is
// written.
const volumeBytes = gibibyte

// rent puts the machine with its volumes into the account. A data volume is
// attached under the name that the kernel gave its device, as on a machine
// whose disks report no serial number. The boot volume stands for the host's
// own, and a snapshot of it would hold nothing.
func (a *account) rent(ctx context.Context, s stage, n int) ([]member, error) {
	volumes := []ec2.Volume{{ID: rootVolume, Device: rootDevice, Bytes: 8 * gibibyte, Hollow: true}}
	members := make([]member, n)
	for i := range members {
		id := fmt.Sprintf("vol-0%016x", 0xda7a0000+i)
		if err := s.disks().Create(ctx, id, volumeBytes, ""); err != nil {
			return nil, err
		}
		device, err := s.disks().Attach(ctx, id)
		if err != nil {
			return nil, err
		}
		members[i] = member{id, device}
		volumes = append(volumes, ec2.Volume{ID: id, Device: device, Bytes: volumeBytes, Made: true, Path: device})
	}
	machine := ec2.Instance{ID: instanceID, RootDevice: rootDevice, Tags: map[string]string{port.TagOptIn: "true"}}
	var agent instance.Machine = naming{s.machine(), a.cloud.EC2.Path}
	if a.windows {
		machine.Platform, machine.Profile = "windows", windows.Profile
		a.played = a.asWindows(s)
		agent = a.played
	}
	_, err := a.cloud.Rent(ctx, machine, agent, volumes...)
	return members, err
}

func (a *account) close() {
	if a.host != nil {
		a.host.Close()
	}
	a.cloud.Close()
	a.engine.Close()
	a.stop()
	<-a.served
}
