package curate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/functions/curate"
	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/aws/kms"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/run"
)

const (
	day    = 24 * time.Hour
	alive  = "i-0123456789abcdef0"
	home   = "eu-central-1"
	west   = "eu-west-1"
	south  = "eu-south-1"
	nobody = 1 << 30
	theirs = "210987654321"
	key    = "arn:aws:kms:" + west + ":123456789012:key/2"
)

// world is an emulated account of three Regions in which an instance of two data
// volumes is snapshotted, and everything that curate asks of it is watched.
type world struct {
	*aws.Cloud
	t      *testing.T
	plan   *fault.Plan
	owner  *awsec2.Client
	far    *awsec2.Client // in the west
	keeper *awscloud.Provider
	sets   map[string][]string // ids by run

	// From the cutAt-th request on nothing of the function comes through, as if
	// its process had died; of that one alone the effect is there, if lost.
	cutAt, requests int
	lost            bool

	mu    sync.Mutex
	wrong []string
}

func open(t *testing.T, volumes ...ec2.Volume) *world {
	w := &world{t: t, plan: &fault.Plan{}, sets: map[string][]string{}, cutAt: nobody}
	w.Cloud = aws.New(aws.Config{Regions: []string{west, south}, Faults: w.plan, Latency: map[string]time.Duration{"*": 2 * time.Millisecond}})
	t.Cleanup(w.Close)
	w.KMS.AddKey(kms.Key{Region: west, ID: "2"})
	w.EC2.AddInstance(ec2.Instance{ID: alive, RootDevice: "/dev/xvda"})
	if len(volumes) == 0 {
		volumes = []ec2.Volume{{Bytes: 10 << 30}, {Bytes: 10 << 30}}
	}
	for i, v := range volumes {
		v.ID, v.Instance, v.Device, v.Hollow = fmt.Sprintf("vol-0123456789abcdef%d", i), alive, fmt.Sprintf("/dev/sd%c", 'f'+i), true
		_, err := w.EC2.AddVolume(t.Context(), v)
		w.must(err)
	}
	w.owner = awsec2.NewFromConfig(w.Client("owner"))
	there := w.Client("owner")
	there.Region = west
	w.far = awsec2.NewFromConfig(there)
	cfg := w.Client("curate")
	cfg.HTTPClient = &http.Client{Transport: w}
	w.keeper = awscloud.New(cfg, awscloud.Options{})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// take takes a set of the instance, with its verdict, and lets it complete.
func (w *world) take(runID string, with ...string) {
	w.t.Helper()
	tags := map[string]string{
		cloud.TagRun: runID, cloud.TagPolicy: "nightly", cloud.TagInstance: alive, cloud.TagMembers: "2", cloud.TagHold: "hold-" + runID,
		cloud.TagConsistency: string(run.Application), cloud.TagReason: "proved", cloud.TagApp: "True", "team": "db",
	}
	for i := 0; i < len(with); i += 2 {
		tags[with[i]] = with[i+1]
	}
	var list []types.Tag
	for key, value := range tags {
		if value != "" {
			list = append(list, types.Tag{Key: sdk.String(key), Value: sdk.String(value)})
		}
	}
	out, err := w.owner.CreateSnapshots(w.t.Context(), &awsec2.CreateSnapshotsInput{
		InstanceSpecification: &types.InstanceSpecification{InstanceId: sdk.String(alive)},
		TagSpecifications:     []types.TagSpecification{{ResourceType: types.ResourceTypeSnapshot, Tags: list}},
	})
	w.must(err)
	for _, s := range out.Snapshots {
		w.sets[runID] = append(w.sets[runID], sdk.ToString(s.SnapshotId))
	}
	time.Sleep(time.Minute)
}

// document is a policy that does everything, changed as a test wants it.
func document(change func(*policy.Document)) policy.Document {
	d := policy.DefaultDocument()
	d.Name, d.Application.Kind = "nightly", policy.Auto
	if change == nil {
		d.Copies = []policy.Copy{{Region: west, Encrypted: true, KeyARN: key, Retention: policy.Retention{Last: 2}}, {Region: south}}
		d.Lock = policy.Lock{Mode: policy.Governance, Days: 7}
		d.Share = policy.Share{Accounts: []string{theirs}, UnshareAfter: policy.Age{Days: 3}}
		d.FastRestore = policy.FastRestore{Zones: []string{home + "a"}, Count: 1}
		return d
	}
	change(&d)
	return d
}

// curate is one look, by a function that has ten minutes.
func (w *world) curate(d policy.Document) (*curate.Report, error) {
	w.t.Helper()
	return w.within(10*time.Minute, d)
}

// within is one look that has less: in a minute, one round of copies.
func (w *world) within(limit time.Duration, d policy.Document) (*curate.Report, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	in := curate.Input{Run: run.Run{ID: "curation-1"}, Request: curate.Request{Policy: d}}
	if err := in.Check(); err != nil {
		return nil, err
	}
	started := time.Now()
	r, err := curate.Do(ctx, func(name string) cloud.Curator { return w.keeper.In(name) }, w.keeper, nil, in)
	if took := time.Since(started); took > limit {
		w.t.Errorf("it took %s", took)
	}
	return r, err
}

// looks looks so often, a quarter of an hour apart, and returns the last report.
func (w *world) looks(n int, d policy.Document) (r *curate.Report) {
	w.t.Helper()
	for range n {
		var err error
		r, err = w.curate(d)
		w.must(err)
		time.Sleep(15 * time.Minute)
	}
	return r
}

// there are the sets of a Region that are copies, as retention reads them.
func (w *world) there(region string) (sets []retention.Set) {
	w.t.Helper()
	stock, err := awscloud.New(w.Client("owner"), awscloud.Options{}).In(region).Stored(w.t.Context(), "nightly")
	w.must(err)
	for _, s := range retention.Sets(stock.Snapshots) {
		if s.From != "" {
			sets = append(sets, s)
		}
	}
	return sets
}

// good are the runs of which a Region has a copy that can be restored.
func (w *world) good(region string) (runs []string) {
	for _, s := range w.there(region) {
		if s.Good() {
			runs = append(runs, s.RunID)
		}
	}
	return runs
}

// tag is what every member of a set carries.
func (w *world) tag(runID, key string) (value string) {
	w.t.Helper()
	for i, id := range w.sets[runID] {
		if v := w.EC2.Tags(id)[key]; i > 0 && v != value {
			w.t.Errorf("%s: %s is %q on one member and %q on another", runID, key, value, v)
		} else {
			value = v
		}
	}
	return value
}

// held is what speaks against deleting a set.
func (w *world) held(runID string) string {
	held, err := awscloud.New(w.Client("owner"), awscloud.Options{}).Holds(w.t.Context(), w.sets[runID])
	w.must(err)
	return strings.Join(held, "; ")
}

// RoundTrip watches every request of the function.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	w.mu.Lock()
	w.requests++
	n := w.requests
	w.mu.Unlock()
	if n > w.cutAt || n == w.cutAt && !w.lost {
		return nil, errors.New("the process is gone")
	}
	if form, err := url.ParseQuery(string(body)); err == nil {
		w.watch(form)
	}
	answer, err := w.Transport().RoundTrip(r)
	if n == w.cutAt {
		return nil, errors.New("the process is gone")
	}
	return answer, err
}

