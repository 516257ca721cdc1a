package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"go/ast"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/bus"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/aws/emf"
	"github.com/quiesce/quiesce/local/aws/ssm"
	"github.com/quiesce/quiesce/local/engine"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/local/sim"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/workflow"
)

var update = flag.Bool("update", false, "write measured.json; `go run ./docs/generate` writes the pages")

const root = "../.."

func TestPagesAreFresh(t *testing.T) {
	pages, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range pages {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is stale: go run ./docs/generate", path)
		}
	}
}

var (
	link   = regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`)
	titled = regexp.MustCompile(`(?m)^#+ (.*)$`)
	plain  = regexp.MustCompile(`[^a-z0-9 _-]+`)
)

// A link leads to a file that is there, and to a title that is in it.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			to, anchor := page, strings.TrimPrefix(m[2], "#")
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(page), m[1])
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if anchor == "" {
				continue
			}
			target, err := os.ReadFile(to)
			if err != nil {
				t.Errorf("%s: %v", page, err)
			}
			found := false
			for _, title := range titled.FindAllStringSubmatch(string(target), -1) {
				found = found || strings.ReplaceAll(plain.ReplaceAllString(strings.ToLower(title[1]), ""), " ", "-") == anchor
			}
			if !found {
				t.Errorf("%s: %s has no title #%s", page, to, anchor)
			}
		}
	}
}

// latencies are those with which the real runs of README.md were measured.
var latencies = map[string]time.Duration{"ec2": 800 * time.Millisecond, "ssm-dispatch": 400 * time.Millisecond}

const (
	runID    = "nightly-i-0abc12345678def90-20261102T0200Z"
	instance = "i-0abc12345678def90"
	request  = `{"instanceId":"` + instance + `","policy":{"name":"nightly","application":{"kind":"script",` +
		`"preScript":"/opt/quiesce/pre.sh","postScript":"/opt/quiesce/post.sh"}}}`
)

