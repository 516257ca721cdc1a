package awscloud

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/quiesce/quiesce/shared/fault"
)

// Over a socket that is kept from an earlier call, Go's transport repeats some
// requests by itself when the connection breaks. It must not repeat this one.
func TestOneAttemptOverAReusedSocket(t *testing.T) {
	var sets, connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("Action") == "CreateSnapshots" {
			sets.Add(1)
			panic(http.ErrAbortHandler) // the request was read, the reply is lost
		}
		_, _ = w.Write([]byte(described("").body))
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	p := New(aws.Config{
		Region: "eu-central-1", BaseEndpoint: aws.String(server.URL),
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	}, testOptions)
	// A socket returns to the pool a moment after its answer was read.
	for trial := int32(1); trial <= 100; trial++ {
		if _, err := p.FindSet(t.Context(), "r1"); err != nil {
			t.Fatal(err)
		}
		before := connections.Load()
		_, err := p.CreateSet(t.Context(), spec)
		wantCode(t, err, fault.SnapshotOutcomeUnknown)
		if got := sets.Load(); got != trial {
			t.Fatalf("got %d attempts, want %d", got, trial)
		}
		if connections.Load() == before {
			return
		}
	}
	t.Error("no socket was ever reused")
}

// Where nobody listens, nothing was sent.
func TestNothingListens(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	p := New(aws.Config{
		Region: "eu-central-1", BaseEndpoint: aws.String(server.URL),
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	}, testOptions)
	_, err := p.CreateSet(t.Context(), spec)
	wantCode(t, err, fault.Unavailable)
}
