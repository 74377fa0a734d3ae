package routing

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/pgtest"
)

const failoverRouting = "trust_hints = true\ncausal_wait = \"50ms\""

// honest are the SQLSTATEs that tell a client the truth about a statement that
// was lost with its server: that it may be tried again, or that nobody knows.
var honest = []string{
	"08006", // connection_failure
	"08007", // transaction_resolution_unknown
	"40001", // serialization_failure
	"40003", // statement_completion_unknown
	"57P01", // admin_shutdown
	"57P02", // crash_shutdown
	"57P03", // cannot_connect_now
}

// TestPrimaryKilled kills the primary, which had a synchronous standby, under
// clients that write, and promotes the standby that has most. What was
// acknowledged must be there, and who was not told so must have heard an honest
// error; whoever only reads hears none.
func TestPrimaryKilled(t *testing.T) {
	c := failoverServers(t, map[string]string{"synchronous_standby_names": "*", "synchronous_commit": "on"})
	p := start(t, c, failoverRouting, `query_wait_timeout = "20s"`)
	p.ready(t)
	all := &crowd{p: p, writers: 40, readers: 20, think: 20 * time.Millisecond}
	all.gather(t)

	var pauses, promotions []time.Duration
	rounds := trials(t, 3, 50)
	for round := range rounds {
		time.Sleep(300 * time.Millisecond)
		old := c.Primary
		all.reads.mark()
		all.acks.mark()
		if err := old.Kill(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(round%4) * 50 * time.Millisecond)
		at, took := promote(t, c, mostAdvanced(t, c))
		all.writesAfter(t, at, 20*time.Second)
		pause, _ := all.acks.seen()
		pauses, promotions = append(pauses, pause), append(promotions, took)
		if err := c.Rebuild(context.Background(), old); err != nil {
			t.Fatal(err)
		}
		p.replicasUp(t, 2)
		if t.Failed() {
			break
		}
	}
	all.disperse()
	for _, f := range all.since(time.Time{}) {
		if !slices.Contains(honest, f.code) {
			complain(t, "no honest error", []failure{f})
		}
	}
	complain(t, "an autocommit read failed", all.since(time.Time{}, "read"))
	l := all.audit(t, c.Primary, time.Time{})
	t.Logf("%d primaries killed: %d statements, %v; errors: %s", rounds, all.statements.Load(), l, all.summary())
	t.Logf("write pause %s; pg_promote %s", longest(pauses), longest(promotions))
	t.Log(p.routes())
}

// TestSplitBrain freezes the primary, promotes a replica, and lets the old one
// go on when Penstock uses the new one: it takes writes, and must get none.
// What was on its way when it froze it may still carry out; nobody is told that
// this was done.
func TestSplitBrain(t *testing.T) {
	c := failoverServers(t, map[string]string{"log_statement": "all"})
	p := start(t, c, failoverRouting, `query_wait_timeout = "20s"`)
	p.ready(t)
	all := &crowd{p: p, writers: 40, readers: 20, think: 20 * time.Millisecond}
	all.gather(t)

	rounds := trials(t, 3, 100)
	var pauses []time.Duration
	late, unseen := 0, 0
	for round := range rounds {
		s := splitBrain(t, c, all)
		pauses = append(pauses, s.pause)
		late += s.late
		unseen += s.unseen
		if t.Failed() {
			t.Logf("trial %d", round)
			break
		}
	}
	t.Logf("%d trials: 0 statements sent after the promotion was known ran on the old primary; %d sent before did, %d rows of which only it has",
		rounds, late, unseen)
	t.Logf("write pause %s; %d statements; errors: %s", longest(pauses), all.statements.Load(), all.summary())
	t.Log(p.routes())
}

// split is what a trial has seen.
type split struct {
	pause  time.Duration
	late   int // statements that were under way when the primary froze
	unseen int // rows that only the old primary has
}

