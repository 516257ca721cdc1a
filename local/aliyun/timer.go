package aliyun

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// timers are the timer triggers of the account's functions.
type timers struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Tick is what a timer trigger of Function Compute hands to its function.
func Tick(name string, at time.Time, payload string) json.RawMessage {
	text, _ := json.Marshal(map[string]string{"triggerTime": at.UTC().Format("2006-01-02T15:04:05Z"), "triggerName": name, "payload": payload})
	return text
}

// Timer starts a function every so often until the account is closed. No
// invocation waits for the one before, and none that failed is made again: the
// next is.
func (c *Cloud) Timer(name string, every time.Duration, do func(context.Context, json.RawMessage) error) {
	c.timers.wg.Go(func() {
		for wire.Sleep(c.timers.ctx, every) == nil {
			at := time.Now()
			c.timers.wg.Go(func() { _ = do(c.timers.ctx, Tick(name, at, "")) }) // which the function's own log tells
		}
	})
}

func (t *timers) close() {
	t.cancel()
	t.wg.Wait()
}
