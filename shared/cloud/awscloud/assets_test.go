package awscloud

import (
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/quiesce/quiesce/shared/fault"
)

func TestHelperIsSigned(t *testing.T) {
	p, w := against(nil)
	got, err := p.Helper(t.Context(), "arm64")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(got.URL)
	if err != nil {
		t.Fatal(err)
	}
	if want := "assets.s3.eu-central-1.amazonaws.com/quiesce-guest-arm64"; u.Host+u.Path != want || got.SHA256 != testOptions.Helpers["arm64"].SHA256 {
		t.Errorf("got %s and %s, want %s", u.Host+u.Path, got.SHA256, want)
	}
	if q := u.Query(); q.Get("X-Amz-Expires") != "600" || q.Get("X-Amz-SignedHeaders") != "host" || q.Has("x-amz-checksum-mode") {
		t.Errorf("a bare client cannot fetch %s", got.URL)
	}
	_, err = p.Helper(t.Context(), "riscv64")
	wantCode(t, err, fault.HelperNotDelivered)
	if len(w.seen) > 0 {
		t.Error("signing made a call")
	}
}

// The endpoint variables of the SDK lead every client elsewhere.
func TestEndpoints(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	for name, c := range map[string]struct{ variable, endpoint, want string }{
		"none":    {"AWS_ENDPOINT_URL", "", "assets.s3.eu-central-1.amazonaws.com/quiesce-guest-arm64"},
		"all":     {"AWS_ENDPOINT_URL", "http://127.0.0.1:4566", "127.0.0.1:4566/assets/quiesce-guest-arm64"},
		"S3":      {"AWS_ENDPOINT_URL_S3", "http://127.0.0.1:4566", "127.0.0.1:4566/assets/quiesce-guest-arm64"},
		"another": {"AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:4566", "assets.s3.eu-central-1.amazonaws.com/quiesce-guest-arm64"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(c.variable, c.endpoint)
			cfg, err := config.LoadDefaultConfig(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			asset, err := New(cfg, testOptions).Helper(t.Context(), "arm64")
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(asset.URL)
			if err != nil {
				t.Fatal(err)
			}
			if got := u.Host + u.Path; got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
