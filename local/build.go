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
	bootstrap string // every function of the workflow
	helper    string // what runs on the instance
}

// build finds the binaries in ready, or else beside this program, where `make
// build` puts them together; elsewhere it builds them into dir, from the module
// that is at hand.
func build(ctx context.Context, ready, dir string) (binaries, error) {
	if ready != "" {
		return binaries{filepath.Join(ready, "bootstrap"), filepath.Join(ready, "quiesce-guest")}, nil
	}
	if exe, err := os.Executable(); err == nil {
		beside := binaries{filepath.Join(filepath.Dir(exe), "bootstrap"), filepath.Join(filepath.Dir(exe), "quiesce-guest")}
		if isFile(beside.bootstrap) && isFile(beside.helper) {
			return beside, nil
		}
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return binaries{}, err
	}
	made := binaries{filepath.Join(dir, "bootstrap"), filepath.Join(dir, "quiesce-guest")}
	for _, b := range []struct{ out, pkg, tags string }{
		{made.bootstrap, "./functions/lambda", "lambda.norpc"}, {made.helper, "./guest", ""},
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
