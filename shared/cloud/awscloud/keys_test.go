package awscloud

import (
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// EC2's dry run says nothing of a key: KMS is asked in words of its own.
func TestMayMakeAsksForTheKey(t *testing.T) {
	described := func(manager, state string) response {
		return response{body: `{"KeyMetadata":{"KeyId":"k","KeyManager":"` + manager + `","KeyState":"` + state + `"}}`}
	}
	for name, c := range map[string]struct {
		described, tried response
		want             fault.Code
		asks             int // for the use of it
	}{
		"usable":               {described("CUSTOMER", "Enabled"), denial(400, "DryRunOperationException"), "", 1},
		"of AWS":               {described("AWS", "Enabled"), denial(400, "AccessDeniedException"), "", 0},
		"denied":               {described("CUSTOMER", "Enabled"), denial(400, "AccessDeniedException"), fault.AccessDenied, 1},
		"not to be looked at":  {denial(400, "AccessDeniedException"), response{}, fault.AccessDenied, 0},
		"not there":            {denial(400, "NotFoundException"), response{}, fault.SetNotRestorable, 0},
		"disabled":             {described("CUSTOMER", "Disabled"), response{}, fault.SetNotRestorable, 0},
		"disabled meanwhile":   {described("CUSTOMER", "Enabled"), denial(400, "DisabledException"), fault.SetNotRestorable, 1},
		"deleted meanwhile":    {described("CUSTOMER", "Enabled"), denial(400, "KMSInvalidStateException"), fault.SetNotRestorable, 1},
		"an answer of nothing": {response{body: `{}`}, response{}, fault.Unavailable, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, w := against(func(r request) response {
				switch r.action {
				case "DescribeKey":
					return c.described
				case "GenerateDataKeyWithoutPlaintext":
					if r.doc["DryRun"] != true || r.doc["KeySpec"] != "AES_256" || r.doc["KeyId"] != "arn:k" {
						t.Errorf("asked %v", r.doc)
					}
					return c.tried
				}
				return refusal(412, "DryRunOperation")
			})
			wantCode(t, p.MayMake(t.Context(), cloud.DiskSpec{Snapshot: "snap-0a", Zone: "eu-central-1a", SizeGiB: 1, Key: "arn:k"}), c.want)
			if n := w.count("GenerateDataKeyWithoutPlaintext"); n != c.asks {
				t.Errorf("tried %d times, want %d", n, c.asks)
			}
		})
	}
	p, w := against(func(request) response { return refusal(412, "DryRunOperation") })
	if err := p.MayMake(t.Context(), cloud.DiskSpec{Snapshot: "snap-0a"}); err != nil || len(w.seen) != 1 {
		t.Errorf("without a key: %v, %d calls", err, len(w.seen))
	}
	p, w = against(func(request) response { return refusal(403, "UnauthorizedOperation") })
	wantCode(t, p.MayMake(t.Context(), cloud.DiskSpec{Snapshot: "snap-0a", Key: "arn:k"}), fault.AccessDenied)
	if len(w.seen) != 1 {
		t.Errorf("KMS was asked though EC2 had refused: %d calls", len(w.seen))
	}
}
