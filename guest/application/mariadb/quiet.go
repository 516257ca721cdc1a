package mariadb

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// limits are the waits of a session, as the options name them.
type limits struct {
	quiet     time.Duration // ftwrlWaitTimeout
	threshold int           // ftwrlWaitThreshold, seconds
	updates   bool          // ftwrlWaitQueryType update: reads are not waited for
	lock      time.Duration // timeoutSeconds, and killLongQueriesTimeout besides
	kill      time.Duration // killLongQueriesTimeout; 0: never
	killAll   bool          // killLongQueryType all
}

func limitsOf(o protocol.Application) (limits, error) {
	l := limits{
		quiet: seconds(o.FTWRLWaitTimeout), threshold: o.FTWRLWaitThreshold, updates: o.FTWRLWaitQueryType == "update",
		lock: seconds(o.TimeoutSeconds), kill: seconds(o.KillLongQueriesTimeout), killAll: o.KillLongQueryType == "all",
	}
	if l.threshold == 0 {
		l.threshold = longQuery
	}
	if l.lock == 0 {
		l.lock = defaultTimeout
	}
	l.lock += l.kill
	switch {
	case o.FTWRLWaitQueryType != "" && o.FTWRLWaitQueryType != "all" && !l.updates:
		return l, fault.Input("application.ftwrlWaitQueryType", "wants all or update, got %q", o.FTWRLWaitQueryType)
	case o.KillLongQueryType != "" && o.KillLongQueryType != "select" && !l.killAll:
		return l, fault.Input("application.killLongQueryType", "wants all or select, got %q", o.KillLongQueryType)
	}
	return l, nil
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// query is one that runs now. Its text is not kept, because it may hold
// anything; its first word is.
type query struct {
	id   int64
	user string
	secs int
	verb string
}

func (q query) String() string {
	return fmt.Sprintf("the %s of connection %d (%s) has run for %d s", q.verb, q.id, q.user, q.secs)
}

// reads are the statements that change nothing.
var reads = map[string]bool{"SELECT": true, "SHOW": true, "EXPLAIN": true, "ANALYZE": true, "DESC": true, "DESCRIBE": true, "HELP": true, "WITH": true}

// running lists the queries of others that have run for so long, longest first.
func (a *adapter) running(ctx context.Context, secs int) (list []query, err error) {
	rows, err := a.conn.QueryContext(ctx, `SELECT ID, USER, TIME, LEFT(INFO, 64) FROM information_schema.PROCESSLIST
		WHERE ID <> CONNECTION_ID() AND COMMAND IN ('Query', 'Execute') AND INFO IS NOT NULL AND TIME >= ? ORDER BY TIME_MS DESC`, secs)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	for rows.Next() {
		var q query
		var text string
		if err := rows.Scan(&q.id, &q.user, &q.secs, &text); err != nil {
			return nil, translate(err)
		}
		q.verb = verb(text)
		list = append(list, q)
	}
	return list, translate(rows.Err())
}

// verb is a statement's first word, past a comment.
func verb(text string) string {
	for strings.HasPrefix(strings.TrimSpace(text), "/*") {
		_, rest, ended := strings.Cut(text, "*/")
		if !ended {
			return "query"
		}
		text = rest
	}
	words := strings.Fields(strings.TrimLeft(text, " \t\r\n("))
	if len(words) == 0 {
		return "query"
	}
	return strings.ToUpper(words[0])
}

// quiet waits until no query runs that would hold up the lock for long.
func (a *adapter) quiet(ctx context.Context) error {
	for began := time.Now(); ; {
		list, err := a.running(ctx, a.limits.threshold)
		if err != nil {
			return err
		}
		var long *query
		for i, q := range list {
			if long == nil && !(a.limits.updates && reads[q.verb]) {
				long = &list[i]
			}
		}
		switch {
		case long == nil:
			return nil
		case time.Since(began) >= a.limits.quiet:
			return fault.New(fault.ApplicationBusy, "the server is not quiet: %s", long)
		}
		if err := rest(ctx, look); err != nil {
			return err
		}
	}
}

// blame says who runs for longest, beside why the lock was not had.
func (a *adapter) blame(ctx context.Context, err error, waited time.Duration) error {
	list, asked := a.running(ctx, 0)
	if asked != nil || len(list) == 0 {
		return err
	}
	return fault.New(fault.ApplicationBusy, "the lock was not had in %v: %s", waited.Round(time.Second), list[0])
}

// kill ends the queries that have run for longer than the policy lets the lock
// wait. Their connections stay.
func (a *adapter) kill(ctx context.Context) error {
	list, err := a.running(ctx, int(a.limits.kill.Seconds()))
	if err != nil {
		return err
	}
	for _, q := range list {
		if !a.limits.killAll && q.verb != "SELECT" {
			continue
		}
		if _, err := a.conn.ExecContext(ctx, fmt.Sprintf("KILL QUERY %d", q.id)); err == nil {
			a.killed++ // one that has ended meanwhile is not there to be killed
		}
	}
	return rest(ctx, look)
}
