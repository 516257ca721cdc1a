package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/aws/bus"
)

// fake is the tags of one instance.
type fake struct {
	instance string
	tags     map[string]string
	down     error
}

func (f *fake) Get(_ context.Context, instance, key string) (string, error) {
	if instance != f.instance {
		return "", f.down
	}
	return f.tags[key], f.down
}

func (f *fake) Put(_ context.Context, instance string, tags map[string]string) error {
	f.instance = instance
	maps.Copy(f.tags, tags)
	return nil
}

func completed(t *testing.T) (e Event) {
	t.Helper()
	text, err := os.ReadFile("../testdata/completed.json")
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestNote(t *testing.T) {
	e, f := completed(t), &fake{tags: map[string]string{}}
	want := map[string]string{LastRun: "nightly-i-0123456789abcdef0-20260301T0400Z", LastTime: "2026-03-01T04:21:40Z", LastConsistency: "application"}
	for range 2 { // a second delivery changes nothing
		if err := Note(t.Context(), f, e); err != nil || f.instance != "i-0123456789abcdef0" || !maps.Equal(f.tags, want) {
			t.Fatalf("got %v on %s, %v", f.tags, f.instance, err)
		}
	}
	late := e
	late.Time, late.Detail.RunID = e.Time.Add(-time.Hour), "an-older-run"
	if err := Note(t.Context(), f, late); err != nil || !maps.Equal(f.tags, want) {
		t.Errorf("after a late event: %v, %v", f.tags, err)
	}
	next := e
	next.Time, next.Detail.RunID = e.Time.Add(time.Hour), "the-next-run"
	if err := Note(t.Context(), f, next); err != nil || f.tags[LastRun] != "the-next-run" {
		t.Errorf("after the next event: %v, %v", f.tags, err)
	}
}

func TestNoteIsTriedAgain(t *testing.T) {
	f := &fake{tags: map[string]string{}, down: errors.New("no answer")}
	if err := Note(t.Context(), f, completed(t)); !errors.Is(err, f.down) || len(f.tags) != 0 {
		t.Errorf("got %v, %v", f.tags, err)
	}
}

func TestRule(t *testing.T) {
	text, err := os.ReadFile("rule.json")
	if err != nil {
		t.Fatal(err)
	}
	pattern, err := bus.ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob("../testdata/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%v, %v", paths, err)
	}
	for _, path := range paths {
		event, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := pattern.Match(event), filepath.Base(path) == "completed.json"; got != want {
			t.Errorf("%s: matches %v, want %v", path, got, want)
		}
	}
}
