//go:build linux

// Command quiesce-guest is the helper on the instance: it quiesces the
// application, freezes filesystems, proves that they were held, and lets go
// by a deadline whatever dies.
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/quiesce/quiesce/guest/linux"
	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

const (
	stateDir   = "/run/quiesce"
	maxRequest = 64 << 10
	maxReply   = 20_000
)

func main() {
	dir := os.Getenv("QUIESCE_RUN_DIR")
	if dir == "" {
		dir = stateDir
	}
	os.Exit(Run(context.Background(), dir, os.Args[1:], os.Stdin, os.Stdout))
}

const usage = `quiesce-guest VERB [BASE64-REQUEST]

VERB is dry-run, begin, freeze, probe, thaw or status, or of a restore recover
or unmount. The request is JSON, as
the second argument in base64 or else on the standard input. One JSON line
comes back. QUIESCE_RUN_DIR names the state folder (` + stateDir + `).
`

// Run does what one command line says and returns the exit code.
func Run(ctx context.Context, dir string, args []string, stdin io.Reader, stdout io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stdout, usage)
		return session.ExitFailed
	}
	switch args[0] {
	case linux.GuardRole:
		return linux.Guard()
	case linux.WitnessRole:
		return linux.Witness()
	case keeperRole:
		return keeper(dir, args[1:])
	case daemonRole:
		return daemon(dir, args[1:])
	case "version", "--version":
		fmt.Fprintf(stdout, "quiesce-guest protocol %d\n", protocol.Version)
		return session.ExitDone
	}
	req, err := request(args, stdin)
	reply := protocol.Reply{Version: protocol.Version, Verb: req.Verb, RunID: req.RunID, Error: protocol.FailureOf(err)}
	if err == nil {
		reply = (&router{dir: dir}).route(ctx, req)
	}
	stdout.Write(append(fit(reply), '\n'))
	return session.ExitCode(reply)
}

// request reads the request strictly: a field that is not known means that
// the two sides do not speak of the same thing.
func request(args []string, stdin io.Reader) (protocol.Request, error) {
	req := protocol.Request{Verb: protocol.Verb(args[0])}
	var raw []byte
	var err error
	switch len(args) {
	case 1:
		if raw, err = io.ReadAll(io.LimitReader(stdin, maxRequest+1)); err != nil {
			return req, fault.Wrap(fault.InvalidInput, err, "reading the request")
		}
	case 2:
		if raw, err = base64.StdEncoding.DecodeString(args[1]); err != nil {
			return req, fault.Wrap(fault.InvalidInput, err, "the request is not base64")
		}
	default:
		return req, fault.Input("arguments", "are more than a verb and a request")
	}
	if len(raw) > maxRequest {
		return req, fault.Input("request", "is longer than %d bytes", maxRequest)
	}
	if err := decode(raw, &req); err != nil {
		return protocol.Request{Verb: protocol.Verb(args[0])}, err
	}
	switch {
	case req.Verb == "":
		req.Verb = protocol.Verb(args[0])
	case string(req.Verb) != args[0]:
		return req, fault.Input("verb", "is %q in the request, %q in the command", req.Verb, args[0])
	}
	if req.Verb == protocol.Recover || req.Verb == protocol.Unmount {
		return req, nil // a recovery checks it, scripts and all
	}
	return req, session.Check(req)
}

func decode(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			return fault.Input("request", "has something after its end")
		}
		return nil
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fault.Input(wrong.Field, "is a %s", wrong.Value)
	}
	if _, field, ok := strings.Cut(err.Error(), "unknown field "); ok {
		return fault.Input(strings.Trim(field, `"`), "is no field of a request")
	}
	return fault.Input("request", "is not JSON: %v", err)
}

// fit renders a reply within what a command's output may carry. What it leaves
// out first is what proves least: binds, mounts that are refused anyway, and
// the wall clock beside the monotonic one.
func fit(r protocol.Reply) []byte {
	for _, shorten := range []func(*protocol.Reply){
		func(*protocol.Reply) {}, dropBinds, dropRefused, dropWall, dropMounts, dropFindings, dropRecovered,
	} {
		shorten(&r)
		if raw, err := json.Marshal(r); err == nil && len(raw) < maxReply {
			return raw
		}
	}
	r.Evidence, r.DryRun, r.Recover = nil, nil, nil
	if r.Error == nil {
		r.Error = protocol.FailureOf(fault.New(fault.Internal, "the reply is longer than %d bytes", maxReply))
	}
	raw, _ := json.Marshal(r)
	return raw
}
