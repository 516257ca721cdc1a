package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local"
	"github.com/quiesce/quiesce/shared/cloud/awscloud/history"
	"github.com/quiesce/quiesce/shared/run"
)

// remembered is how many runs of this machine can be shown; older ones go.
const remembered = 50

// runID is what a record's file may be called.
var runID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// records is the folder in which runs of this machine are written down, as
// programs keep what outlives them.
func records() (string, error) {
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "quiesce", "runs"), nil
}

// recorded reads a run of this machine; one that is none is fs.ErrNotExist.
func recorded(id string) (*shown, error) {
	folder, err := records()
	if err != nil || !runID.MatchString(id) {
		return nil, fs.ErrNotExist
	}
	text, err := os.ReadFile(filepath.Join(folder, id+".json"))
	if err != nil {
		return nil, err
	}
	found := &shown{}
	return found, json.Unmarshal(text, found)
}

// scribe tells of a run as it goes on, and writes down what can be shown later.
type scribe struct {
	local.Progress
	shown shown
	state run.State
}

func (s *scribe) Passage(p history.Passage) {
	s.Progress.Passage(p)
	s.shown.take(p)
	if p.Done {
		s.state = p.After
	}
}

// write keeps the run's record, and lets the oldest go.
func (s *scribe) write(r *local.Report) error {
	folder, err := records()
	if err != nil || r.RunID == "" || len(s.shown.Timeline) == 0 {
		return err
	}
	last := s.shown.Timeline[len(s.shown.Timeline)-1]
	stopped := last.At.Add(time.Duration(last.TookMs * float64(time.Millisecond)))
	s.shown.RunID, s.shown.Status, s.shown.Where, s.shown.StartedAt, s.shown.StoppedAt = r.RunID, r.Status, "local, "+r.Mode, s.shown.Timeline[0].At, &stopped
	s.shown.read(s.state)
	if o := r.Oracle; o != nil {
		checked := "restored to new volumes and checked"
		if !o.Verified {
			checked = "restored to new volumes, and NOT as it should be"
		}
		s.shown.Notes = append(s.shown.Notes, checked)
	}
	text, err := json.MarshalIndent(s.shown, "", "  ")
	if err == nil {
		err = os.MkdirAll(folder, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, r.RunID+".json"), append(text, '\n'), 0o600)
	}
	return errors.Join(err, forget(folder))
}

// forget removes all but the newest records.
func forget(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !strings.HasSuffix(e.Name(), ".json") })
	age := func(e fs.DirEntry) int64 {
		info, err := e.Info()
		if err != nil {
			return 0
		}
		return info.ModTime().UnixNano()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int {
		return cmp.Or(cmp.Compare(age(b), age(a)), cmp.Compare(b.Name(), a.Name()))
	})
	for i, e := range entries {
		if i >= remembered {
			err = errors.Join(err, os.Remove(filepath.Join(folder, e.Name())))
		}
	}
	return err
}
