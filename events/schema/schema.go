// Package schema holds the JSON Schemas of the events: one file a detail type,
// and the envelope that all of them refer to.
package schema

import "embed"

// Files are the schemas by their file names.
//
//go:embed *.json
var Files embed.FS
