package alicloud

import (
	"io"
	"regexp"
)

// secrets are what a service's own message may repeat of a request: one about
// a signature shows the text that was signed.
var secrets = regexp.MustCompile(`(?i)((?:access_?-?key_?-?(?:id|secret)|security_?-?token|signature|x-oss-credential)["']?(?:=|:|%3D|%253D)\s*["']?)[^&\s"'%,;]+(?:%[0-9A-Fa-f]{2}[^&\s"',;%]*)*`)

// maxMessage is how much of a service's message is kept.
const maxMessage = 400

// scrub takes credentials out of a message and shortens it.
func scrub(message string) string {
	message = secrets.ReplaceAllString(message, "${1}***")
	if r := []rune(message); len(r) > maxMessage {
		message = string(r[:maxMessage]) + "…"
	}
	return message
}

// guarded is a body that lets go of the call's context when it is closed.
type guarded struct {
	io.ReadCloser
	done func()
}

func (g *guarded) Close() error {
	defer g.done()
	return g.ReadCloser.Close()
}
