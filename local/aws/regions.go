package aws

import (
	"net/http"
	"time"

	"github.com/quiesce/quiesce/local/aws/ec2"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// In is the account's EC2 in a Region, nil for one that it has not.
func (c *Cloud) In(region string) *ec2.EC2 {
	if region == c.cfg.Region {
		return c.EC2
	}
	return c.elsewhere[region]
}

// settle makes the EC2 of every Region, of which each can copy from the others.
// In the other Regions there is nothing but what is copied to them.
func (c *Cloud) settle(home ec2.Config) {
	home.Elsewhere, home.Key, home.Presigned = c.In, c.KMS.Known, c.presigned
	home.ManagedKey = c.KMS.Managed(home.Region)
	c.EC2 = ec2.New(home)
	c.elsewhere = make(map[string]*ec2.EC2)
	for _, region := range c.cfg.Regions {
		other := home
		other.Region, other.Publish, other.ManagedKey = region, nil, c.KMS.Managed(region)
		c.elsewhere[region] = ec2.New(other)
	}
}

// reached is the Region of which a request is signed, the home one for any that
// is not there.
func (c *Cloud) reached(r *http.Request) string {
	if s, problem := wire.ParseSignature(r); problem == "" && c.elsewhere[s.Region] != nil {
		return s.Region
	}
	return c.cfg.Region
}

// service answers a call; what is not EC2 or KMS is in the home Region alone.
func (c *Cloud) service(call *wire.Call) wire.Service {
	if other := c.elsewhere[call.Region]; other != nil && call.Service == "ec2" {
		return other
	}
	return c.services[call.Service]
}

// presigned checks the address that the source of a copy is asked by: it was
// signed for just this copy, by the account, for the source's Region.
func (c *Cloud) presigned(region, address, snapshot, to string) bool {
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return false
	}
	r.Header.Set("X-Amz-Content-Sha256", nothing) // EC2's way; S3 leaves it unsigned
	s, problem := wire.ParseSignature(lasting(r))
	c.mu.Lock()
	k, known := c.secrets[s.KeyID]
	c.mu.Unlock()
	q := r.URL.Query()
	return problem == "" && known && s.Presigned && s.Region == region && time.Since(s.At) <= s.Expires &&
		q.Get("Action") == "CopySnapshot" && q.Get("SourceRegion") == region && q.Get("SourceSnapshotId") == snapshot && q.Get("DestinationRegion") == to &&
		s.Verify(r, nil, k.secret, c.cfg.Signing)
}

// nothing is the checksum of an empty body.
const nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// lasting has the time for which an address is good, which an SDK leaves out
// where it is used at once.
func lasting(r *http.Request) *http.Request {
	q := r.URL.Query()
	if q.Get("X-Amz-Expires") != "" {
		return r
	}
	q.Set("X-Amz-Expires", "900")
	with := r.Clone(r.Context())
	with.URL.RawQuery = q.Encode()
	return with
}
