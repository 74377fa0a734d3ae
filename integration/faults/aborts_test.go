package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgtest"
)

// abortKind is what a client is in the middle of when it vanishes.
type abortKind int

const (
	inTransaction abortKind = iota
	inBurst
	inQuery
	inCopy
	inPipeline
	abortKinds
)

// String is the kind in the table aborted.
func (k abortKind) String() string {
	return [...]string{"transaction", "burst", "query", "copy", "pipeline"}[k]
}

// TestClientsVanish has clients vanish at random points, thousands of times.
// Nothing of what they did remains, nobody else sees anything of it, and the
// server connections are used again.
func TestClientsVanish(t *testing.T) {
	pg := postgres(t)
	const vanishing, checking, size = 32, 4, 8
	total := int64(10_000)
	if testing.Short() {
		total = 2_000
	}
	const seed = 20261122
	t.Logf("seed %d", seed)
	authorized := func() int { return strings.Count(pg.Log(), "connection authorized: user=aborter") }
	opened := authorized()
	before := goroutines(runtime.NumGoroutine())
	p, err := open(pg.Addr(), "aborter", size)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var aborts atomic.Int64
	var over atomic.Bool
	var vanishers, checkers sync.WaitGroup
	for i := range vanishing {
		vanishers.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for n := aborts.Add(1); n <= total; n = aborts.Add(1) {
				if err := vanish(t.Context(), p.Addr, r, n); err != nil {
					t.Errorf("client %d: %v", n, err)
					return
				}
			}
		})
	}
	var rounds, kept atomic.Int64
	for i := range checking {
		checkers.Go(func() {
			c := &checker{name: fmt.Sprintf("checker%d", i)}
			if err := c.run(t.Context(), p.Addr, &over); err != nil {
				t.Errorf("%s, round %d: %v", c.name, c.rounds, err)
			}
			rounds.Add(c.rounds)
			kept.Add(c.kept)
		})
	}
	vanishers.Wait()
	over.Store(true)
	checkers.Wait()
	took := time.Since(began)

	clean, err := checkClean(p)
	if err != nil {
		t.Errorf("the pool is not clean: %v", err)
	}
	checkRemains(t, pg, int(kept.Load()))
	opened = authorized() - opened
	if limit := size + int(total/100); opened > limit || opened == 0 {
		t.Errorf("%d server connections were opened, want at most %d", opened, limit)
	}
	log := p.Log()
	p.Close()
	before.check(t)
	if t.Failed() {
		t.Logf("Penstock's log ends with\n%s", tail(log))
	}
	t.Logf("%d aborts in %.1fs (%.0f/s), %d checking rounds, pool clean after %v; %d server connections opened, %.2f %% of the aborts cost none",
		total, took.Seconds(), float64(total)/took.Seconds(), rounds.Load(), clean.Round(time.Millisecond), opened,
		100*(1-float64(max(0, opened-size))/float64(total)))
}

// checkRemains: nothing of the vanished is left, and all of the others.
func checkRemains(t *testing.T, pg *pgtest.Instance, kept int) {
	t.Helper()
	rows, err := pg.Query(t.Context(), "postgres", "SELECT kind, count(*), min(id) FROM aborted WHERE kind <> 'checker' GROUP BY kind")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		t.Errorf("rows of vanished clients are visible: %s rows of kind %s, the first of client %s", row[1], row[0], row[2])
	}
	n, err := number(t.Context(), pg, "SELECT count(*) FROM aborted WHERE kind = 'checker'")
	if err != nil || n != kept {
		t.Errorf("the checking clients committed %d rows, and %d are there, %v", kept, n, err)
	}
	n, err = number(t.Context(), pg, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'aborter' AND state <> 'idle'")
	if err != nil || n != 0 {
		t.Errorf("%d server connections are not idle, %v", n, err)
	}
}

