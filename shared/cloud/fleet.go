package cloud

import "context"

// Finder finds the instances of a policy.
type Finder interface {
	// Find returns every instance that one of the ids names or that carries
	// one of the tags, each once, in the order of their ids; an empty value
	// matches every value. What has been terminated, and an id of no
	// instance, is not found. Codes: AccessDenied, Throttled, Unavailable.
	Find(ctx context.Context, ids []string, tags map[string]string) ([]Found, error)
}

// Found is an instance as a fleet sees it.
type Found struct {
	ID      string
	Running bool
	State   string // the provider's own word
	Tags    map[string]string
}

// Store keeps the lists that are too long for a workflow's document, in the
// deployment's own bucket. What is put can be got at once.
type Store interface {
	// Bucket names the bucket as the workflow's own states must.
	Bucket() string

	// Put writes an object, over one of the same key. Codes: AccessDenied,
	// Throttled, Unavailable.
	Put(ctx context.Context, key string, data []byte) error

	// Get reads an object; one that does not exist is Internal, because only
	// keys that List returned are asked for. Codes besides: those of Put.
	Get(ctx context.Context, key string) ([]byte, error)

	// List returns the keys that begin with the prefix, in their order.
	List(ctx context.Context, prefix string) ([]string, error)
}
