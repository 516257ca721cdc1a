//go:build !linux

package postgresql

import (
	"context"
	"net"
)

// dialAs connects as whoever runs this: the helper itself is for Linux.
func dialAs(ctx context.Context, path string, _ int) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}
