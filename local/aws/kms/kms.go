// Package kms is the emulated Key Management Service as far as encrypted disks
// need it: keys in their states, and who may use them. It encrypts nothing.
package kms

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// Key is a key as its owner makes it.
type Key struct {
	ID      string
	Region  string   // where it works; default the home one
	State   string   // Enabled (default), Disabled, PendingDeletion, ...
	Managed bool     // by AWS: everybody of the account uses it, and only through a service
	Service bool     // so does its own policy say, though it is not AWS's
	Denied  []string // roles that its policy does not let use it
}

// Config is the account's KMS. Region is the home one.
type Config struct{ Region, Account string }

// KMS is the account's keys in all its Regions, each of which knows its own.
type KMS struct {
	cfg Config

	mu   sync.Mutex
	keys map[string]Key // by ARN
}

// New makes a KMS that knows no keys but those of AWS, which every Region has.
func New(cfg Config) *KMS { return &KMS{cfg: cfg, keys: map[string]Key{}} }

// AddKey makes a key, or changes the one of the same id, and returns its ARN.
func (k *KMS) AddKey(key Key) string {
	if key.State == "" {
		key.State = "Enabled"
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if key.Region == "" {
		key.Region = k.cfg.Region
	}
	arn := k.arn(key.Region, key.ID)
	k.keys[arn] = key
	return arn
}

func (k *KMS) arn(region, id string) string {
	return "arn:aws:kms:" + region + ":" + k.cfg.Account + ":key/" + id
}

// ofEBS is the id of the key that AWS manages for EBS.
const ofEBS = "00000000-0000-4000-8000-00000000ebec"

// Managed is a Region's key that AWS manages for EBS.
func (k *KMS) Managed(region string) string { return k.arn(region, ofEBS) }

// key is the one of an ARN.
func (k *KMS) key(arn string) (Key, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, known := k.keys[arn]
	if region := regionOf(arn); !known && arn == k.Managed(region) {
		return Key{ID: ofEBS, Region: region, State: "Enabled", Managed: true}, true
	}
	return key, known
}

func regionOf(arn string) string {
	region, _, _ := strings.Cut(strings.TrimPrefix(arn, "arn:aws:kms:"), ":")
	return region
}

// Known tells whether there is such a key, in any Region.
func (k *KMS) Known(arn string) bool {
	_, known := k.key(arn)
	return known
}

// Usable tells whether a service may use the key on behalf of a role.
func (k *KMS) Usable(arn, role string) bool {
	key, known := k.key(arn)
	return known && key.State == "Enabled" && !slices.Contains(key.Denied, role)
}

// Protocol is awsJson 1.1.
func (k *KMS) Protocol() wire.Protocol { return wire.AWSJSON }

// Limit is the published quota of a small Region, for operations with symmetric
// keys and for DescribeKey.
func (k *KMS) Limit(c *wire.Call) (string, wire.Limit) {
	if c.Action == "DescribeKey" {
		return c.Action, wire.Limit{Capacity: 2000, Refill: 2000}
	}
	return "symmetric", wire.Limit{Capacity: 20000, Refill: 20000}
}

type input struct {
	KeyId         string
	DryRun        bool
	KeySpec       string
	NumberOfBytes int
}

// Do has the effect of one call.
func (k *KMS) Do(_ context.Context, c *wire.Call) (wire.Reply, error) {
	var in input
	if err := c.Decode(&in); err != nil {
		return wire.Reply{}, err
	}
	switch c.Action {
	case "DescribeKey":
		return k.describe(in, c)
	case "GenerateDataKeyWithoutPlaintext":
		return k.generate(in, c)
	}
	return wire.Reply{}, wire.Bad("UnknownOperationException", "no operation %s", c.Action)
}

// find takes the id of a key of a Region, or its ARN.
func (k *KMS) find(region, id string) (arn string, key Key, err error) {
	arn = id
	if !strings.HasPrefix(id, "arn:") {
		arn = k.arn(region, id)
	}
	key, known := k.key(arn)
	if !known || key.Region != region {
		return "", key, wire.Bad("NotFoundException", "Key '%s' does not exist", arn)
	}
	return arn, key, nil
}

func denied(role, action, arn string) error {
	return wire.Bad("AccessDeniedException", "User: %s is not authorized to perform: kms:%s on resource: %s because no resource-based policy allows the kms:%s action", role, action, arn, action)
}

func (k *KMS) describe(in input, c *wire.Call) (wire.Reply, error) {
	arn, key, err := k.find(c.Region, in.KeyId)
	switch {
	case err != nil:
		return wire.Reply{}, err
	case slices.Contains(key.Denied, c.Role+"/DescribeKey"):
		return wire.Reply{}, denied(c.Role, "DescribeKey", arn)
	}
	manager := "CUSTOMER"
	if key.Managed {
		manager = "AWS"
	}
	return wire.JSON(map[string]any{"KeyMetadata": map[string]any{
		"AWSAccountId": k.cfg.Account, "KeyId": key.ID, "Arn": arn, "Enabled": key.State == "Enabled", "KeyState": key.State,
		"KeyManager": manager, "KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": "SYMMETRIC_DEFAULT", "MultiRegion": false,
	}})
}

// generate looks at the caller's rights before the key's state, and would make
// a data key then; every caller here only asks.
func (k *KMS) generate(in input, c *wire.Call) (wire.Reply, error) {
	arn, key, err := k.find(c.Region, in.KeyId)
	switch {
	case err != nil:
		return wire.Reply{}, err
	case key.Managed || key.Service || slices.Contains(key.Denied, c.Role):
		return wire.Reply{}, denied(c.Role, "GenerateDataKeyWithoutPlaintext", arn)
	case key.State == "Disabled":
		return wire.Reply{}, wire.Bad("DisabledException", "%s is disabled.", arn)
	case key.State != "Enabled":
		return wire.Reply{}, wire.Bad("KMSInvalidStateException", "%s is pending deletion, import or something else: %s", arn, key.State)
	case in.KeySpec == "" && in.NumberOfBytes == 0:
		return wire.Reply{}, wire.Bad("ValidationException", "Please specify either number of bytes or key spec.")
	case !in.DryRun:
		return wire.Reply{}, wire.Bad("UnsupportedOperationException", "this service encrypts nothing: it answers dry runs")
	}
	return wire.Reply{}, wire.Bad("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
}
