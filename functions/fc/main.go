// Command fc is every function of Quiesce on Alibaba Cloud's Function Compute
// in one binary, so that the steps of a deployment cannot be of different
// versions.
//
//	QUIESCE_STEP                 precheck, run-prescript, freeze, snapshot, thaw, poll-status, await, tag,
//	                             start-plugin, watch-plugin, restore-plan, restore-create, restore-move,
//	                             restore-recover, restore-power, restore-settle, restore-report, verify-choose,
//	                             verify-mark, verify-recover, verify-clean, verify-report, wake, prune or sweep;
//	                             empty: the configured handler's name
//	QUIESCE_BUS                  name of the event bus; empty: the account's default bus
//	QUIESCE_FLOW                 the snapshot's flow, whose stopped executions sweep looks for
//	QUIESCE_JANITOR              the flow that it starts after one
//	QUIESCE_VERIFIER             the flow of restore tests, whose stopped executions verify-clean looks for
//	QUIESCE_ASSET_BUCKET         the bucket that holds the helper
//	QUIESCE_TOKEN_BUCKET         the bucket of those who wait for a set; empty: the asset bucket
//	QUIESCE_HELPER_KEY_AMD64     the helper's key there, for each architecture
//	QUIESCE_HELPER_KEY_ARM64
//	QUIESCE_HELPER_SHA256_AMD64  and its SHA-256 in hex
//	QUIESCE_HELPER_SHA256_ARM64
//	QUIESCE_ENDPOINT             replaces every service's own address; for a laptop
//
// Region, account and credentials are those of the invocation: nothing of them
// is kept, and several invocations may run in one process at once.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/aliyun/fc-runtime-go-sdk/fc"
	"github.com/aliyun/fc-runtime-go-sdk/fc/messages"
	"github.com/aliyun/fc-runtime-go-sdk/fccontext"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/functions/edge"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/step"
)

func main() {
	s, err := newServer(os.Getenv, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "quiesce:", err)
		os.Exit(1)
	}
	fc.RegisterPreFreezeFunction(s.settle)
	fc.RegisterPreStopFunction(s.settle)
	fc.Start(s.serve)
}

// server makes the steps of a Region when it is first asked for one: which it
// is stands in the invocation.
type server struct {
	getenv func(string) string
	log    io.Writer

	mu     sync.Mutex
	tables map[place]map[string]step.Handler
	meters map[place]*alicloud.Meter
}

type place struct{ region, account string }

func newServer(getenv func(string) string, log io.Writer) (*server, error) {
	if name := getenv("QUIESCE_STEP"); name != "" && !slices.Contains(functions.FlowNames, name) {
		return nil, unknown("QUIESCE_STEP", name)
	}
	return &server{getenv: getenv, log: log, tables: map[place]map[string]step.Handler{}, meters: map[place]*alicloud.Meter{}}, nil
}

func unknown(field, name string) error {
	return fault.Input(field, "names no step: %q; it must be one of %s", name, strings.Join(functions.FlowNames, ", "))
}

// serve is the handler: it may be called again before it has returned.
func (s *server) serve(ctx context.Context, payload []byte) (json.RawMessage, error) {
	call, ok := fccontext.FromContext(ctx)
	if !ok {
		return refuse(fault.New(fault.Internal, "the invocation has no context"))
	}
	field, name := "QUIESCE_STEP", s.getenv("QUIESCE_STEP")
	if name == "" {
		field, name = "handler", call.Function.Handler
	}
	if !slices.Contains(functions.FlowNames, name) {
		return refuse(unknown(field, name))
	}
	return invoke(ctx, edge.Flow(name, s.table(place{call.Region, call.AccountId})[name], s.settle), payload)
}

func refuse(err error) (json.RawMessage, error) {
	return invoke(context.Background(), edge.Flow("", func(context.Context, json.RawMessage) (json.RawMessage, error) { return nil, err }, nil), nil)
}

// invoke names the error's type itself: the runtime's library would take the
// name of the Go type, which no Errors of a flow matches.
func invoke(ctx context.Context, e edge.Edge, payload []byte) (json.RawMessage, error) {
	out, failed := e.Invoke(ctx, payload)
	if failed != nil {
		return nil, messages.InvokeResponse_Error{Type: failed.Type, Message: failed.Message}
	}
	return out, nil
}

func (s *server) table(at place) map[string]step.Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tables[at] == nil {
		cfg := alicloud.Config{Region: at.region, Account: at.account, Credentials: keys}
		if url := s.getenv("QUIESCE_ENDPOINT"); url != "" {
			cfg.Endpoints = map[string]string{"*": url}
		}
		provider := alicloud.New(cfg, options(s.getenv))
		s.meters[at] = provider.Meter()
		s.tables[at] = functions.Table(functions.Deps{Cloud: provider, Keeper: provider, Metrics: io.MultiWriter(s.log, s.meters[at])})
	}
	return s.tables[at]
}

// settle puts the metrics that have gathered: of a step in the window when the
// process is put to sleep or ended, of any other before it answers. What cannot
// be put stands in the log.
func (s *server) settle(ctx context.Context) {
	s.mu.Lock()
	meters := slices.Collect(maps.Values(s.meters))
	s.mu.Unlock()
	for _, m := range meters {
		if err := m.Flush(ctx); err != nil {
			slog.Error("metrics not put", "error", err)
		}
	}
}

// keys are those of the invocation that asks.
func keys(ctx context.Context) (alicloud.Keys, error) {
	call, ok := fccontext.FromContext(ctx)
	if !ok || call.Credentials.AccessKeyId == "" {
		return alicloud.Keys{}, fault.New(fault.AccessDenied, "the function has no role: its invocation carries no credentials")
	}
	c := call.Credentials
	return alicloud.Keys{ID: c.AccessKeyId, Secret: c.AccessKeySecret, Token: c.SecurityToken}, nil
}

func options(getenv func(string) string) alicloud.Options {
	return alicloud.Options{
		AssetBucket: getenv("QUIESCE_ASSET_BUCKET"),
		TokenBucket: getenv("QUIESCE_TOKEN_BUCKET"),
		Helpers: map[string]alicloud.Helper{
			"amd64": {Key: getenv("QUIESCE_HELPER_KEY_AMD64"), SHA256: getenv("QUIESCE_HELPER_SHA256_AMD64")},
			"arm64": {Key: getenv("QUIESCE_HELPER_KEY_ARM64"), SHA256: getenv("QUIESCE_HELPER_SHA256_ARM64")},
		},
		Bus:      getenv("QUIESCE_BUS"),
		Flow:     getenv("QUIESCE_FLOW"),
		Janitor:  getenv("QUIESCE_JANITOR"),
		Verifier: getenv("QUIESCE_VERIFIER"),

		Restorer:       getenv("QUIESCE_RESTORER"),
		RestoreJanitor: getenv("QUIESCE_RESTORE_JANITOR"),
	}
}
