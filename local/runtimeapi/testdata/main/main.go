// Command main is a function of Function Compute for the tests of its host: it
// does what it is told and tells what it was given.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fc"
	"github.com/aliyun/fc-runtime-go-sdk/fc/messages"
	"github.com/aliyun/fc-runtime-go-sdk/fccontext"
)

type request struct{ Do string }

type answer struct {
	Calls, Pid, Together                                int
	Handler, Function, Region, Account, Key, Token, Env string
	Left                                                float64
}

var calls, together atomic.Int64

func main() { fc.Start(handle) }

func handle(ctx context.Context, r request) (answer, error) {
	n := calls.Add(1)
	together.Add(1)
	defer together.Add(-1)
	most := together.Load()
	switch r.Do {
	case "fail":
		fmt.Println(`{"line":"fail"}`)
		return answer{}, messages.InvokeResponse_Error{Type: "HoldLost", Message: "the hold was lost"}
	case "plain":
		return answer{}, errors.New("a plain error")
	case "panic":
		panic("planned")
	case "exit":
		os.Exit(7)
	case "hang":
		select {}
	case "meet": // until three are here
		for end := time.Now().Add(5 * time.Second); together.Load() < 3 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		}
		most = together.Load()
		time.Sleep(50 * time.Millisecond) // lets the others see it too
	}
	c, _ := fccontext.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	return answer{
		Calls: int(n), Pid: os.Getpid(), Together: int(most), Handler: c.Function.Handler, Function: c.Function.Name, Region: c.Region, Account: c.AccountId,
		Key: c.Credentials.AccessKeyId, Token: c.Credentials.SecurityToken, Env: strings.Join(os.Environ(), " "), Left: time.Until(deadline).Seconds(),
	}, nil
}