func splitBrain(t *testing.T, c *pgtest.Cluster, all *crowd) split {
	t.Helper()
	time.Sleep(200 * time.Millisecond)
	var s split
	old := c.Primary
	all.acks.mark()
	if err := old.Freeze(); err != nil {
		t.Fatal(err)
	}
	frozen := time.Now()
	time.Sleep(50 * time.Millisecond) // some statements stand in its sockets
	at, _ := promote(t, c, mostAdvanced(t, c))
	known := all.writesAfter(t, at, 20*time.Second)
	s.pause, _ = all.acks.seen()
	logged := len(old.Log())
	if err := old.Thaw(); err != nil {
		t.Fatal(err)
	}
	t.Logf("frozen by %s, the new one promoted %s, known by %s, the old one thawed by %s", clock(frozen), clock(at), clock(known), clock(time.Now()))
	time.Sleep(500 * time.Millisecond)

	// The old primary: what it has carried out since, and what only it has.
	all.mu.Lock()
	for _, id := range numbersIn(old.Log()[logged:]) {
		s.late++
		if w := all.writes[id]; w != nil && w.issued.After(known) {
			t.Errorf("statement %d, sent %v after the new primary had taken a write, ran on the old one", id, w.issued.Sub(known))
		}
	}
	all.mu.Unlock()
	there, here := rowsOf(t, c.Primary), rowsOf(t, old)
	all.mu.Lock()
	for id := range here {
		w := all.writes[id]
		if there[id] > 0 || w == nil {
			continue
		}
		s.unseen++
		if w.acked.After(at) {
			t.Errorf("write %d, acknowledged %v after the promotion, is on the old primary only", id, w.acked.Sub(at))
		}
		if w.issued.After(known) {
			t.Errorf("write %d, sent %v after the new primary had taken a write, is on the old one", id, w.issued.Sub(known))
		}
	}
	all.mu.Unlock()
	all.audit(t, c.Primary, at)
	for _, f := range all.since(time.Time{}) {
		if !slices.Contains(honest, f.code) {
			complain(t, "no honest error", []failure{f})
		}
	}
	complain(t, "an autocommit read failed", all.since(time.Time{}, "read"))
	if err := c.Rebuild(context.Background(), old); err != nil {
		t.Fatal(err)
	}
	all.p.replicasUp(t, 2)
	return s
}

func clock(at time.Time) string { return at.Format("15:04:05.000") }

// aNumber finds the numbers of writes in the statements that a server has logged.
var aNumber = regexp.MustCompile(`(?:insert into w values \(\s*|from w where id =\s*)'?(\d+)|parameters: \$1 = '(\d+)'`)

func numbersIn(log string) []int64 {
	var list []int64
	lines := strings.Split(log, "\n")
	for n, line := range lines {
		if m := aNumber.FindStringSubmatch(line); m != nil {
			if m[2] != "" && (n == 0 || !strings.Contains(lines[n-1], " w ")) {
				continue // the parameters of another statement
			}
			id, _ := strconv.ParseInt(m[1]+m[2], 10, 64)
			list = append(list, id)
		}
	}
	return list
}

// TestDemotedBehindOurBack makes the primary a standby without a word to
// Penstock, and lets the cluster be without a primary for a while. Writes wait
// for the one that comes; that a standby takes none is not the clients' affair.
func TestDemotedBehindOurBack(t *testing.T) {
	for _, way := range []string{"idle", "under load"} {
		t.Run(way, func(t *testing.T) {
			c := failoverServers(t, nil)
			p := start(t, c, failoverRouting, `query_wait_timeout = "20s"`)
			p.ready(t)
			all := &crowd{p: p, writers: 40, readers: 10, think: 50 * time.Millisecond}
			if way == "idle" {
				demote(t, c, p, nil)
				return
			}
			all.gather(t)
			time.Sleep(500 * time.Millisecond)
			demote(t, c, p, all)
		})
	}
}

