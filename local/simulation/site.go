// Package simulation runs whole runs in virtual time and judges them by what
// the simulated world knows: the definition that is deployed, the handlers, SDK
// clients, the helper's state machine, on a machine in memory, under a plan of
// faults. Whatever chance there is comes from a seed, so that a seed is a
// history which can be told again.
package simulation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/quiesce/quiesce/functions"
	cloud "github.com/quiesce/quiesce/local/aws"
	"github.com/quiesce/quiesce/local/aws/ssm"
	"github.com/quiesce/quiesce/local/aws/wire"
	"github.com/quiesce/quiesce/local/runtimeapi"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/workflow"
	"github.com/quiesce/quiesce/workflow/asl"
)

// Names in the emulated account.
const (
	machineName = "quiesce-snapshot"
	document    = "Quiesce-Helper"
	bucket      = "quiesce-assets"
	busName     = "default"
	helper      = "the helper"
	keys        = 1 // the seed of every account's access keys
)

// Site is what is deployed: the definition and the functions with their
// clients. It serves one world after the other, as a function's process serves
// one invocation after the other; two worlds at once need two sites.
type Site struct {
	definition *asl.Machine
	handlers   map[string]runtimeapi.Handler
	operator   *awsec2.Client
	document   *ssm.Document
	signing    wire.Keys
	road       *road
}

// road leads the clients to the account of the world that runs.
type road struct{ to http.RoundTripper }

func (r *road) Do(q *http.Request) (*http.Response, error) { return r.to.RoundTrip(q) }

// Deploy makes a site of the definition that is deployed, which change may
// change first; nil changes nothing.
func Deploy(change func(definition string) string) (*Site, error) {
	template := cloud.New(cloud.Config{Keys: keys})
	defer template.Close()
	s := &Site{handlers: map[string]runtimeapi.Handler{}, road: &road{}}
	for _, name := range functions.Names {
		provider := awscloud.New(s.client(template, name), awscloud.Options{
			AssetBucket: bucket, Helpers: map[string]awscloud.Helper{"amd64": {Key: "helper", SHA256: checksum([]byte(helper))}},
			Bus: busName, Document: document, DocumentHash: checksum([]byte(awscloud.Document())),
		})
		step := functions.Table(functions.Deps{Cloud: provider, Metrics: io.Discard})[name]
		s.handlers[name] = func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
			const margin = 500 * time.Millisecond // as the edge to Lambda keeps it
			deadline, _ := ctx.Deadline()
			ctx, cancel := context.WithDeadline(ctx, deadline.Add(-margin))
			defer cancel()
			return step(ctx, payload)
		}
	}
	s.handlers["janitor"] = s.handlers["thaw"] // the same function, started by an event
	s.operator = awsec2.NewFromConfig(s.client(template, "operator"))
	with := map[string]string{workflow.EventBusName: busName}
	for _, f := range workflow.Functions() {
		with[f.Arn] = template.FunctionARN(f.Step)
	}
	text := workflow.Snapshot()
	if change != nil {
		text = change(text)
	}
	var err, err2 error
	s.definition, err = asl.Parse([]byte(text), with)
	s.document, err2 = ssm.ParseDocument(document, []byte(awscloud.Document()))
	return s, errors.Join(err, err2)
}

func (s *Site) client(c *cloud.Cloud, role string) sdk.Config {
	cfg := c.Client(role)
	cfg.HTTPClient = s.road
	return cfg
}

// timeouts are the functions', the janitor's included.
var timeouts = func() map[string]time.Duration {
	all := maps.Clone(functions.Timeouts)
	all["janitor"] = all["thaw"]
	return all
}()

func checksum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
