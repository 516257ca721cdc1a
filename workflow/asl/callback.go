package asl

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// callback is the suffix of a resource whose task ends when its token is
// answered, not when its work is done.
const callback = ".waitForTaskToken"

// waits are the resources that may wait: what others do with a token is not
// known here. A function of Function Compute is told its token in its input.
var waits = regexp.MustCompile(`^(arn:[a-z-]+:states:::lambda:invoke|acs:fc:[a-z0-9-]*:[0-9]*:functions/[^.]+)\.waitForTaskToken$`)

// Callback reports whether the task waits for its token to be answered.
func (s *State) Callback() bool { return s.Type == Task && strings.HasSuffix(s.Resource, callback) }

// Calls is what the task calls: its resource, or the function that it has
// lambda:invoke call.
func (s *State) Calls() string {
	if strings.HasSuffix(strings.TrimSuffix(s.Resource, callback), ":states:::lambda:invoke") {
		return s.Parameters.Text("FunctionName")
	}
	return strings.TrimSuffix(s.Resource, callback)
}

// Refusals of an answer, each by the service's own name.
var (
	ErrToken    = errors.New("InvalidToken")
	ErrNoTask   = errors.New("TaskDoesNotExist")
	ErrTaskOver = errors.New("TaskTimedOut") // or answered already
	ErrOutput   = errors.New("InvalidOutput")
)

// Callbacks are the tasks that wait for an answer, of all executions that
// share it. The zero value is ready.
type Callbacks struct {
	mu    sync.Mutex
	tasks map[string]*waiting // nil: over
}

// waiting is one task that waits. Its pulse is felt at a heartbeat and at the
// answer.
type waiting struct {
	token    string
	pulse    pulse
	answered bool
	output   json.RawMessage
	failed   error
}

// Succeed ends the token's task with a result.
func (c *Callbacks) Succeed(token string, output json.RawMessage) error {
	if !json.Valid(output) || len(output) > MaxPayload {
		return ErrOutput
	}
	return c.end(token, output, nil)
}

// Fail ends the token's task with an error, which its retriers and catchers
// see.
func (c *Callbacks) Fail(token, name, cause string) error {
	return c.end(token, nil, &Error{name, cause})
}

// Beat tells the token's task that its work goes on.
func (c *Callbacks) Beat(token string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, err := c.find(token)
	if err == nil {
		w.pulse.feel()
	}
	return err
}

func (c *Callbacks) end(token string, output json.RawMessage, failed error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, err := c.find(token)
	if err == nil {
		w.answered, w.output, w.failed = true, output, failed
		c.tasks[token] = nil
		w.pulse.feel()
	}
	return err
}

func (c *Callbacks) find(token string) (*waiting, error) {
	if raw, err := base64.StdEncoding.DecodeString(token); err != nil || len(raw) != sha512.Size {
		return nil, ErrToken
	}
	switch w, known := c.tasks[token]; {
	case !known:
		return nil, ErrNoTask
	case w == nil:
		return nil, ErrTaskOver
	default:
		return w, nil
	}
}

// open enters a task that begins to wait.
func (c *Callbacks) open(token string) *waiting {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tasks == nil {
		c.tasks = make(map[string]*waiting)
	}
	w := &waiting{token: token, pulse: pulse{beat: new(Gate)}}
	c.tasks[token] = w
	return w
}

// answered reports whether the task has its answer.
func (c *Callbacks) answered(w *waiting) bool {
	if w == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return w.answered
}

// close gives a task up, unless its answer was accepted before: whoever sent
// it was told so.
func (c *Callbacks) close(w *waiting) (answered bool) {
	if w == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tasks[w.token] = nil
	return w.answered
}

// newToken draws a token that nobody can guess without the execution's seed.
func (b *branch) newToken() string {
	sum := sha512.Sum512(fmt.Appendf(nil, "%d %s %d %d", b.x.Seed, b.x.ID, b.fx.rand.Uint64(), b.fx.rand.Uint64()))
	return base64.StdEncoding.EncodeToString(sum[:])
}
