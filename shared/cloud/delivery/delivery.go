// Package delivery holds the shell text by which a provider's agent reaches
// the helper on an instance, putting it in its place first where need be. The
// text is fixed: what differs from command to command are four parameters,
// whose values are bound to patterns before they are put in.
package delivery

import (
	_ "embed"
	"regexp"

	"github.com/quiesce/quiesce/shared/fault"
)

//go:embed helper.sh
var script string

// Script is the text, with {{ Verb }}, {{ Request }}, {{ Sha256 }} and {{ Url }}
// where the parameters go.
func Script() string { return script }

// Parameters of the text. Request and URL are in base64; URL may be empty.
type Parameters struct {
	Verb, Request, SHA256, URL string
}

var (
	verb   = regexp.MustCompile(`^(dry-run|begin|freeze|probe|thaw|status|recover|unmount)$`)
	base64 = regexp.MustCompile(`^[A-Za-z0-9+/=]*$`)
	sha256 = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Check refuses what must not stand in the text, by the parameter's name. A
// provider that has no patterns of its own asks here.
func (p Parameters) Check() error {
	switch {
	case !verb.MatchString(p.Verb):
		return fault.Input("command.verb", "is no verb of the helper: %q", p.Verb)
	case !base64.MatchString(p.Request):
		return fault.Input("command.request", "is not base64")
	case !sha256.MatchString(p.SHA256):
		return fault.Input("command.asset.sha256", "wants 64 hexadecimal digits, got %q", p.SHA256)
	case !base64.MatchString(p.URL):
		return fault.Input("command.asset.url", "is not base64")
	}
	return nil
}
