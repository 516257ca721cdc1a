package runtimeapi_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/runtimeapi"
)

// What one warm invocation costs over the Runtime API; the cold start, from the
// spawn to the first poll, is reported beside it.
func BenchmarkInvoke(b *testing.B) {
	binary := filepath.Join(b.TempDir(), "bootstrap")
	if out, err := exec.Command("go", "build", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", binary, "./testdata/bootstrap").CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	h := runtimeapi.New(runtimeapi.Config{Binary: binary, Functions: map[string]runtimeapi.Function{"f": {Timeout: time.Minute}}})
	defer h.Close()
	for b.Loop() {
		if _, err := h.Invoke(b.Context(), "f", json.RawMessage(`{}`)); err != nil {
			b.Fatal(err)
		}
	}
	for _, r := range h.Invocations() {
		if r.Cold {
			b.ReportMetric(float64(r.Init.Microseconds()), "cold-µs")
		}
	}
}
