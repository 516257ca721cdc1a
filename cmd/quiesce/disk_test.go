package main

import (
	"bytes"
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/aliyun"
	"github.com/quiesce/quiesce/local/aliyun/ecs"
	"github.com/quiesce/quiesce/local/instance"
)

// diskLine runs one command line against an emulated account.
func diskLine(t *testing.T, server *httptest.Server, account *aliyun.Cloud, args ...string) (code int, out, errs string) {
	t.Helper()
	keys := account.Keys("operator")
	for name, value := range map[string]string{
		"ALIBABA_CLOUD_REGION_ID": account.Region(), "ALIBABA_CLOUD_ACCESS_KEY_ID": keys.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": keys.Secret,
		"ALIBABA_CLOUD_SECURITY_TOKEN": keys.Token, "QUIESCE_ENDPOINT": server.URL,
	} {
		t.Setenv(name, value)
	}
	var stdout, stderr bytes.Buffer
	code = Run(t.Context(), append([]string{"disk"}, args...), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestDisk(t *testing.T) {
	const vm, data, system = "i-bp1aaaaaaaaaaaaaaa01", "d-bp1aaaaaaaaaaaaaaa02", "d-bp1aaaaaaaaaaaaaaa01"
	account := aliyun.New(aliyun.Config{
		Disks: hollow{}, Latency: map[string]time.Duration{"*": 0, "ecs": 0},
		ECS: ecs.Config{Completion: time.Millisecond, Visible: -1, Turn: -1, Provision: -1},
	})
	defer account.Close()
	if _, err := account.Rent(t.Context(), ecs.Instance{ID: vm}, shell{}, ecs.Disk{ID: system, System: true}, ecs.Disk{ID: data}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(account)
	defer server.Close()
	want := func(code int, says string, args ...string) string {
		t.Helper()
		got, out, errs := diskLine(t, server, account, args...)
		if got != code || !strings.Contains(out+errs, says) {
			t.Errorf("%s: got %d with %q and %q, want %d with %q", strings.Join(args, " "), got, out, errs, code, says)
		}
		return strings.TrimSpace(out)
	}
	id := want(exitDone, "crash-consistent", "snapshot", data, "--name", "before", "--retention-days", "7", "--tag", "owner=me")
	boot := want(exitDone, "s-", "snapshot", system)
	for give := time.Now().Add(10 * time.Second); time.Now().Before(give); { // a millisecond of the machine's own time
		if _, out, _ := diskLine(t, server, account, "list", "--status", "accomplished"); strings.Contains(out, id) && strings.Contains(out, boot) {
			break
		}
	}
	want(exitDone, "7 days", "list", "--disk", data, "--tag", "owner=me")
	want(exitUsage, "retention-days", "snapshot", data, "--retention-days", "70000")

	policy := want(exitDone, "no disk follows it yet", "policy", "create", "--name", "nightly", "--at", "2,14", "--retention-days", "30")
	want(exitUsage, "at: wants 0-23", "policy", "create", "--name", "nightly", "--at", "24", "--retention-days", "30")
	want(exitDone, "1 disks follow", "policy", "apply", policy, data)
	want(exitDone, "2 14", "policy", "show", policy)

	want(exitLess, "is Running: stop it first", "rollback", data, id)
	account.ECS.Change(vm, func(i *ecs.Instance) { i.State = "Stopped" })
	want(exitDone, "would snapshot", "rollback", data, id, "--dry-run")
	want(exitUsage, "confirm: wants the disk's id", "rollback", data, id)
	want(exitDone, "to undo, stop it and set the disk back", "rollback", data, id, "--confirm", data)

	want(exitDone, "wait until it is Available", "image", boot, id, "--name", "golden")
	want(exitUsage, "wants the snapshot of a system disk", "image", id, "--name", "golden2")
}

type shell struct{}

func (shell) Arch() string                                              { return "amd64" }
func (shell) Execute(context.Context, instance.Command) instance.Result { return instance.Result{} }

// hollow is a storage that holds nothing.
type hollow struct{}

func (hollow) Create(context.Context, string, int64, string) error { return nil }
func (hollow) Attach(context.Context, string) (string, error)      { return "/dev/x", nil }
func (hollow) Detach(context.Context, string) error                { return nil }
func (hollow) Delete(context.Context, string) error                { return nil }
func (hollow) Snapshot(context.Context, map[string]string) error   { return nil }
func (hollow) DeleteSnapshot(context.Context, string) error        { return nil }
func (hollow) Close() error                                        { return nil }
