package main

import (
	"context"
	"encoding/json"
	"fmt"
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
	"github.com/quiesce/quiesce/shared/plugin"
	"github.com/quiesce/quiesce/shared/policy"
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

// What aliyun.md says to type is taken, and what it says of the plug-in's exit
// codes is what is made of them.
func TestAliyunPage(t *testing.T) {
	text := page(t, "aliyun.md")
	inputs := regexp.MustCompile("(?s)```json\n(.*?)```|--Input '(.*?)'").FindAllStringSubmatch(text, -1)
	if len(inputs) != 2 {
		t.Fatalf("found %d inputs", len(inputs))
	}
	for _, m := range inputs {
		in := precheck.Input{Run: run.Run{ID: "by-hand"}}
		err := step.Decode([]byte(m[1]+m[2]), &in.Request)
		if err == nil {
			err = precheck.Check(in)
		}
		if err != nil {
			t.Errorf("%s: %v", m[1]+m[2], err)
		}
	}
	policies := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(policies) != 1 {
		t.Fatalf("found %d policies", len(policies))
	}
	if _, err := policy.Read("aliyun.md", []byte(policies[0][1])); err != nil {
		t.Error(err)
	}
	for code, exit := range plugin.Exits {
		row := regexp.MustCompile(fmt.Sprintf(`(?m)^\| %d \| (.*)$`, code)).FindStringSubmatch(text)
		if row == nil {
			t.Errorf("no row tells of the exit code %d", code)
			continue
		}
		if exit.Code != "" && !strings.Contains(row[1], "`"+string(exit.Code)+"`") {
			t.Errorf("%d is %s, the page says %s", code, exit.Code, row[1])
		}
		if again := !strings.Contains(row[1], "| no |"); exit.Code != "" && again != (exit.Tries > 0) {
			t.Errorf("%d is sent again %d times, the page says %s", code, exit.Tries, row[1])
		}
		if dirty := strings.Contains(row[1], "FailedDirty"); dirty != exit.Dirty {
			t.Errorf("%d is dirty: %t, the page says %s", code, exit.Dirty, row[1])
		}
	}
}