// demote does it: with a crowd, or to clients that write when it has happened.
func demote(t *testing.T, c *pgtest.Cluster, p *penstock, all *crowd) {
	t.Helper()
	ctx := context.Background()
	var conns []*pgx.Conn
	for i := range 12 {
		conn := p.connect(t, "default_query_exec_mode="+ways[i%len(ways)])
		if _, err := conn.Exec(ctx, insertSQL, -1-i, i); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	began := time.Now()
	if err := c.Demote(ctx); err != nil {
		t.Fatal(err)
	}
	demoted := time.Now()
	type result struct {
		i    int
		took time.Duration
		err  error
	}
	results := make(chan result)
	for i, conn := range conns {
		go func() {
			asked := time.Now()
			var err error
			if i%3 == 2 {
				err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
					_, err := tx.Exec(ctx, insertSQL, -101-i, i)
					return err
				})
			} else {
				_, err = conn.Exec(ctx, insertSQL, -101-i, i)
			}
			results <- result{i, time.Since(asked), err}
		}()
	}
	time.Sleep(time.Second)
	at, took := promote(t, c, c.Replicas[0])
	for range conns {
		r := <-results
		switch {
		case r.err != nil:
			t.Errorf("client %d (%s): a write sent after the primary was demoted: after %v: %v", r.i, ways[r.i%len(ways)], r.took, r.err)
		case r.took < at.Sub(demoted)-100*time.Millisecond:
			t.Errorf("client %d: its write took %v, and there was no primary for %v", r.i, r.took, at.Sub(demoted))
		}
	}
	rows, err := c.Primary.Query(ctx, "postgres", "select count(*), count(distinct id) from w where id < 0")
	if err != nil || rows[0][0] != "24" || rows[0][1] != "24" {
		t.Errorf("%v rows of 24, %v", rows, err)
	}
	t.Logf("no primary for %v, pg_promote took %v", at.Sub(began).Round(time.Millisecond), took)
	if all == nil {
		return
	}
	all.writesAfter(t, at, 10*time.Second)
	time.Sleep(300 * time.Millisecond)
	all.disperse()
	for _, f := range all.since(time.Time{}) {
		if !slices.Contains(honest, f.code) || f.at.After(demoted.Add(200*time.Millisecond)) {
			complain(t, "a client saw", []failure{f})
		}
	}
	complain(t, "an autocommit read failed", all.since(time.Time{}, "read"))
	if err := c.Primary.Exec(ctx, "postgres", "delete from w where id < 0"); err != nil {
		t.Fatal(err)
	}
	t.Logf("%v; errors: %s", all.audit(t, c.Primary, time.Time{}), all.summary())
}

// TestNoPrimary has no primary at all: writes wait as long as query_wait_timeout
// says, and fail with an error after which the session goes on.
func TestNoPrimary(t *testing.T) {
	c := failoverServers(t, nil)
	p := start(t, c, failoverRouting, `query_wait_timeout = "700ms"`)
	p.ready(t)
	ctx := context.Background()
	var conns []*pgx.Conn
	for _, way := range ways {
		conn := p.connect(t, "default_query_exec_mode="+way)
		if _, err := conn.Exec(ctx, insertSQL, 1, 1); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	time.Sleep(200 * time.Millisecond) // until it is known how far the writes were: later nobody can tell
	for name, stop := range map[string]func() error{
		"stopped": func() error { return c.Primary.Stop(pgtest.Fast) },
		"killed":  c.Primary.Kill,
	} {
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		for n, conn := range conns {
			for range 2 {
				began := time.Now()
				_, err := conn.Exec(ctx, insertSQL, 2, 1)
				took := time.Since(began)
				refused := new(pgconn.PgError)
				if !errors.As(err, &refused) || refused.Code != "57P03" || refused.Severity != "ERROR" {
					t.Errorf("primary %s, %s: a write got %v, want ERROR 57P03", name, ways[n], err)
				}
				if took < 500*time.Millisecond || took > 4*time.Second {
					t.Errorf("primary %s, %s: it waited %v", name, ways[n], took)
				}
				if conn.IsClosed() {
					t.Fatalf("primary %s, %s: the session has ended", name, ways[n])
				}
				began = time.Now()
				if err := readRow(ctx, conn, 7); err != nil {
					t.Errorf("primary %s, %s: a read afterwards, after %v: %v\n%s", name, ways[n], time.Since(began), err, p.routes())
				}
			}
			tx, err := conn.Begin(ctx)
			if err == nil {
				_, err = tx.Exec(ctx, insertSQL, 2, 1)
				if tx.Rollback(ctx) != nil {
					t.Errorf("primary %s, %s: no ROLLBACK", name, ways[n])
				}
			}
			refused := new(pgconn.PgError)
			if !errors.As(err, &refused) || refused.Code != "57P03" {
				t.Errorf("primary %s, %s: a write in a transaction got %v", name, ways[n], err)
			}
		}
		if err := c.Primary.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		for n, conn := range conns {
			if _, err := conn.Exec(ctx, insertSQL, 3, 1); err != nil {
				t.Errorf("primary back after it was %s, %s: %v", name, ways[n], err)
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
	rows, err := c.Primary.Query(ctx, "postgres", "select count(*) filter (where id = 2), count(*) filter (where id = 3) from w")
	if err != nil || rows[0][0] != "0" || rows[0][1] != "8" {
		t.Errorf("rows of refused and of later writes: %v, %v", rows, err)
	}
}
