package alicloud

import (
	"crypto/rand"
	"encoding/base64"
	"strings"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/delivery"
	"github.com/quiesce/quiesce/shared/fault"
)

// Cloud Assistant brings standard output and standard error home as one text.
// The helper's answer is its own line at the end, behind a mark.
const mark = "quiesce-answer: "

// last is how the shell text ends where the agent keeps both apart.
const last = "exec \"$helper\" \"$verb\" \"$request\"\n"

// apartText runs the helper and says its answer behind the mark.
const apartText = `code=0
answer=$("$helper" "$verb" "$request") || code=$?
printf '\n` + mark + `%s\n' "$answer"
exit "$code"
`

// Script is the shell text of every command: what differs from command to
// command are the values of its parameters.
func Script() string {
	text := strings.NewReplacer(
		"{{ Verb }}", "{{Verb}}", "{{ Request }}", "{{Request}}", "{{ Sha256 }}", "{{Sha256}}", "{{ Url }}", "{{Url}}",
	).Replace(delivery.Script())
	return strings.TrimSuffix(text, last) + apartText
}

// Answer is what the text prints for the helper's answer: for a machine that
// has the helper and no shell.
func Answer(stdout string) string { return "\n" + mark + strings.TrimRight(stdout, "\n") + "\n" }

// apart takes the helper's answer, which is one line, out of what the agent
// brought home.
func apart(output string) (stdout, stderr string) {
	before, rest, answered := strings.Cut(output, "\n"+mark)
	if !answered {
		return "", output // it came to no answer
	}
	stdout, after, _ := strings.Cut(rest, "\n")
	return stdout, before + after
}

// parameters are the command's, each held to its pattern: Cloud Assistant puts
// them into the text as they are.
func parameters(cmd cloud.Command) (map[string]any, error) {
	p := delivery.Parameters{
		Verb: cmd.Verb, Request: base64.StdEncoding.EncodeToString(cmd.Request),
		SHA256: cmd.Asset.SHA256, URL: base64.StdEncoding.EncodeToString([]byte(cmd.Asset.URL)),
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	if n := base64.StdEncoding.EncodedLen(len(Script())) + len(p.Request) + len(p.URL) + len(p.SHA256) + len(p.Verb); n > maxContent {
		return nil, fault.Input("command.request", "makes a command of %d bytes, of %d that Cloud Assistant takes", n, maxContent)
	}
	return map[string]any{"Verb": p.Verb, "Request": p.Request, "Sha256": p.SHA256, "Url": p.URL}, nil
}

// token is one that no other call has.
func token() string { return rand.Text() }
