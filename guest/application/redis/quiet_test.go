package redis

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quiesce/quiesce/shared/fault"
)

// TestQuietEndsInACommand is a server that rewrites its file and then answers no
// more: the operator reads what was waited for, whichever limit ended it.
func TestQuietEndsInACommand(t *testing.T) {
	for name, limits := range map[string]struct{ read, all time.Duration }{
		"by the socket, which tells first": {time.Second, time.Hour},
		"by the limit of the wait":         {time.Hour, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				ended := make(chan struct{})
				go func() { defer close(ended); rewriting(t, there) }()
				options := once(address{})
				options.Dialer = func(context.Context, string, string) (net.Conn, error) { return here, nil }
				options.ReadTimeout = limits.read
				pool := redis.NewClient(options)
				c := &client{pool: pool, conn: pool.Conn()}
				ctx, cancel := context.WithTimeout(t.Context(), limits.all)
				defer cancel()
				_, err := c.quiet(ctx)
				if fault.CodeOf(err) != fault.ApplicationBusy || !strings.HasPrefix(err.Error(), "the append-only file is being rewritten: ") {
					t.Errorf("got %v (%s)", err, fault.CodeOf(err))
				}
				c.close()
				<-ended
			})
		})
	}
}

// rewriting answers as a server that rewrites its file, until it is asked for
// its state a second time.
func rewriting(t *testing.T, conn net.Conn) {
	info := "redis_version:7.0.15\r\naof_enabled:1\r\naof_rewrite_in_progress:1\r\naof_last_write_status:ok\r\n"
	answers := map[string]string{
		"HELLO":  "-ERR unknown command\r\n",
		"CLIENT": ":7\r\n",
		"CONFIG": "*2\r\n$4\r\nsave\r\n$0\r\n\r\n",
		"INFO":   fmt.Sprintf("$%d\r\n%s\r\n", len(info), info),
	}
	asked, lines := 0, bufio.NewReader(conn)
	line := func() string { s, _ := lines.ReadString('\n'); return strings.TrimSpace(s) }
	for {
		var words []string
		n, err := strconv.Atoi(strings.TrimPrefix(line(), "*"))
		for ; n > 0; n-- {
			line() // the length
			words = append(words, strings.ToUpper(line()))
		}
		switch {
		case err != nil:
			return
		case words[0] == "INFO":
			asked++
		}
		if asked > 1 {
			_, _ = io.Copy(io.Discard, conn)
			return
		}
		answer := answers[words[0]]
		if len(words) > 1 && words[1] == "SETNAME" {
			answer = "+OK\r\n"
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			t.Error(err)
		}
	}
}
