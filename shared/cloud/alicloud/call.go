package alicloud

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"

	"github.com/quiesce/quiesce/shared/fault"
)

// A call that may be made again is made four times within some seconds; what
// takes longer is the workflow's to repeat.
const (
	attempts   = 4
	firstPause = 150 * time.Millisecond
	maxPause   = 2 * time.Second
)

// call makes a call that has no effect, or the same effect twice, until it is
// answered or has been tried often enough.
func (p *Provider) call(ctx context.Context, product string, request requests.AcsRequest, response responses.AcsResponse) error {
	return again(ctx, func() error {
		_, err := p.once(ctx, product, request, response)
		return err
	})
}

// again repeats what was refused for its rate or not answered, after pauses
// that double and are drawn, so that those who were refused together do not
// come again together.
func again(ctx context.Context, do func() error) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := do()
		if code := codeOf(err); attempt == attempts || code != fault.Throttled && code != fault.Unavailable {
			return err
		}
		select {
		case <-time.After(pause/2 + drawn(pause/2)):
		case <-ctx.Done():
			return err
		}
		pause = min(2*pause, maxPause)
	}
}

// drawn is a chance of less than d.
func drawn(d time.Duration) time.Duration {
	var b [8]byte
	_, _ = rand.Read(b[:]) // which never fails
	return time.Duration(binary.BigEndian.Uint64(b[:]) % uint64(d))
}

// once makes one attempt on the wire. sent tells that the request was handed to
// the transport: before that, an error proves that nothing has left.
func (p *Provider) once(ctx context.Context, product string, request requests.AcsRequest, response responses.AcsResponse) (sent bool, err error) {
	at, err := url.Parse(p.endpoint(product))
	if err != nil {
		return false, &unmade{err}
	}
	keys, err := p.cfg.Credentials(ctx)
	if err != nil {
		return false, &unmade{err}
	}
	carrier := &carrier{ctx: ctx, next: p.cfg.Transport}
	config := sdk.NewConfig().WithAutoRetry(false).WithTimeout(readTimeout)
	config.Transport = carrier
	client, err := sdk.NewClientWithOptions(p.cfg.Region, config, credentials.NewStsTokenCredential(keys.ID, keys.Secret, keys.Token))
	if err != nil {
		return false, &unmade{err}
	}
	client.SetCloseTrace(true) // a tracer would see the signed address
	request.SetDomain(at.Host)
	request.SetScheme(at.Scheme)
	if err := client.DoAction(request, response); err != nil {
		return carrier.used, plain(err)
	}
	return carrier.used, nil
}

// carrier gives the SDK, which knows none, the context of the call.
type carrier struct {
	ctx  context.Context
	next http.RoundTripper
	used bool
}

func (c *carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	// The SDK's timeout cancels the request's own context.
	ctx, cancel := context.WithCancelCause(r.Context())
	stop := context.AfterFunc(c.ctx, func() { cancel(context.Cause(c.ctx)) })
	c.used = true
	response, err := c.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		stop()
		cancel(nil)
		return nil, err
	}
	response.Body = &guarded{response.Body, func() { stop(); cancel(nil) }}
	return response, nil
}

// refusal is a service's answer that says no.
type refusal struct {
	Status        int
	Code, Message string
	RequestID     string
}

func (r *refusal) Error() string {
	return r.Code + ": " + r.Message + " (request " + r.RequestID + ")"
}

// unmade is a call that was never begun.
type unmade struct{ cause error }

func (u *unmade) Error() string { return u.cause.Error() }
func (u *unmade) Unwrap() error { return u.cause }

// plain takes an SDK's error out of its clothes: a server's error would show
// its headers, a network's the whole signed address with the security token.
func plain(err error) error {
	var server *sdkerrors.ServerError
	if errors.As(err, &server) {
		return &refusal{server.HttpStatus(), server.ErrorCode(), scrub(server.Message()), server.RequestId()}
	}
	var client *sdkerrors.ClientError
	if errors.As(err, &client) && client.OriginError() != nil {
		err = client.OriginError()
	}
	var address *url.Error
	for errors.As(err, &address) {
		err = address.Err
	}
	return err
}

// Refused is the code with which the service refused the call behind err,
// empty where it did not. It is for callers who ask the service to refuse: a
// dry run's success is a refusal.
func Refused(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

func hasCode(err error, codes ...string) bool {
	refused := Refused(err)
	for _, code := range codes {
		if refused == code {
			return true
		}
	}
	return false
}

// codeOf is the fault of an error that plain has made.
func codeOf(err error) fault.Code {
	var r *refusal
	var u *unmade
	switch {
	case err == nil:
		return ""
	case errors.As(err, &r):
		return r.fault()
	case errors.As(err, &u):
		return fault.AccessDenied // no credentials, or an address that is none
	}
	return fault.Unavailable // no answer, or none that could be read
}
