package routing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/pgtest"
)

// trials is how often a test repeats itself: few times in CI, and as often as
// its acceptance asks for where PENSTOCK_SOAK is a duration. A number there is a
// factor.
func trials(tb testing.TB, few, full int) int {
	tb.Helper()
	switch soak := os.Getenv("PENSTOCK_SOAK"); {
	case soak != "":
		if n, err := strconv.Atoi(soak); err == nil {
			return min(full, few*max(1, n))
		}
		if _, err := time.ParseDuration(soak); err != nil {
			tb.Fatalf("PENSTOCK_SOAK=%q is neither a duration nor a factor", soak)
		}
		return full
	case testing.Short():
		return 1
	}
	return few
}

// failoverServers are a primary and two replicas that can change places quickly.
func failoverServers(tb testing.TB, settings map[string]string) *pgtest.Cluster {
	tb.Helper()
	all := map[string]string{"wal_retrieve_retry_interval": "50ms", "wal_receiver_timeout": "5s"}
	maps.Copy(all, settings)
	c := servers(tb, 2, all)
	if err := c.Primary.Exec(context.Background(), "postgres", `
		create table w (id bigint not null, client int not null); create index on w (id);
		create table r (id int primary key, n int not null);
		insert into r select g, g from generate_series(1, 1000) g`); err != nil {
		tb.Fatal(err)
	}
	if err := c.CatchUp(context.Background()); err != nil {
		tb.Fatal(err)
	}
	return c
}

// crowd is clients that write and read until they are stopped. Each write has a
// number of its own, so that what was acknowledged can be told from what is
// there in the end.
type crowd struct {
	p       *penstock
	writers int
	readers int
	think   time.Duration // between two of a client's statements, on average
	// patience is how long a statement may take until it counts as hanging.
	patience time.Duration
	// read is the autocommit read of readers; nil: one row of r.
	read func(ctx context.Context, conn *pgx.Conn, n int) error

	ids  atomic.Int64
	stop context.CancelFunc
	ctx  context.Context
	done sync.WaitGroup

	reads, acks pace
	statements  atomic.Int64 // that succeeded

	mu       sync.Mutex
	writes   map[int64]*written
	failures []failure
	stale    []string // reads that did not see the session's own write
}

// written is one write.
type written struct {
	issued, acked time.Time // acked is zero without an acknowledgement
	undone        bool      // the client was told that it did not happen
}

// failure is an error that a client saw.
type failure struct {
	what  string // read, write, begin, in-transaction, commit, connect
	code  string // "" without an SQLSTATE
	text  string
	at    time.Time
	after time.Duration
}

func (f failure) String() string {
	return fmt.Sprintf("%s %s after %v: %s", f.what, cmp.Or(f.code, "(no SQLSTATE)"), f.after.Round(time.Millisecond), f.text)
}

// pace watches how often something succeeds.
type pace struct {
	last    atomic.Int64 // Unix nanoseconds
	gap     atomic.Int64 // the longest between two
	slowest atomic.Int64
	count   atomic.Int64
}

func (p *pace) note(began, now time.Time) {
	lift(&p.gap, now.UnixNano()-p.last.Swap(now.UnixNano()))
	lift(&p.slowest, int64(now.Sub(began)))
	p.count.Add(1)
}

func lift(to *atomic.Int64, value int64) {
	for old := to.Load(); value > old && !to.CompareAndSwap(old, value); old = to.Load() {
	}
}

// mark starts anew.
func (p *pace) mark() {
	p.last.Store(time.Now().UnixNano())
	p.gap.Store(0)
	p.slowest.Store(0)
	p.count.Store(0)
}

// seen returns the longest time without a success, and the slowest success.
func (p *pace) seen() (gap, slowest time.Duration) {
	lift(&p.gap, time.Now().UnixNano()-p.last.Load())
	return time.Duration(p.gap.Load()).Round(time.Millisecond), time.Duration(p.slowest.Load()).Round(time.Millisecond)
}

// ways are those in which clients send their statements.
var ways = []string{"simple_protocol", "exec", "cache_statement", "cache_describe"}

// gather starts a crowd. The test stops it, or its end does.
func (c *crowd) gather(tb testing.TB) {
	tb.Helper()
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.writes = map[int64]*written{}
	c.patience = cmp.Or(c.patience, 30*time.Second)
	if c.read == nil {
		c.read = readRow
	}
	var arrived sync.WaitGroup
	for i := range c.writers + c.readers {
		arrived.Add(1)
		c.done.Go(func() { c.client(i, &arrived) })
	}
	tb.Cleanup(c.disperse)
	arrived.Wait()
	c.reads.mark()
	c.acks.mark()
}

