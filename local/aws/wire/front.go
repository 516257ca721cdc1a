package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// ErrDropped is a connection that breaks before the reply.
var ErrDropped = errors.New("read: connection reset by peer")

// Front lets a whole emulated cloud be reached: in process, or over sockets.
// It handles one request, whatever host that names.
type Front func(ctx context.Context, r *http.Request, body []byte) (Reply, error)

// RoundTrip reaches the cloud in process.
func (f Front) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	reply, err := f(r.Context(), r, body)
	if err != nil {
		return nil, err
	}
	if r.Method == http.MethodHead {
		reply.Body = nil
	}
	return &http.Response{
		Status: http.StatusText(reply.Status), StatusCode: reply.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: reply.Header, Body: io.NopCloser(bytes.NewReader(reply.Body)), ContentLength: int64(len(reply.Body)), Request: r,
	}, nil
}

// ServeHTTP answers over sockets. A reply that is to be lost closes the
// connection.
func (f Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	reply, err := f(r.Context(), r, body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for k, v := range reply.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(reply.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(reply.Body)
	}
}

// Serve answers on a listener until ctx ends. It refuses any address but
// loopback: the keys of an emulated account are no secret.
func (f Front) Serve(ctx context.Context, l net.Listener) error {
	a, ok := l.Addr().(*net.TCPAddr)
	if !ok || !a.IP.IsLoopback() {
		_ = l.Close()
		return fmt.Errorf("the emulated cloud listens on loopback only, not on %s", l.Addr())
	}
	server := &http.Server{Handler: f, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Sleep is a call's latency; it ends early, with an error, when its client has
// hung up.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