// TestCost counts what one run uses, and compares.
func TestCost(t *testing.T) {
	var want, got measured
	synctest.Test(t, func(t *testing.T) { got = measure(t) })
	path := "measured.json"
	if *update {
		text, err := json.MarshalIndent(got, "", "  ")
		if err == nil {
			err = os.WriteFile(path, append(text, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := readJSON(path, &want); err != nil {
		t.Fatal(err)
	}
	// Times on the wall are a few bytes longer or shorter.
	near(t, "the functions' log", &got.LogBytes, &want.LogBytes)
	near(t, "the history", &got.History, &want.History)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("a run uses other than the page says: go test ./docs/generate -update\ngot  %+v\nwant %+v", got, want)
	}
}

func near(t *testing.T, what string, got, want *int) {
	if math.Abs(float64(*got-*want)) > 0.02*float64(*want) {
		t.Errorf("%s has %d bytes, the page says %d", what, *got, *want)
	}
	*got = *want
}

// measure takes one set of one volume with both scripts.
func measure(t *testing.T) (m measured) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	machines, capture, disks := engine.New(engine.Config{}), &emf.Capture{}, sim.New(sim.Config{})
	account := aws.New(aws.Config{
		Disks: disks, Engine: machines, EC2: ec2.Config{Completion: time.Minute, Provision: -1},
		Latency: map[string]time.Duration{"ec2": latencies["ec2"], "CreateSnapshots": latencies["ec2"]},
		SSM:     ssm.Config{Dispatch: latencies["ssm-dispatch"]},
	})
	defer func() { account.Close(); machines.Close(); must(disks.Close()) }()
	for _, stage := range []string{"pre", "post"} {
		disks.Script("/opt/quiesce/"+stage+".sh", func(context.Context, session.Script) error { return nil })
	}
	helper := []byte("the helper")
	sum := sha256.Sum256(helper)
	account.S3.Put("assets", "helper", helper)
	must(account.SSM.RegisterDocument("quiesce-helper", []byte(awscloud.Document())))
	var size sync.Mutex
	handlers := map[string]runtimeapi.Handler{}
	for _, name := range functions.Names {
		handlers[name] = runtimeapi.Handler(functions.Table(functions.Deps{
			Metrics: writer(func(line []byte) {
				size.Lock()
				defer size.Unlock()
				m.LogBytes += len(line)
				capture.Line(name, bytes.TrimSpace(line))
			}),
			Cloud: awscloud.New(account.Client(name), awscloud.Options{
				AssetBucket: "assets", Document: "quiesce-helper",
				Helpers: map[string]awscloud.Helper{"amd64": {Key: "helper", SHA256: hex.EncodeToString(sum[:])}},
			}),
		})[name])
	}
	local := &runtimeapi.Local{Handlers: handlers, Timeouts: functions.Timeouts}
	definition, err := workflow.Machine("default", account.FunctionARN)
	must(err)
	machines.Deploy("quiesce-snapshot", []byte(workflow.Snapshot()), definition, account.Tasks(local))
	must(account.Listen("completion", awscloud.Completion(), func(ctx context.Context, e bus.Event) error {
		payload, err := json.Marshal(e)
		if err == nil {
			_, err = local.Invoke(ctx, "wake", payload)
		}
		return err
	}))
	must(disks.Create(t.Context(), "vol-0da7a000000000001", 1<<30, ""))
	device, err := disks.Attach(t.Context(), "vol-0da7a000000000001")
	must(err)
	_, err = account.Rent(t.Context(), ec2.Instance{ID: instance, RootDevice: "/dev/xvda", Tags: map[string]string{cloud.TagOptIn: "true"}}, disks,
		ec2.Volume{ID: "vol-0b007000000000001", Device: "/dev/xvda", Bytes: 8 << 30, Hollow: true},
		ec2.Volume{ID: "vol-0da7a000000000001", Device: device, Bytes: 1 << 30, Made: true, Path: device})
	must(err)
	must(disks.Format(t.Context(), device, "ext4"))
	must(disks.Mount(device, "/data"))

	x, err := machines.Start("quiesce-snapshot", runID, json.RawMessage(request))
	must(err)
	x, err = machines.Wait(t.Context(), x.ARN)
	if err != nil || x.Status != engine.Succeeded || !strings.Contains(string(x.Output), `"completed"`) {
		t.Fatalf("%s %s %s, %v: %s", x.Status, x.Error, x.Cause, err, x.Output)
	}
	local.Wait()
	m.Transitions = 1 // to start counts as one
	history, err := machines.History(x.ARN)
	must(err)
	for _, e := range history {
		if strings.HasSuffix(e.Type, "StateEntered") {
			m.Transitions++
		}
		text, err := json.Marshal(e)
		must(err)
		m.History += len(text)
	}
	for _, e := range account.Bus.Events() {
		if e.Source == events.Source {
			m.Events++
		}
		if e.DetailType == events.TypeCompleted {
			var outcome events.Outcome
			must(json.Unmarshal(e.Detail, &outcome))
			m.Snapshots = len(outcome.SnapshotIDs)
		}
	}
	distinct := map[string]bool{}
	for _, v := range capture.Metrics() {
		distinct[v.Name+" of "+v.Dimensions["policy"]+", "+v.Dimensions["step"]] = true
	}
	m.Metrics = len(distinct)
	for _, r := range local.Invocations() {
		i := slices.IndexFunc(m.Calls, func(c call) bool { return c.Function == r.Function })
		if i < 0 {
			i = len(m.Calls)
			m.Calls = append(m.Calls, call{Function: r.Function, MiB: memory(t, r.Function)})
		}
		m.Calls[i].Times++
		m.Calls[i].Ms += int(math.Ceil(float64(r.Duration.Microseconds()) / 1000))
	}
	slices.SortFunc(m.Calls, func(a, b call) int {
		return cmp.Compare(slices.Index(functions.Names, a.Function), slices.Index(functions.Names, b.Function))
	})
	m.Latencies = map[string]string{}
	for name, d := range latencies {
		m.Latencies[name] = d.String()
	}
	return m
}

type writer func(line []byte)

func (w writer) Write(line []byte) (int, error) { w(line); return len(line), nil }

// memory is what the stack gives a function.
func memory(t *testing.T, function string) (n int) {
	files, err := parse(filepath.Join(root, "infra", "aws"))
	if err != nil {
		t.Fatal(err)
	}
	text := mapOf(files, "memory")[function]
	each(files, func(n ast.Node) {
		if spec, ok := n.(*ast.ValueSpec); ok && text == "" && spec.Names[0].Name == "usualMemory" {
			text = spec.Values[0].(*ast.BasicLit).Value
		}
	})
	if n, err = strconv.Atoi(text); err != nil {
		t.Fatal(err)
	}
	return n
}