func (c *crowd) disperse() {
	c.stop()
	c.done.Wait()
}

// client is one of the crowd: writers first, then readers.
func (c *crowd) client(i int, arrived *sync.WaitGroup) {
	random := rand.New(rand.NewPCG(uint64(i), 1))
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(context.Background())
		}
	}()
	for first := true; c.ctx.Err() == nil; c.pause(random) {
		if conn == nil || conn.IsClosed() {
			conn = c.join(i)
		}
		if first {
			arrived.Done()
			first = false
		}
		switch {
		case conn == nil:
		case i >= c.writers && i%8 == 7:
			c.readOnly(conn, 1+random.IntN(1000))
		case i >= c.writers:
			c.readOne(conn, 1+random.IntN(1000))
		case i%3 == 2:
			c.transaction(conn, i, random)
		default:
			c.write(conn, i)
		}
	}
}

func (c *crowd) pause(random *rand.Rand) {
	timer := time.NewTimer(c.think/2 + time.Duration(random.Int64N(int64(c.think))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.ctx.Done():
	}
}

func (c *crowd) join(i int) *pgx.Conn {
	ctx, stop := context.WithTimeout(context.Background(), c.patience)
	defer stop()
	began := time.Now()
	conn, err := pgx.Connect(ctx, c.p.dsn("default_query_exec_mode="+ways[i%len(ways)]))
	if err != nil {
		c.failed("connect", began, err)
		return nil
	}
	return conn
}

// failed notes an error, and returns its SQLSTATE.
func (c *crowd) failed(what string, began time.Time, err error) string {
	f := failure{what: what, text: err.Error(), at: time.Now(), after: time.Since(began)}
	if refused := new(pgconn.PgError); errors.As(err, &refused) {
		f.code = refused.Code
	}
	c.mu.Lock()
	c.failures = append(c.failures, f)
	c.mu.Unlock()
	return f.code
}

// number notes a write that is about to be sent.
func (c *crowd) number() int64 {
	id := c.ids.Add(1)
	c.mu.Lock()
	c.writes[id] = &written{issued: time.Now()}
	c.mu.Unlock()
	return id
}

func (c *crowd) acknowledged(id int64, began time.Time) {
	now := time.Now()
	c.acks.note(began, now)
	c.statements.Add(1)
	c.mu.Lock()
	c.writes[id].acked = now
	c.mu.Unlock()
}

func (c *crowd) undone(id int64) {
	c.mu.Lock()
	c.writes[id].undone = true
	c.mu.Unlock()
}

const (
	insertSQL = "insert into w values ($1, $2)"
	ownSQL    = "select count(*) from w where id = $1"
)

// write is an autocommit write and a read that must see it.
func (c *crowd) write(conn *pgx.Conn, client int) {
	id := c.number()
	ctx, stop := context.WithTimeout(context.Background(), c.patience)
	defer stop()
	began := time.Now()
	if _, err := conn.Exec(ctx, insertSQL, id, client); err != nil {
		// Neither of these leaves it open whether the statement was carried out.
		if code := c.failed("write", began, err); code == "40001" || code == "57P03" {
			c.undone(id)
		}
		return
	}
	c.acknowledged(id, began)
	c.own(ctx, conn, id, "read")
}

// own reads a write of the session's own back.
func (c *crowd) own(ctx context.Context, conn *pgx.Conn, id int64, what string) bool {
	began := time.Now()
	var n int
	if err := conn.QueryRow(ctx, ownSQL, id).Scan(&n); err != nil {
		c.failed(what, began, err)
		return false
	}
	c.statements.Add(1)
	if n != 1 {
		c.mu.Lock()
		c.stale = append(c.stale, fmt.Sprintf("%d rows of write %d at %v", n, id, time.Now().Format(time.StampMilli)))
		c.mu.Unlock()
	}
	return true
}

// transaction writes in a transaction that stays open for a moment.
func (c *crowd) transaction(conn *pgx.Conn, client int, random *rand.Rand) {
	id := c.number()
	ctx, stop := context.WithTimeout(context.Background(), c.patience)
	defer stop()
	began := time.Now()
	tx, err := conn.Begin(ctx)
	if err != nil {
		c.failed("begin", began, err)
		c.undone(id)
		return
	}
	if _, err := tx.Exec(ctx, insertSQL, id, client); err != nil {
		c.failed("in-transaction", began, err)
		c.undone(id)
		_ = tx.Rollback(ctx)
		return
	}
	time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
	if !c.own(ctx, conn, id, "in-transaction") {
		c.undone(id)
		_ = tx.Rollback(ctx)
		return
	}
	if err := tx.Commit(ctx); err != nil {
		if code := c.failed("commit", began, err); code == "40001" {
			c.undone(id)
		}
		return
	}
	c.acknowledged(id, began)
	c.own(ctx, conn, id, "read")
}

// readOne is an autocommit read.
func (c *crowd) readOne(conn *pgx.Conn, n int) {
	ctx, stop := context.WithTimeout(context.Background(), c.patience)
	defer stop()
	began := time.Now()
	if err := c.read(ctx, conn, n); err != nil {
		c.failed("read", began, err)
		return
	}
	c.statements.Add(1)
	c.reads.note(began, time.Now())
}

func readRow(ctx context.Context, conn *pgx.Conn, n int) error {
	var got int
	err := conn.QueryRow(ctx, "select n from r where id = $1", n).Scan(&got)
	if err == nil && got != n {
		return fmt.Errorf("row %d holds %d", n, got)
	}
	return err
}

// readOnly reads in a READ ONLY transaction.
func (c *crowd) readOnly(conn *pgx.Conn, n int) {
	ctx, stop := context.WithTimeout(context.Background(), c.patience)
	defer stop()
	began := time.Now()
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return readRow(ctx, tx.Conn(), n)
	})
	if err != nil {
		c.failed("read-only", began, err)
		return
	}
	c.statements.Add(1)
	c.reads.note(began, time.Now())
}

