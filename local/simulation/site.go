// Package simulation runs whole runs in virtual time and judges them by what
// the simulated world knows: the definition that is deployed, the handlers, SDK
// clients, the helper's state machine, on a machine in memory, under a plan of
// faults. Whatever chance there is comes from a seed, so that a seed is a
// history which can be told again.
package simulation

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"time"

	"github.com/quiesce/quiesce/functions"
)

// Names in an emulated account.
const (
	machineName = "quiesce-snapshot"
	janitorName = "quiesce-janitor"
	bucket      = "quiesce-assets"
	busName     = "default"
	helper      = "the helper"
	keys        = 1 // the seed of every account's access keys
)

// Site is what is deployed in each cloud: the definition and the functions. It
// serves one world after the other; two worlds at once need two sites.
type Site struct{ in map[Cloud]*place }

// Deploy makes a site of the definitions that are deployed, which change may
// change first; nil changes nothing.
func Deploy(change func(definition string) string) (*Site, error) {
	if change == nil {
		change = func(definition string) string { return definition }
	}
	aws, err := onAWS(change)
	if err != nil {
		return nil, err
	}
	alibaba, err := onAlibaba()
	return &Site{map[Cloud]*place{AWS: aws, Alibaba: alibaba}}, err
}

// timeouts are the functions', the janitor's included.
var timeouts = func() map[string]time.Duration {
	all := maps.Clone(functions.Timeouts)
	all["janitor"] = all["thaw"]
	return all
}()

func checksum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
