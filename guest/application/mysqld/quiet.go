package mysqld

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
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
	id          int64
	user        string
	secs        int
	verb, state string
}

func (q query) String() string {
	return fmt.Sprintf("the %s of connection %d (%s) has run for %d s", q.verb, q.id, q.user, q.secs)
}

// reads are the statements that change nothing.
var reads = map[string]bool{"SELECT": true, "SHOW": true, "EXPLAIN": true, "ANALYZE": true, "DESC": true, "DESCRIBE": true, "HELP": true, "WITH": true}

// tableFlush is the state of one that waits until a table which was flushed is
// closed by all who have it open.
const tableFlush = "Waiting for table flush"

// listed reads SHOW PROCESSLIST, whose columns differ between servers. Those of
// replication are left out: their times are the source's, and nobody kills them.
func (s *Session) listed(ctx context.Context) (list []query, err error) {
	rows, err := s.conn.QueryContext(ctx, "SHOW PROCESSLIST")
	if err != nil {
		return nil, Translate(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, Translate(err)
	}
	for rows.Next() {
		values, at := make([]sql.NullString, len(columns)), make([]any, len(columns))
		row := map[string]*sql.NullString{}
		for i, name := range columns {
			at[i], row[strings.ToLower(name)] = &values[i], &values[i]
		}
		if err := rows.Scan(at...); err != nil {
			return nil, Translate(err)
		}
		q := query{state: row["state"].String, user: row["user"].String, verb: verb(row["info"].String)}
		q.id, _ = strconv.ParseInt(row["id"].String, 10, 64)
		q.secs, _ = strconv.Atoi(row["time"].String)
		switch command := row["command"].String; {
		case q.id == s.id, q.user == "system user", !row["info"].Valid:
		case command == "Query", command == "Execute":
			list = append(list, q)
		}
	}
	return list, Translate(rows.Err())
}

// running lists the queries of others that have run for so long, longest first.
func (s *Session) running(ctx context.Context, secs int) ([]query, error) {
	list, err := s.listed(ctx)
	list = slices.DeleteFunc(list, func(q query) bool { return q.secs < secs })
	slices.SortStableFunc(list, func(a, b query) int { return cmp.Compare(b.secs, a.secs) })
	return list, err
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

// long is the query that has run for longest of those that the limits have
// waited for, and for so long at least; nil if none has.
func (s *Session) long(ctx context.Context, secs int) (*query, error) {
	list, err := s.running(ctx, secs)
	for i, q := range list {
		if !(s.limits.updates && reads[q.verb]) {
			return &list[i], err
		}
	}
	return nil, err
}

// quiet waits until no query runs that would hold up the lock for long.
func (s *Session) quiet(ctx context.Context) error {
	var last *query
	for began := time.Now(); ; {
		q, err := s.long(ctx, s.limits.threshold)
		switch {
		case err != nil && last != nil && fault.CodeOf(err) == fault.ApplicationBusy:
			return fault.Wrap(fault.ApplicationBusy, err, "the server is not quiet: %s", last)
		case err != nil:
			return err
		case q == nil:
			return nil
		case time.Since(began) >= s.limits.quiet:
			return fault.New(fault.ApplicationBusy, "the server is not quiet: %s", q)
		}
		if last = q; rest(ctx, look) != nil {
			return fault.Wrap(fault.ApplicationBusy, context.Cause(ctx), "the server is not quiet: %s", q)
		}
	}
}

// calm refuses an attempt at a flush that is likely to fail: a query that has
// run for as long as the attempt may take will outlast it, and then its tables
// stay shut to all others until it ends.
func (s *Session) calm(ctx context.Context) error {
	q, err := s.long(ctx, int(attempt.Seconds()))
	if err == nil && q != nil {
		err = fault.New(fault.ApplicationBusy, "%s", q)
	}
	return err
}

// wedged tells, after an attempt that failed, whether others now wait for the
// flush that it began. Giving the lock up does not help them, and another
// attempt would add to them: only the end of the query that they wait for does.
func (s *Session) wedged(ctx context.Context) error {
	list, err := s.running(ctx, 0)
	if err != nil {
		return err
	}
	wait := func(q query) bool { return q.state == tableFlush }
	n := len(list)
	list = slices.DeleteFunc(list, wait)
	if n -= len(list); n == 0 {
		return nil
	}
	why := "nobody is seen to hold it up"
	if len(list) > 0 {
		why = list[0].String()
	}
	return fault.New(fault.ApplicationBusy, "%d statements wait for a table flush: %s", n, why)
}

// blame says who runs for longest, beside why the lock was not had.
func (s *Session) blame(ctx context.Context, err error, waited time.Duration) error {
	list, asked := s.running(ctx, 0)
	if asked != nil || len(list) == 0 {
		return err
	}
	return fault.New(fault.ApplicationBusy, "the lock was not had in %v: %s", waited.Round(time.Second), list[0])
}

// kill ends the queries that have run for longer than the policy lets the lock
// wait. Their connections stay.
func (s *Session) kill(ctx context.Context) error {
	list, err := s.running(ctx, int(s.limits.kill.Seconds()))
	if err != nil {
		return err
	}
	for _, q := range list {
		if !s.limits.killAll && q.verb != "SELECT" {
			continue
		}
		if _, err := s.conn.ExecContext(ctx, fmt.Sprintf("KILL QUERY %d", q.id)); err == nil {
			s.Killed++ // one that has ended meanwhile is not there to be killed
		}
	}
	return rest(ctx, look)
}