// since returns the failures of some kinds, of all if none is given.
func (c *crowd) since(at time.Time, kinds ...string) []failure {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []failure
	for _, f := range c.failures {
		if !f.at.Before(at) && (len(kinds) == 0 || slices.Contains(kinds, f.what)) {
			found = append(found, f)
		}
	}
	return found
}

// summary counts the failures by kind and SQLSTATE.
func (c *crowd) summary() string {
	counts := map[string]int{}
	for _, f := range c.since(time.Time{}) {
		counts[f.what+" "+cmp.Or(f.code, "none")]++
	}
	var list []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%s: %d", k, counts[k]))
	}
	return cmp.Or(strings.Join(list, ", "), "none")
}

// complain reports failures, at most ten of them.
func complain(tb testing.TB, what string, list []failure) {
	tb.Helper()
	for n, f := range list {
		if n == 10 {
			tb.Errorf("... and %d more", len(list)-n)
			break
		}
		tb.Errorf("%s: %s %v", what, clock(f.at), f)
	}
}

// ledger is what became of a crowd's writes.
type ledger struct {
	acked, open, openThere int // open: not acknowledged; of these, carried out all the same
}

func (l ledger) String() string {
	return fmt.Sprintf("%d writes acknowledged, %d not, of which %d are there", l.acked, l.open, l.openThere)
}

// audit compares what is on a server with what the clients were told. Of writes
// acknowledged before since nothing is asked.
func (c *crowd) audit(tb testing.TB, i *pgtest.Instance, since time.Time) ledger {
	tb.Helper()
	asked := time.Now() // the crowd may go on meanwhile
	there := rowsOf(tb, i)
	c.mu.Lock()
	defer c.mu.Unlock()
	var l ledger
	var lost, doubled, lied []int64
	for id, w := range c.writes {
		n := there[id]
		delete(there, id)
		switch {
		case n > 1:
			doubled = append(doubled, id)
		case w.undone && n > 0:
			lied = append(lied, id)
		}
		if !w.acked.IsZero() {
			l.acked++
			if n == 0 && w.acked.After(since) && w.acked.Before(asked) {
				lost = append(lost, id)
				tb.Logf("write %d: sent %s, acknowledged %s", id, clock(w.issued), clock(w.acked))
			}
			continue
		}
		l.open++
		l.openThere += n
	}
	for name, list := range map[string][]int64{
		"acknowledged and not there": lost, "there more than once": doubled, "there, and the client was told that it is not": lied,
		"there, and nobody wrote it": slices.Collect(maps.Keys(there)),
	} {
		if len(list) > 0 {
			slices.Sort(list)
			tb.Errorf("%d writes are %s: %v", len(list), name, list[:min(10, len(list))])
		}
	}
	if len(c.stale) > 0 && since.IsZero() {
		tb.Errorf("%d reads did not see the session's own write: %v", len(c.stale), c.stale[:min(5, len(c.stale))])
	}
	return l
}

