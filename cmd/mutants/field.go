package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// simulated is the package whose tests look for the bugs.
const simulated = "./local/simulation"

// field is where bugs are planted: a folder of overlays and test binaries.
type field struct {
	settings
	dir string
}

func newField(s settings) (*field, error) {
	root, err := filepath.Abs(s.Root)
	if err != nil {
		return nil, err
	}
	s.Root = root
	dir, err := os.MkdirTemp("", "mutants-")
	return &field{s, dir}, err
}

func (f *field) close() { os.RemoveAll(f.dir) }

// found is what a hunt prints.
type found struct {
	Runs      int
	Seconds   float64
	Schedule  string
	Violation string
}

const marker = "FOUND "

// try plants one bug, or none if it names no file, and looks for it.
func (f *field) try(ctx context.Context, m Mutant) end {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	e := end{Mutant: m}
	binary, err := f.compile(ctx, m)
	if err == nil {
		e.found, err = f.hunt(ctx, binary, m)
		os.Remove(binary)
	}
	e.broken, e.took = err, time.Since(began)
	return e
}

// compile builds the simulation over the changed file. Packages that do not
// reach it come out of the build cache.
func (f *field) compile(ctx context.Context, m Mutant) (string, error) {
	binary := filepath.Join(f.dir, m.Name+".test")
	args := []string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-o", binary}
	if m.File != "" {
		planted, err := m.apply(f.Root)
		if err != nil {
			return "", err
		}
		name := filepath.Join(f.dir, m.Name+filepath.Ext(m.File))
		overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(f.Root, filepath.FromSlash(m.File)): name}})
		if err != nil {
			return "", err
		}
		list := filepath.Join(f.dir, m.Name+".overlay")
		if err := errors.Join(os.WriteFile(name, planted, 0o600), os.WriteFile(list, overlay, 0o600)); err != nil {
			return "", err
		}
		args = append(args, "-overlay", list)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, simulated)...)
	cmd.Dir = f.Root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("does not compile: %w\n%s", err, out)
	}
	return binary, nil
}

// hunt runs the simulation until it finds something. Whatever else ends it, a
// panic or its time, is a fault of the table: it shows no property.
func (f *field) hunt(ctx context.Context, binary string, m Mutant) (found, error) {
	cmd := exec.CommandContext(ctx, binary, "-test.run=^TestHunt$", "-test.timeout="+f.Timeout.String(),
		"-hunt", "-near="+m.Near, "-tries="+m.Try, "-others="+strconv.Itoa(f.Others), "-random="+strconv.Itoa(f.Random))
	cmd.Dir = filepath.Join(f.Root, filepath.FromSlash(simulated))
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1") // a bubble has one processor anyway
	out, err := cmd.CombinedOutput()
	var last found
	for line := range bytes.Lines(out) {
		if text, is := strings.CutPrefix(string(line), marker); is {
			if err := json.Unmarshal([]byte(text), &last); err != nil {
				return found{}, err
			}
			return last, nil
		}
	}
	return found{}, fmt.Errorf("the simulation told nothing: %v\n%s", err, clip(string(out), 2000))
}
