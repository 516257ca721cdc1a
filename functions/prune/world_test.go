package prune_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/quiesce/quiesce/functions/prune"
	"github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

const day = 24 * time.Hour

// world is an emulated account in which an instance of two data volumes is
// snapshotted, and everything that prune asks of it is watched.
type world struct {
	*aws.Cloud
	t      *testing.T
	plan   *fault.Plan
	owner  *awsec2.Client
	keeper *awscloud.Provider
	sets   map[string][]string // ids by run, as they were taken
	runs   map[string]string   // and the other way round

	// From the cutAt-th request on nothing of the function comes through, as if
	// its process had died; of that one alone the effect is there, if lost.
	cutAt, requests int
	lost            bool

	mu          sync.Mutex
	untouchable map[string]bool // ids that must not be deleted
	wrong       []string
}

const (
	alive  = "i-0123456789abcdef0"
	gone   = "i-0123456789abcdef9" // was terminated long ago; its sets are still there
	nobody = 1 << 30               // no request is the last
)

func open(t *testing.T) *world {
	w := &world{t: t, plan: &fault.Plan{}, sets: map[string][]string{}, runs: map[string]string{}, cutAt: nobody, untouchable: map[string]bool{}}
	// An account that answers at once: only the function itself keeps the rate down.
	w.Cloud = aws.New(aws.Config{Faults: w.plan, Latency: map[string]time.Duration{"*": 2 * time.Millisecond}})
	t.Cleanup(w.Close)
	w.EC2.AddInstance(ec2.Instance{ID: alive, RootDevice: "/dev/xvda"})
	for i, device := range []string{"/dev/xvda", "/dev/sdf", "/dev/sdg"} {
		_, err := w.EC2.AddVolume(t.Context(), ec2.Volume{ID: fmt.Sprintf("vol-0123456789abcdef%d", i), Instance: alive, Device: device, Bytes: 10 << 30, Hollow: true})
		w.must(err)
	}
	w.owner = awsec2.NewFromConfig(w.Client("owner"))
	cfg := w.Client("prune")
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

// take takes a set of an instance, with its verdict, and lets it complete.
func (w *world) take(runID, instance string, with ...string) {
	w.t.Helper()
	tags := map[string]string{
		cloud.TagRun: runID, cloud.TagPolicy: "nightly", cloud.TagInstance: instance, cloud.TagMembers: "2", cloud.TagConsistency: string(run.Application),
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
		InstanceSpecification: &types.InstanceSpecification{InstanceId: sdk.String(alive), ExcludeBootVolume: sdk.Bool(true)},
		TagSpecifications:     []types.TagSpecification{{ResourceType: types.ResourceTypeSnapshot, Tags: list}},
	})
	w.must(err)
	for _, s := range out.Snapshots {
		id := sdk.ToString(s.SnapshotId)
		w.sets[runID], w.runs[id] = append(w.sets[runID], id), runID
	}
	if slices.Contains(with, failing) {
		w.EC2.FailSnapshots("vol-0123456789abcdef1")
	}
	time.Sleep(time.Minute)
}

// failing is no tag: the set goes to error.
const failing = "failing"

// history is two weeks of an instance that is there, and what is left of one
// that is gone; a set that failed, one nobody judged, one that is locked, and
// one of another policy.
func (w *world) history() {
	w.take("other-1", alive, cloud.TagPolicy, "other")
	w.take("gone-1", gone)
	w.take("gone-2", gone)
	w.take("failed", alive, failing, "")
	w.take("orphan", alive, cloud.TagConsistency, "")
	w.take("locked", alive)
	_, err := w.owner.LockSnapshot(w.t.Context(), &awsec2.LockSnapshotInput{
		SnapshotId: &w.sets["locked"][1], LockMode: types.LockModeGovernance, LockDuration: sdk.Int32(365),
	})
	w.must(err)
	for i := range 6 {
		time.Sleep(day)
		w.take("alive-"+strconv.Itoa(i+1), alive)
	}
	time.Sleep(day)
}

// rule keeps the last two of every instance.
var rule = policy.Retention{Last: 2}

// kept and deleted are what the rule makes of the history.
var (
	kept    = []string{"other-1", "gone-1", "gone-2", "orphan", "locked", "alive-5", "alive-6"}
	deleted = []string{"failed", "alive-1", "alive-2", "alive-3", "alive-4"}
)

func document() policy.Document { return keeping(rule).Policy }

// keeping asks for what a rule makes of the sets.
func keeping(rule policy.Retention) prune.Request {
	d := policy.DefaultDocument()
	d.Name, d.Retention = "nightly", rule
	return prune.Request{Policy: d}
}

// prune is one run of the function, which has a quarter of an hour.
func (w *world) prune(dry bool) (*prune.Report, error) {
	w.t.Helper()
	started := time.Now()
	ctx, cancel := context.WithTimeout(w.t.Context(), 15*time.Minute)
	defer cancel()
	r, err := prune.Do(ctx, w.keeper, w.keeper, nil, prune.Input{Run: run.Run{ID: "retention-1"}, Request: prune.Request{Policy: document(), DryRun: dry}})
	if took := time.Since(started); took > 15*time.Minute {
		w.t.Errorf("it took %s", took)
	}
	return r, err
}

// there are the members of a run that still exist.
func (w *world) there(runID string) (ids []string) {
	for _, id := range w.sets[runID] {
		if w.EC2.Tags(id) != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// guardKept lets no request through that would delete of what is to be kept.
func (w *world) guardKept(runs ...string) {
	for _, runID := range runs {
		for _, id := range w.sets[runID] {
			w.untouchable[id] = true
		}
	}
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
	if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") == "DeleteSnapshot" {
		w.watch(form.Get("SnapshotId"))
	}
	answer, err := w.Transport().RoundTrip(r)
	if n == w.cutAt {
		return nil, errors.New("the process is gone")
	}
	return answer, err
}

// watch notes a deletion that must not be: of what is kept, or of a set that
// is not marked on all that there is of it.
func (w *world) watch(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.untouchable[id] {
		w.wrong = append(w.wrong, "deletes "+id+", which is kept")
	}
	for _, member := range w.there(w.runs[id]) {
		if tags := w.EC2.Tags(member); len(tags) > 0 && tags[cloud.TagDeleting] == "" { // without any it is gone since: another run is at it
			w.wrong = append(w.wrong, "deletes "+id+" while "+member+" of "+w.runs[id]+" is not marked")
		}
	}
}

// sound fails for a set that is half there and looks like a good one.
func (w *world) sound() {
	w.t.Helper()
	for runID, ids := range w.sets {
		left := w.there(runID)
		if len(left) == len(ids) {
			continue
		}
		for _, id := range left {
			if w.EC2.Tags(id)[cloud.TagDeleting] == "" {
				w.t.Errorf("%s has %d of %d members and no mark", runID, len(left), len(ids))
			}
		}
	}
	for _, complaint := range w.wrong {
		w.t.Error(complaint)
	}
}
