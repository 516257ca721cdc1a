package cloud

import (
	"context"
	"time"
)

// Windows is what a provider has besides whose instances run Windows and are
// snapshotted through documents: AWS alone. Result and Cancel of Agent know the
// commands of SendShadow.
type Windows interface {
	// SendOnce starts a document that must not run twice: it makes one attempt
	// on the wire, and its caller looks for it before the next. Codes: those of
	// SendDocument when nothing runs, CommandUnknown when it may.
	SendOnce(ctx context.Context, cmd DocumentCommand) (commandID string, err error)

	// FindCommand finds a command that was sent to the instance since then by
	// its comment; empty if there is none. What was sent a moment ago may be
	// missing. Codes: AccessDenied, Throttled, Unavailable.
	FindCommand(ctx context.Context, instanceID, comment string, since time.Time) (commandID string, err error)

	// Invocation tells how far a command of several steps is. Codes: those of
	// FindCommand.
	Invocation(ctx context.Context, instanceID, commandID string) (Invocation, error)

	// SendShadow starts the document of the deployment's own that makes shadow
	// copies and drops them, as Send starts the helper's.
	SendShadow(ctx context.Context, cmd ShadowCommand) (commandID string, err error)
}

// Invocation is a command on one instance with its document's steps.
type Invocation struct {
	Done   bool
	Status string // the provider's own word, without spaces
	Steps  []StepResult
}

// StepResult is how far one step is. Output is what the provider keeps of it,
// which is its beginning.
type StepResult struct {
	Name     string
	Status   string
	ExitCode int
	Output   string
}

// ShadowCommand is one request for the document of shadow copies, in JSON; it
// travels encoded, never as script text.
type ShadowCommand struct {
	InstanceID    string
	Request       []byte
	ExecutionSecs int
	Comment       string
}
