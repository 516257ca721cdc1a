package main

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/runtimeapi"
)

// Binary is what one handler's binary weighs, in bytes.
type Binary struct {
	Name string `json:"name"`
	Arch string `json:"arch"`
	Raw  int64  `json:"raw"`
	Zip  int64  `json:"zip"`
}

// Start is the time from the spawn to the first poll for work.
type Start struct {
	Name string `json:"name"`
	Init Figure `json:"init"`
	N    int    `json:"n"`
}

const (
	ours  = "every step of Quiesce"
	hello = "hello world"
)

// handlers are the packages of the two, in order.
var handlers = []struct{ name, pkg, file string }{
	{ours, "./functions/lambda", "bootstrap"}, {hello, "./cmd/bench/testdata/hello", "hello"},
}

// built is what was built, by `make package`'s own flags.
type built struct {
	dir string            // the functions and the helper for this machine
	by  map[string]string // by architecture
}

func build(ctx context.Context, dir string, all bool) (built, error) {
	b := built{by: map[string]string{}}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return b, fmt.Errorf("run it inside its module with Go installed: %w", err)
	}
	for _, arch := range []string{"arm64", "amd64"} {
		native := arch == runtime.GOARCH
		if !native && !all {
			continue
		}
		b.by[arch] = filepath.Join(dir, arch)
		packages := handlers
		if native {
			b.dir = b.by[arch]
			packages = append(packages[:len(packages):len(packages)], struct{ name, pkg, file string }{"", "./guest", "quiesce-guest"})
		}
		for _, p := range packages {
			cmd := exec.CommandContext(ctx, "go", "build", "-tags", "lambda.norpc", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(b.by[arch], p.file), p.pkg)
			cmd.Dir = strings.TrimSpace(string(root))
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
			if out, err := cmd.CombinedOutput(); err != nil {
				return b, fmt.Errorf("build %s: %w\n%s", p.pkg, err, out)
			}
		}
	}
	return b, nil
}

func (b *bench) lambda(ctx context.Context, r *Report) error {
	b.say("lambda: sizes and start times")
	for _, arch := range []string{"arm64", "amd64"} {
		for _, h := range handlers {
			binary, err := weigh(filepath.Join(b.made.by[arch], h.file))
			if err != nil {
				return err
			}
			binary.Name, binary.Arch = h.name, arch
			r.Lambda = append(r.Lambda, binary)
		}
	}
	inits := make([][]float64, len(handlers))
	for range b.callTries() {
		for i, h := range handlers { // in turn, so that a noisy moment meets both
			init, err := start(ctx, filepath.Join(b.made.dir, h.file))
			if err != nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
			inits[i] = append(inits[i], ms(init))
		}
	}
	for i, h := range handlers {
		r.Starts = append(r.Starts, Start{h.name, figure(inits[i]), len(inits[i])})
	}
	return nil
}

// weigh packs a binary as it is uploaded.
func weigh(path string) (b Binary, err error) {
	f, err := os.Open(path)
	if err != nil {
		return b, err
	}
	defer f.Close()
	var packed counter
	archive := zip.NewWriter(&packed)
	w, err := archive.Create("bootstrap")
	if err != nil {
		return b, err
	}
	if b.Raw, err = io.Copy(w, f); err != nil {
		return b, err
	}
	err = archive.Close()
	b.Zip = int64(packed)
	return b, err
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// start starts a binary anew and returns how long it took to its first poll.
// What it answers is of no interest: a step refuses a field that it does not
// know, before it does anything.
func start(ctx context.Context, binary string) (time.Duration, error) {
	h := runtimeapi.New(runtimeapi.Config{Binary: binary, Functions: map[string]runtimeapi.Function{
		"snapshot": {Environment: []string{
			"AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=bench", "QUIESCE_BUS=default", "QUIESCE_DOCUMENT=bench",
		}},
	}})
	defer h.Close()
	_, err := h.Invoke(ctx, "snapshot", json.RawMessage(`{"nobody":"knows this"}`))
	var failed *runtimeapi.Failed
	if err != nil && (!errors.As(err, &failed) || failed.Type != "InvalidInput") {
		return 0, err
	}
	for _, r := range h.Invocations() {
		if r.Cold {
			return r.Init, nil
		}
	}
	return 0, errors.New("it was not started")
}
