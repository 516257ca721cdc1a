package cloud

import "context"

// Plugin is what a provider has besides, whose own tool on the instance can
// take a set: Alibaba Cloud alone. Ping and Result of Agent go with it.
type Plugin interface {
	// Run sends a text to the instance's shell and returns without waiting.
	// The same token is the same command. With DryRun the provider only checks
	// it, and the command has no id. Codes: AgentOffline, InstanceNotRunning,
	// InvalidInput, AccessDenied, Throttled, Unavailable.
	Run(ctx context.Context, s Shell) (commandID string, err error)

	// Group finds a snapshot group by its id, or by its name where the id is
	// empty; nil if there is none. Codes: AccessDenied, Throttled, Unavailable.
	Group(ctx context.Context, id, instanceID, name string) (*Group, error)

	// Named lists the groups of an instance that carry the name, in any order;
	// one that was just made may be missing. Codes: those of Group.
	Named(ctx context.Context, instanceID, name string) ([]Group, error)

	// Role names the RAM role that is attached to the instance, empty for
	// none. Codes: those of Group.
	Role(ctx context.Context, instanceID string) (string, error)
}

// Shell is one text for an instance's shell. Whoever makes it answers for it:
// nothing of it may come from outside unchecked.
type Shell struct {
	InstanceID  string
	Windows     bool // for cmd, else for sh
	Content     string
	Name        string
	TimeoutSecs int
	Token       string
	DryRun      bool
}

// Group is a snapshot group with its members and what is written on each.
type Group struct {
	ID      string
	Members []TaggedSnapshot
}