// watch notes what must never be asked: a verdict on a copy that is not whole,
// and any deletion.
func (w *world) watch(form url.Values) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch form.Get("Action") {
	case "DeleteSnapshot", "UnlockSnapshot", "DeleteTags":
		w.wrong = append(w.wrong, "asks for "+form.Get("Action"))
	case "CopySnapshot":
		for i := 1; form.Has(fmt.Sprintf("TagSpecification.1.Tag.%d.Key", i)); i++ {
			if k := form.Get(fmt.Sprintf("TagSpecification.1.Tag.%d.Key", i)); k == cloud.TagConsistency || k == cloud.TagLocked || k == cloud.TagCopied {
				w.wrong = append(w.wrong, "begins a copy that says "+k)
			}
		}
	}
}

// sound fails for a copy that carries a verdict and is not whole, in any Region.
func (w *world) sound() {
	w.t.Helper()
	for _, region := range []string{west, south} {
		for _, s := range w.there(region) {
			if !s.Spare && s.Judged && (s.Members != 2 || s.State != run.Completed) {
				w.t.Errorf("%s in %s has a verdict and %d members, %s", s.RunID, region, s.Members, s.State)
			}
		}
	}
	for _, complaint := range w.wrong {
		w.t.Error(complaint)
	}
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
