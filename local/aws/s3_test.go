package aws_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"context"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/quiesce/quiesce/local/aws"
)

func TestObjects(t *testing.T) {
	run(t, aws.Config{}, func(t *testing.T, w *world) {
		w.S3.Put("assets", "helper/amd64", []byte("old"))
		for _, path := range []bool{true, false} {
			client := s3.NewFromConfig(once(w.Client("precheck")), func(o *s3.Options) { o.UsePathStyle = path })
			body := bytes.Repeat([]byte("binary"), 100)
			if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: sdk.String("assets"), Key: sdk.String("helper/amd64"), Body: bytes.NewReader(body)}); err != nil {
				t.Fatal(err)
			}
			out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: sdk.String("assets"), Key: sdk.String("helper/amd64")})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(out.Body); err != nil || !bytes.Equal(got, body) {
				t.Errorf("path style %v: got %d bytes (%v), want %d", path, len(got), err, len(body))
			}
			head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: sdk.String("assets"), Key: sdk.String("helper/amd64")})
			if err != nil || *head.ContentLength != int64(len(body)) {
				t.Errorf("head: got %v, %v", head, err)
			}
			_, err = client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: sdk.String("assets"), Key: sdk.String("none")})
			var missing *types.NoSuchKey
			if !errors.As(err, &missing) {
				t.Errorf("got %v, want NoSuchKey", err)
			}
			_, err = client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: sdk.String("others"), Key: sdk.String("x")})
			wantCode(t, err, "NoSuchBucket")
		}
		if got := w.S3.Gets("assets", "helper/amd64"); got != 2 {
			t.Errorf("counted %d fetches, want 2", got)
		}
	})
}

func TestPresignedURLs(t *testing.T) {
	run(t, aws.Config{}, func(t *testing.T, w *world) {
		w.S3.Put("assets", "helper", []byte("binary"))
		presigned, err := s3.NewPresignClient(s3.NewFromConfig(w.Client("precheck"))).PresignGetObject(t.Context(),
			&s3.GetObjectInput{Bucket: sdk.String("assets"), Key: sdk.String("helper")}, s3.WithPresignExpires(5*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		get := func(url string) int {
			r, err := (&http.Client{Transport: w.Transport()}).Get(url)
			if err != nil {
				t.Fatal(err)
			}
			return r.StatusCode
		}
		for url, want := range map[string]int{
			presigned.URL: 200,
			strings.Replace(presigned.URL, "/helper?", "/other?", 1):                   403,
			strings.Replace(presigned.URL, "X-Amz-Expires=300", "X-Amz-Expires=0", 1):  400,
			presigned.URL[:strings.Index(presigned.URL, "?")]:                          403,
			strings.Replace(presigned.URL, "X-Amz-Expires=300", "X-Amz-Expires=30", 1): 403,
		} {
			if got := get(url); got != want {
				t.Errorf("%s: got %d, want %d", url, got, want)
			}
		}
		time.Sleep(6 * time.Minute)
		if got := get(presigned.URL); got != 403 {
			t.Errorf("after its expiry: got %d, want 403", got)
		}
	})
}

// The same account over sockets, as the functions' processes reach it.
func TestLoopback(t *testing.T) {
	cloud := aws.New(aws.Config{Latency: map[string]time.Duration{"*": 0}})
	defer cloud.Close()
	cloud.S3.Put("assets", "helper", []byte("binary"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- cloud.Serve(ctx, l) }()
	cfg := cloud.Client("precheck")
	cfg.HTTPClient = nil
	cfg.BaseEndpoint = sdk.String("http://" + l.Addr().String())
	presigned, err := s3.NewPresignClient(s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })).PresignGetObject(t.Context(),
		&s3.GetObjectInput{Bucket: sdk.String("assets"), Key: sdk.String("helper")})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.Get(presigned.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil || string(body) != "binary" {
		t.Errorf("got %d %q, %v", r.StatusCode, body, err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	wide, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := cloud.Serve(t.Context(), wide); err == nil {
		t.Error("it served on every address")
	}
}
