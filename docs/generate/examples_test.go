package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/functions/precheck"
	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/step"
)

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What console.md says to type is taken.
func TestInputs(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(page(t, "console.md"), -1)
	if len(blocks) != 2 {
		t.Fatalf("found %d inputs", len(blocks))
	}
	for _, m := range blocks {
		in := precheck.Input{Run: run.Run{ID: "by-hand"}}
		err := step.Decode([]byte(m[1]), &in.Request)
		if err == nil {
			err = precheck.Check(in)
		}
		if err != nil {
			t.Errorf("%s: %v", m[1], err)
		}
	}
}

// What runbook.md says to the helper is taken.
func TestHelperRequests(t *testing.T) {
	lines := regexp.MustCompile(`echo '(.*?)' \| "\$helper" ([a-z]+)`).FindAllStringSubmatch(page(t, "runbook.md"), -1)
	if len(lines) != 2 {
		t.Fatalf("found %d requests", len(lines))
	}
	for _, m := range lines {
		var req protocol.Request
		err := step.Decode([]byte(m[1]), &req)
		if req.Verb = protocol.Verb(m[2]); err == nil {
			err = session.Check(req)
		}
		if err != nil {
			t.Errorf("%s: %v", m[0], err)
		}
	}
}

// What runbook.md says to the thaw function gets as far as the instance.
func TestThawPayload(t *testing.T) {
	m := regexp.MustCompile(`--payload '(.*?)'`).FindStringSubmatch(page(t, "runbook.md"))
	if m == nil {
		t.Fatal("found no payload")
	}
	asked := &lookedUp{}
	_, err := functions.Table(functions.Deps{Cloud: asked})["thaw"](t.Context(), json.RawMessage(m[1]))
	if fault.CodeOf(err) != fault.InstanceNotFound || !strings.HasPrefix(asked.id, "i-") {
		t.Errorf("looked for %q: %v", asked.id, err)
	}
}

// lookedUp is a cloud without instances.
type lookedUp struct {
	listener
	id string
}

func (l *lookedUp) Instance(_ context.Context, id string) (cloud.Instance, error) {
	l.id = id
	return cloud.Instance{}, fault.New(fault.InstanceNotFound, "%s", id)
}
