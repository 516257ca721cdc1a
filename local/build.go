package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// binaries are what a run needs besides this program.
type binaries struct {
	functions string // every function of the workflow
	helper    string // what runs on the instance
}

// deployables are the binaries that carry the functions, by cloud.
var deployables = map[string]struct{ name, pkg, tags string }{
	AWS:    {"bootstrap", "./functions/lambda", "lambda.norpc"},
	Aliyun: {"main", "./functions/fc", ""},
}

// build finds the binaries in ready, or else beside this program, where `make
// build` puts them together; elsewhere it builds them into dir, from the module
// that is at hand.
func build(ctx context.Context, cloud, ready, dir string) (binaries, error) {
	d := deployables[cloud]
	in := func(dir string) binaries {
		return binaries{filepath.Join(dir, d.name), filepath.Join(dir, "quiesce-guest")}
	}
	if ready != "" {
		return in(ready), nil
	}
	if exe, err := os.Executable(); err == nil {
		beside := in(filepath.Dir(exe))
		if isFile(beside.functions) && isFile(beside.helper) {
			return beside, nil
		}
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return binaries{}, err
	}
	made := in(dir)
	for _, b := range []struct{ out, pkg, tags string }{
		{made.functions, d.pkg, d.tags}, {made.helper, "./guest", ""},
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-tags", b.tags, "-o", b.out, b.pkg)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
		if out, err := cmd.CombinedOutput(); err != nil {
			return binaries{}, fmt.Errorf("build %s: %w\n%s", b.pkg, err, out)
		}
	}
	return made, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

const module = "github.com/quiesce/quiesce"

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Path}} {{.Dir}}").Output()
	if path, dir, ok := strings.Cut(strings.TrimSpace(string(out)), " "); err == nil && ok && path == module {
		return dir, nil
	}
	return "", fmt.Errorf("the functions and the helper are not beside this program: run `make build`, or run it inside its module with Go installed")
}

func checksum(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}
