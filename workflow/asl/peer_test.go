package asl_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "record what the other interpreter answers today, and ours where they differ")

const recordedFile = "testdata/peer/recorded.json"

// recorded is what both interpreters made of a case.
type recorded struct {
	Case string          `json:"case"`
	Peer json.RawMessage `json:"peer"`
	Ours json.RawMessage `json:"ours,omitempty"` // where they differ
}

// TestPeer holds our interpreter to one that knows nothing of it: every case
// ends alike in both, by the same states, calls and seconds, or says why not.
// A reason for a difference that is gone fails as well.
func TestPeer(t *testing.T) {
	cases := load(t)
	if least := 150; len(cases) < least {
		t.Fatalf("got %d cases, want at least %d", len(cases), least)
	}
	if *update {
		record(t, cases)
	}
	past := recording(t)
	if len(past) != len(cases) {
		t.Errorf("%s has %d cases, the tables have %d: go test -run TestPeer -update", recordedFile, len(past), len(cases))
	}
	t.Run("the recording holds", func(t *testing.T) {
		for i, fresh := range peers(t, cases) {
			if was := past[cases[i].Name]; fresh != string(was.Peer) {
				t.Errorf("%s: the other interpreter answers\n%s, recorded is\n%s", cases[i].Name, fresh, was.Peer)
			}
		}
	})
	differ := 0
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			was, ok := past[c.Name]
			if !ok {
				t.Fatalf("not recorded: go test -run TestPeer -update")
			}
			got, peer := c.ours(t), string(was.Peer)
			switch {
			case got != peer && c.Because == "":
				t.Errorf("got  %s\npeer %s\nand no reason is given", got, peer)
			case got == peer && c.Because != "":
				t.Errorf("both answer %s: the reason %q is past", got, c.Because)
			case got != peer && got != string(was.Ours):
				t.Errorf("got  %s\nwant %s\npeer %s", got, was.Ours, peer)
			}
			if c.Because != "" {
				differ++
			}
		})
	}
	t.Logf("%d cases, %d differ for a reason", len(cases), differ)
}

func recording(t *testing.T) map[string]recorded {
	t.Helper()
	data, err := os.ReadFile(recordedFile)
	if err != nil {
		t.Fatal(err)
	}
	past := map[string]recorded{}
	for line := range bytes.Lines(data) {
		var r recorded
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%s: %v", recordedFile, err)
		}
		past[r.Case] = r
	}
	return past
}

func record(t *testing.T, cases []*scenario) {
	t.Helper()
	var out bytes.Buffer
	for i, peer := range peers(t, cases) {
		r := recorded{Case: cases[i].Name, Peer: json.RawMessage(peer)}
		if ours := cases[i].ours(t); ours != peer {
			r.Ours = json.RawMessage(ours)
		}
		out.WriteString(canonical(r) + "\n")
	}
	if err := os.WriteFile(recordedFile, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// peers has the other interpreter run every case.
func peers(t *testing.T, cases []*scenario) []string {
	t.Helper()
	if _, err := os.Stat(filepath.FromSlash("../../node_modules/aws-local-stepfunctions")); err != nil {
		t.Skip("the other interpreter is not installed: npm ci --ignore-scripts")
	}
	in, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "testdata/peer/peer.mjs")
	cmd.Stdin = bytes.NewReader(in)
	var trouble bytes.Buffer
	cmd.Stderr = &trouble
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, &trouble)
	}
	var answers []*outcome
	if err := json.Unmarshal(out, &answers); err != nil {
		t.Fatal(err)
	}
	if len(answers) != len(cases) {
		t.Fatalf("got %d answers to %d cases", len(answers), len(cases))
	}
	texts := make([]string, len(answers))
	for i, o := range answers {
		texts[i] = o.text(cases[i])
	}
	return texts
}
