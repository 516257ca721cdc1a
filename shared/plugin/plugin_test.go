package plugin

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

func TestDecode(t *testing.T) {
	const said = `[snapshotgroup="ssg-bp1aaa"][message="Finish whole Processes of Snapshot successfully"]`
	for given, want := range map[string]string{
		said: said,
		base64.StdEncoding.EncodeToString([]byte(said)):        said,
		base64.StdEncoding.EncodeToString([]byte(said)) + "\n": said,
		"":                  "",
		"not base64 at all": "not base64 at all",
		"/wD/":              "/wD/", // Base64 of what is no text
	} {
		if got := Decode(given); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
	id, message := Group(`[snapshotgroup="ssg-old"] noise [message="a"]` + "\n" + said)
	if id != "ssg-bp1aaa" || !strings.HasPrefix(message, "Finish") {
		t.Errorf("got %q, %q", id, message)
	}
	if id, message := Group("nothing of this"); id != "" || message != "" {
		t.Errorf("got %q, %q of nothing", id, message)
	}
}

func TestLabel(t *testing.T) {
	for key, want := range map[string][2]bool{
		"AppConsistent": {true, false}, "APPConsistent": {true, false}, "appconsistent": {true, false},
		"FsConsistent": {false, true}, "FSConsistent": {false, true}, "Consistent": {false, false},
	} {
		if app, fs := Label(map[string]string{key: "True"}); app != want[0] || fs != want[1] {
			t.Errorf("%s: got %t, %t", key, app, fs)
		}
		if app, fs := Label(map[string]string{key: "False"}); app || fs {
			t.Errorf("%s that is False: got %t, %t", key, app, fs)
		}
	}
}

func TestSystem(t *testing.T) {
	for os, runs := range map[string]bool{
		"CentOS  7.6 64 bit": true, "CentOS  7.5 64 bit": false, "CentOS  8.2 64 bit": true,
		"Ubuntu  18.04 64 bit": true, "Ubuntu  16.04 64 bit": false, "Ubuntu  24.04 64 bit": true,
		"Alibaba Cloud Linux  3.2104 LTS 64 bit": true, "Aliyun Linux  2.1903 LTS 64 bit": true, "Alibaba Cloud Linux  4 64 bit": false,
		"Windows Server  2012 R2 Datacenter": true, "Windows Server  2012 Datacenter": false, "Windows Server  2022 Datacenter": true,
		"Windows Server  2025 Datacenter": false, "Windows Server  2008 R2": false, "Debian  12.5 64 bit": false, "": false,
	} {
		if why := System(os); (why == "") != runs {
			t.Errorf("%q: got %q", os, why)
		}
	}
}

// What is sent again comes after a wait that one state of a flow can take, and
// every fault of the table has a next move.
func TestExitsCanBeActedOn(t *testing.T) {
	all := map[string]Exit{}
	for name, e := range refusedBy {
		all[name] = e
	}
	for code, e := range Exits {
		all[string(rune('0'+code%10))+e.Meaning] = e
		if code != 0 && (e.Code == "" || e.Code.NextMove() == "") {
			t.Errorf("%d: nobody knows what to do about %q", code, e.Code)
		}
	}
	for name, e := range all {
		if e.Meaning == "" || e.Tries > 0 && (e.Wait < 1 || e.Wait > 300) {
			t.Errorf("%s: %+v", name, e)
		}
		if e.Tries > 0 && e.Dirty && !e.Inspect {
			t.Errorf("%s is sent again without a look at what it left", name)
		}
	}
	if got := Weigh(cloud.Result{Done: true, Status: "Failed (ExitCodeNonzero)", ExitCode: 99}); got.Code != fault.PluginFailed || !got.Dirty {
		t.Errorf("an undocumented code: got %+v", got)
	}
}

func TestTokensAreOfOneAttempt(t *testing.T) {
	a, b, c := Token("run-1", 0), Token("run-1", 1), Token("run-2", 0)
	if a == b || a == c || a != Token("run-1", 0) || len(a) > 64 {
		t.Errorf("got %s, %s, %s", a, b, c)
	}
	if s := Of(run.Plan{RunID: "run-1"}, false, 2); s.Name != "quiesce-run-1-2" {
		t.Errorf("the third attempt's group is %s", s.Name)
	}
}
