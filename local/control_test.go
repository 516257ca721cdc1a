package local

import (
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/database"
	"github.com/quiesce/quiesce/shared/policy"
)

// What a set is worth that nobody held. Whether one try goes wrong is luck, hence
// only what is certain is wanted of it: that it was taken, restored and judged,
// and that tables without transactions do not come through it.
func TestRealControl(t *testing.T) {
	serves(t, policy.MariaDB)
	t.Parallel()
	o := Defaults()
	o.App, o.Logs, o.Binaries, o.Completion = policy.MariaDB, database.Small, binariesOf(t), 100*time.Millisecond
	o.Latency = map[string]time.Duration{"CreateSnapshot": time.Second}
	got, err := Control(t.Context(), o, false, quiet{t})
	if err != nil {
		t.Fatal(err)
	}
	if got.CallsMs < 2000 {
		t.Errorf("two calls of a second each took %.0f ms", got.CallsMs)
	}
	if got.Whole != (len(got.Findings) == 0) || got.Whole && !got.Started {
		t.Errorf("got %+v", got)
	}
	if got.Started && len(got.Notes) == 0 {
		t.Errorf("tables without transactions came through: %+v", got)
	}
	t.Logf("%+v", got)
}

func TestControlWantsAServer(t *testing.T) {
	if _, err := Control(t.Context(), Defaults(), false, quiet{t}); err == nil || !strings.Contains(err.Error(), "--app") {
		t.Errorf("got %v", err)
	}
}