// rowsOf returns how often each write is on a server.
func rowsOf(tb testing.TB, i *pgtest.Instance) map[int64]int {
	tb.Helper()
	rows, err := i.Query(context.Background(), "postgres", "select id, count(*) from w group by id")
	if err != nil {
		tb.Fatal(err)
	}
	there := make(map[int64]int, len(rows))
	for _, row := range rows {
		id, _ := strconv.ParseInt(row[0], 10, 64)
		there[id], _ = strconv.Atoi(row[1])
	}
	return there
}

// writesAfter waits until a write is acknowledged that was sent after a time.
func (c *crowd) writesAfter(tb testing.TB, at time.Time, limit time.Duration) time.Time {
	tb.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		if last := c.acks.last.Load(); last > at.UnixNano() && c.acks.count.Load() > 0 {
			return time.Unix(0, last)
		}
		if time.Now().After(deadline) {
			tb.Fatalf("no write was acknowledged for %v\n%s\nfailures: %s\n%s", limit, c.p.routes(), c.summary(), c.p.log.tail(20))
		}
	}
}

// replicasUp waits until Penstock uses so many replicas.
func (p *penstock) replicasUp(tb testing.TB, n int) {
	tb.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if strings.Count(p.routes(), "standby=true up=true") >= n {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("Penstock does not use %d replicas\n%s\n%s", n, p.routes(), p.log.tail(20))
		}
	}
}

// healed returns how many statements were run again, in all ways.
func (p *penstock) healed() int {
	sum := 0
	for field := range strings.FieldsSeq(strings.ReplaceAll(p.routes(), ";", " ")) {
		if rest, ok := strings.CutPrefix(field, "healed-"); ok {
			if way, count, _ := strings.Cut(rest, "="); way != "none" {
				n, _ := strconv.Atoi(count)
				sum += n
			}
		}
	}
	return sum
}

// console runs a command of the administrator's.
func (p *penstock) console(ctx context.Context, command string) error {
	conn, err := pgconn.Connect(ctx, fmt.Sprintf("postgres://admin:x@%s/penstock?sslmode=disable", p.addr))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, command).ReadAll()
	return err
}

// promote promotes a replica and returns when and after how long it took writes,
// without the time that the others need to follow it.
func promote(tb testing.TB, c *pgtest.Cluster, next *pgtest.Instance) (at time.Time, took time.Duration) {
	tb.Helper()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	conn, err := pgconn.Connect(ctx, next.DSN("postgres"))
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(ctx)
	began := time.Now()
	promoted := make(chan time.Time, 1)
	go func() {
		defer close(promoted)
		for ctx.Err() == nil {
			r, err := conn.Exec(ctx, "select pg_is_in_recovery()").ReadAll()
			if err != nil {
				return
			}
			if string(r[0].Rows[0][0]) == "f" {
				promoted <- time.Now()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if err := c.Promote(ctx, next); err != nil {
		tb.Fatal(err)
	}
	at, ok := <-promoted
	if !ok {
		tb.Fatal("nobody saw the promotion")
	}
	return at, at.Sub(began).Round(time.Millisecond)
}

// mostAdvanced returns the replica that has received most.
func mostAdvanced(tb testing.TB, c *pgtest.Cluster) *pgtest.Instance {
	tb.Helper()
	var best *pgtest.Instance
	most := int64(-1)
	for _, r := range c.Replicas {
		rows, err := r.Query(context.Background(), "postgres", "select pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0')::bigint")
		if err != nil {
			tb.Fatal(err)
		}
		if n, _ := strconv.ParseInt(rows[0][0], 10, 64); n > most {
			best, most = r, n
		}
	}
	return best
}

// longest returns the middle and the greatest of some durations.
func longest(list []time.Duration) string {
	if len(list) == 0 {
		return "none"
	}
	list = slices.Sorted(slices.Values(list))
	return fmt.Sprintf("median %v, longest %v", list[len(list)/2], list[len(list)-1])
}