// vanish connects, begins something and closes the connection.
func vanish(ctx context.Context, addr string, r *rand.Rand, id int64) error {
	c, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer func() {
		if r.IntN(2) == 0 {
			_ = c.Conn.(*net.TCPConn).SetLinger(0) // it is open still
		}
		c.Conn.Close()
	}()
	kind, upTo := abortKind(r.IntN(int(abortKinds))), 4*time.Millisecond
	row := fmt.Sprintf("INSERT INTO aborted VALUES (%d, '%s')", id, kind)
	var data []byte
	switch kind {
	case inTransaction:
		if _, err := ask(c, "BEGIN"); err != nil {
			return err
		}
		data = encode(&pgproto3.Query{String: row})
	case inBurst:
		data = encode(&pgproto3.Query{String: "BEGIN"}, &pgproto3.Query{String: row}, &pgproto3.Query{String: "SELECT 1"})
	case inQuery:
		upTo = 60 * time.Millisecond
		data = encode(&pgproto3.Query{String: "SELECT pg_sleep(0.05)"})
	case inCopy:
		if err := c.Send(&pgproto3.Query{String: "COPY aborted FROM STDIN"}); err != nil {
			return err
		}
		if _, err := c.ReceiveTypes("CopyInResponse", hangTime); err != nil {
			return err
		}
		line := &pgproto3.CopyData{Data: fmt.Appendf(nil, "%d\t%s\n", id, kind)}
		data = encode(line, line, line, line)
	default:
		statement := fmt.Sprintf("s%d", r.IntN(3))
		data = encode(
			&pgproto3.Parse{Name: statement, Query: "INSERT INTO aborted VALUES ($1, 'pipeline')", ParameterOIDs: []uint32{20}},
			&pgproto3.Bind{PreparedStatement: statement, Parameters: [][]byte{fmt.Append(nil, id)}}, &pgproto3.Execute{},
			&pgproto3.Parse{Query: "SELECT 'vanished'"}, &pgproto3.Bind{}, &pgproto3.Execute{})
		if r.IntN(2) == 0 {
			data = append(data, encode(&pgproto3.Flush{})...)
		}
	}
	if r.IntN(3) == 0 {
		data = data[:r.IntN(len(data))]
	}
	if err := c.SendRaw(data); err != nil {
		return err
	}
	if r.IntN(4) > 0 {
		time.Sleep(time.Duration(r.Int64N(int64(upTo))))
	}
	return nil
}

// encode returns messages as bytes; those of the tests can all be encoded.
func encode(messages ...pgproto3.FrontendMessage) []byte {
	var data []byte
	for _, msg := range messages {
		data, _ = msg.Encode(data)
	}
	return data
}

// checker is a client that expects its own values, and no transaction of
// anybody else around it.
type checker struct {
	name   string
	rounds int64
	kept   int64
}

func (k *checker) run(ctx context.Context, addr string, over *atomic.Bool) error {
	c, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	for ; !over.Load(); k.rounds++ {
		if err := errors.Join(k.look(c), k.extended(c)); err != nil {
			return err
		}
		if k.rounds%8 == 0 {
			if err := k.transaction(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// outside are the columns that tell whether a statement is a transaction of
// its own, and whether it sees what was never committed.
const outside = `pg_current_xact_id_if_assigned() IS NULL,
	(SELECT count(*) FROM aborted WHERE kind <> 'checker')`

func (k *checker) value() string { return fmt.Sprintf("%s-%d", k.name, k.rounds) }

func (k *checker) look(c *pgtest.Client) error {
	a, err := ask(c, fmt.Sprintf("SELECT '%s', now() = statement_timestamp(), %s", k.value(), outside))
	return k.judge(a, err)
}

func (k *checker) extended(c *pgtest.Client) error {
	err := c.SendRaw(encode(
		&pgproto3.Parse{Name: "mine", Query: "SELECT $1::text, true, " + outside},
		&pgproto3.Bind{PreparedStatement: "mine", Parameters: [][]byte{[]byte(k.value())}}, &pgproto3.Execute{},
		&pgproto3.Close{ObjectType: 'S', Name: "mine"}, &pgproto3.Sync{}))
	if err != nil {
		return err
	}
	a, err := hear(c)
	return k.judge(a, err)
}

func (k *checker) judge(a answer, err error) error {
	want := fmt.Sprint([][]string{{k.value(), "t", "t", "0"}})
	if got := fmt.Sprint(a.rows); err != nil || got != want || a.status != 'I' {
		return fmt.Errorf("got %s with status %q, %v; want %s", got, a.status, err, want)
	}
	return nil
}

// transaction commits a row, and sees nothing but its own in between.
func (k *checker) transaction(c *pgtest.Client) error {
	for _, step := range []struct {
		sql    string
		want   string
		status byte
	}{
		{"BEGIN", "[]", 'T'},
		{"SELECT pg_current_xact_id_if_assigned() IS NULL", "[[t]]", 'T'},
		{fmt.Sprintf("INSERT INTO aborted VALUES (%d, 'checker') RETURNING id", k.rounds), fmt.Sprintf("[[%d]]", k.rounds), 'T'},
		{"SELECT count(*) FROM aborted WHERE xmin = pg_current_xact_id()::xid", "[[1]]", 'T'},
		{"COMMIT", "[]", 'I'},
	} {
		a, err := ask(c, step.sql)
		if got := fmt.Sprint(a.rows); err != nil || got != step.want || a.status != step.status {
			return fmt.Errorf("%s: got %s with status %q, %v; want %s", step.sql, got, a.status, err, step.want)
		}
	}
	k.kept++
	return nil
}
