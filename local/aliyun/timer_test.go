package aliyun_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/aliyun"
)

// A timer starts its function each minute, also while an earlier invocation
// works, and hands it what Function Compute does; the account's end is its end.
func TestTimers(t *testing.T) {
	in(t, aliyun.Config{}, func(w *world) {
		began, given := time.Now(), make(chan string, 9)
		ended := make(chan error, 9)
		w.Timer("every-minute", time.Minute, func(ctx context.Context, payload json.RawMessage) error {
			given <- string(payload)
			<-ctx.Done() // none of them ends by itself
			ended <- ctx.Err()
			return ctx.Err()
		})
		time.Sleep(3*time.Minute + time.Second)
		for i := range 3 {
			at := began.Add(time.Duration(i+1) * time.Minute).UTC().Format("2006-01-02T15:04:05Z")
			want := `{"payload":"","triggerName":"every-minute","triggerTime":"` + at + `"}`
			if got := <-given; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		w.Close()
		if len(given) != 0 || len(ended) != 3 {
			t.Errorf("it was started %d times more, %d have ended", len(given), len(ended))
		}
	})
}
