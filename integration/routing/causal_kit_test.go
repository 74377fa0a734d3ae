package routing

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
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

	"github.com/penstock/penstock/internal/admin"
	"github.com/penstock/penstock/internal/auth"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/pgtest"
	"github.com/penstock/penstock/proxy"
)

// modes are the ways in which pgx talks to a server, by its own names.
func modes() []string {
	return []string{"simple_protocol", "cache_statement", "exec", "cache_describe", "describe_exec"}
}

// soakOf is the factor by which PENSTOCK_SOAK, a duration or a factor, makes a
// test longer than usual.
func soakOf(tb testing.TB, usual time.Duration) int {
	tb.Helper()
	s := os.Getenv("PENSTOCK_SOAK")
	if s == "" {
		return 1
	}
	if d, err := time.ParseDuration(s); err == nil {
		return max(1, int(d/usual))
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		tb.Fatalf("PENSTOCK_SOAK=%q is neither a duration nor a factor", s)
	}
	return max(1, n)
}

// setUp runs statements on the primary, one at a time, and waits for the replicas.
func setUp(tb testing.TB, c *pgtest.Cluster, statements ...string) {
	tb.Helper()
	ctx := context.Background()
	for _, sql := range statements {
		if err := c.Primary.Exec(ctx, "postgres", sql); err != nil {
			tb.Fatal(err)
		}
	}
	for i, r := range c.Replicas {
		if err := alter(r, "extra_float_digits", strconv.Itoa(-1-i)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := c.CatchUp(ctx); err != nil {
		tb.Fatal(err)
	}
}

// alter changes a setting of a running server.
func alter(i *pgtest.Instance, name, value string) error {
	if err := i.Exec(context.Background(), "postgres", fmt.Sprintf("ALTER SYSTEM SET %s = '%s'", name, value)); err != nil {
		return err
	}
	return i.Exec(context.Background(), "postgres", "SELECT pg_reload_conf()")
}

// applyDelay has a replica replay commits so much later than they happened.
func applyDelay(r *pgtest.Instance, d time.Duration) error {
	return alter(r, "recovery_min_apply_delay", fmt.Sprintf("%dms", d.Milliseconds()))
}

// startAt starts a Penstock before servers at the given addresses.
func startAt(tb testing.TB, primary string, replicas []string, routing, pool string) *penstock {
	tb.Helper()
	dsn := func(addr string) string {
		host, port, _ := net.SplitHostPort(addr)
		return fmt.Sprintf("%q", "host="+host+" port="+port+" user=postgres dbname=postgres sslmode=disable")
	}
	var followers []string
	for _, r := range replicas {
		followers = append(followers, dsn(r))
	}
	text := fmt.Sprintf(`
[databases.postgres]
primary = %s
replicas = [%s]
[databases.postgres.routing]
%s
[listen]
address = ["127.0.0.1:0"]
tls = "disable"
[auth]
method = "trust"
[auth.users]
postgres = "x"
[pool]
%s
`, dsn(primary), strings.Join(followers, ","), routing, pool)
	cfg, err := config.Parse("routing.toml", []byte(text), os.Getenv)
	if err != nil {
		tb.Fatal(err)
	}
	users, err := auth.NewUsers(map[string]string{"postgres": "x"})
	if err != nil {
		tb.Fatal(err)
	}
	p := &penstock{log: &logBuffer{}}
	p.server, err = proxy.New(proxy.Options{
		Config: cfg, Users: users, Version: "routing",
		Log:    slog.New(slog.NewTextHandler(p.log, nil)),
		Reload: func() (string, error) { return "", nil },
		Stop:   func(admin.ShutdownMode) {},
	})
	if err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- p.server.Serve(l) }()
	tb.Cleanup(func() {
		p.server.Close()
		if err := <-served; err != nil {
			tb.Errorf("Serve: %v", err)
		}
		if tb.Failed() {
			tb.Logf("Penstock's log ends with\n%s", p.log.tail(40))
		}
	})
	return p
}

// everywhere waits until each of so many replicas takes reads.
func (p *penstock) everywhere(tb testing.TB, replicas int) {
	tb.Helper()
	p.ready(tb)
	for deadline := time.Now().Add(10 * time.Second); strings.Count(p.routes(), "up=true") < replicas; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("not all replicas take reads: %s", p.routes())
		}
	}
}

// lane is a TCP proxy in front of one server that makes its answers later and
// counts how often a Penstock's monitor has it execute something.
type lane struct {
	listener net.Listener
	target   string
	delay    atomic.Int64 // of what the server says, nanoseconds
	probes   atomic.Int64
	answers  atomic.Int64 // chunks of what the server has said
	done     sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
}

func newLane(tb testing.TB, target string) *lane {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	n := &lane{listener: l, target: target}
	n.done.Go(n.accept)
	tb.Cleanup(func() {
		l.Close()
		n.mu.Lock()
		for _, c := range n.conns {
			c.Close()
		}
		n.mu.Unlock()
		n.done.Wait()
	})
	return n
}

func (n *lane) addr() string { return n.listener.Addr().String() }

func (n *lane) accept() {
	for {
		client, err := n.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", n.target)
		if err != nil {
			client.Close()
			continue
		}
		n.mu.Lock()
		n.conns = append(n.conns, client, server)
		n.mu.Unlock()
		n.done.Go(func() {
			defer server.Close()
			n.toServer(server, client)
		})
		n.done.Go(func() {
			defer client.Close()
			n.toClient(client, server)
		})
	}
}

// toServer forwards what a client says. That of a monitor is looked at message
// by message.
func (n *lane) toServer(server io.Writer, client io.Reader) {
	in := bufio.NewReader(client)
	size, err := in.Peek(4)
	if err != nil {
		return
	}
	startup := make([]byte, binary.BigEndian.Uint32(size))
	if _, err := io.ReadFull(in, startup); err != nil {
		return
	}
	if _, err := server.Write(startup); err != nil {
		return
	}
	if !bytes.Contains(startup, []byte("penstock monitor")) {
		_, _ = in.WriteTo(server)
		return
	}
	for {
		header, err := in.Peek(5)
		if err != nil {
			return
		}
		if header[0] == 'E' {
			n.probes.Add(1)
		}
		frame := make([]byte, 1+binary.BigEndian.Uint32(header[1:]))
		if _, err := io.ReadFull(in, frame); err != nil {
			return
		}
		if _, err := server.Write(frame); err != nil {
			return
		}
	}
}

type late struct {
	data []byte
	due  time.Time
}

// toClient forwards what the server says, each piece by the delay later.
func (n *lane) toClient(client io.Writer, server io.Reader) {
	queue := make(chan late, 1024)
	n.done.Go(func() {
		for l := range queue {
			time.Sleep(time.Until(l.due))
			if _, err := client.Write(l.data); err != nil {
				for range queue {
					continue // until the server's side is closed, too
				}
			}
		}
	})
	defer close(queue)
	buf := make([]byte, 16<<10)
	for {
		k, err := server.Read(buf)
		if k > 0 {
			n.answers.Add(1)
			queue <- late{slices.Clone(buf[:k]), time.Now().Add(time.Duration(n.delay.Load()))}
		}
		if err != nil {
			return
		}
	}
}

// percentile returns that of durations, which it sorts.
func percentile(d []time.Duration, p float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(len(d)-1, int(float64(len(d))*p))]
}

// pairs are clients that write and read back through a Penstock, and look that
// none of them ever reads the past.
type pairs struct {
	p       *penstock
	clients int
	total   int // pairs of all clients

	done        atomic.Int64 // pairs
	reads       atomic.Int64 // statements that read outside of transactions that write
	onReplicas  atomic.Int64 // of reads
	onPrimary   atomic.Int64 // of reads: those that were told to go there
	own         atomic.Int64 // violations of read-your-writes
	back        atomic.Int64 // violations of monotonic reads
	primaryBack atomic.Int64 // of those: the primary did not show what a replica had shown
	lost        atomic.Int64 // transactions that were lost with their replica
	failures    atomic.Int64
	mu          sync.Mutex
	complaints  []string
}

// counters is how many rows all clients write in common.
const counters = 4

// pairTables are what the clients work on.
func pairTables(clients int) []string {
	return []string{
		"CREATE TABLE own (id int PRIMARY KEY, n bigint NOT NULL) WITH (fillfactor = 20)",
		"CREATE TABLE common (id int PRIMARY KEY, n bigint NOT NULL) WITH (fillfactor = 20)",
		fmt.Sprintf("INSERT INTO own SELECT i, 0 FROM generate_series(0, %d) i", clients-1),
		fmt.Sprintf("INSERT INTO common SELECT i, 0 FROM generate_series(0, %d) i", counters-1),
		"VACUUM ANALYZE own", "VACUUM ANALYZE common",
	}
}

func (w *pairs) complain(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.complaints) < 10 {
		w.complaints = append(w.complaints, fmt.Sprintf(format, args...))
	}
}

// run has all clients do their share. It returns when they have, or stop is closed.
func (w *pairs) run(tb testing.TB, seed uint64, stop <-chan struct{}) {
	tb.Helper()
	var all sync.WaitGroup
	for i := range w.clients {
		mode := modes()[i%len(modes())]
		c := &pairClient{
			w: w, id: i, mode: mode, rand: rand.New(rand.NewPCG(seed, uint64(i))),
			conn: w.p.connect(tb, "default_query_exec_mode="+mode),
		}
		all.Go(func() {
			for range w.total / w.clients {
				select {
				case <-stop:
					return
				default:
				}
				if err := c.pair(); err != nil {
					w.failures.Add(1)
					w.complain("client %d (%s), pair %d, %s: %v", c.id, c.mode, c.n, c.doing, err)
					return
				}
				w.done.Add(1)
			}
		})
	}
	all.Wait()
}

// pairClient is one of them.
type pairClient struct {
	w     *pairs
	id    int
	mode  string
	conn  *pgx.Conn
	rand  *rand.Rand
	n     int64           // last written
	seen  [counters]int64 // of common
	from  [counters]int   // who showed it
	doing string
	trail [12]string // what was done last, for complaints
	steps int
}

type pairQuerier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func (c *pairClient) step(format string, args ...any) {
	c.doing = fmt.Sprintf(format, args...)
	c.trail[c.steps%len(c.trail)] = time.Now().Format("05.000000 ") + c.doing
	c.steps++
}

func (c *pairClient) last() string {
	var b strings.Builder
	for i := max(0, c.steps-len(c.trail)); i < c.steps; i++ {
		b.WriteString("\n\t" + c.trail[i%len(c.trail)])
	}
	return b.String()
}

const (
	setOwn    = "UPDATE own SET n = $2 WHERE id = $1"
	raise     = "UPDATE common SET n = n + 1 WHERE id = $1"
	getOwn    = "SELECT n, " + here + " FROM own WHERE id = $1"
	getCommon = "SELECT n, " + here + " FROM common WHERE id = $1"
	getBoth   = "SELECT (SELECT n FROM own WHERE id = $1), (SELECT n FROM common WHERE id = $2), " + here
	there     = "/* penstock: primary */ "
	// here is the number of the server, 0 being the primary: setUp has them
	// give a number with so many digits less. It is a read like any other.
	here = "17 - length((0.123456789012345::float8)::text)"
)

// pair writes and reads back.
func (c *pairClient) pair() error {
	c.n++
	if err := c.write(); err != nil {
		return err
	}
	if c.rand.IntN(10) == 0 {
		time.Sleep(time.Duration(c.rand.IntN(8000)) * time.Microsecond)
	}
	switch c.rand.IntN(10) {
	case 0: // twice
		if err := c.readOwn(c.conn, "read"); err != nil {
			return err
		}
		return c.readOwn(c.conn, "read again")
	case 1, 2: // in a transaction that is read only
		return c.survive(c.readOnly())
	case 3: // the primary shows what no replica may have yet
		if err := c.readCommon(c.conn, c.rand.IntN(counters), there); err != nil {
			return err
		}
	case 4, 5:
		return c.readBoth()
	case 6:
		if err := c.readCommon(c.conn, c.rand.IntN(counters), ""); err != nil {
			return err
		}
	}
	if err := c.readOwn(c.conn, "read"); err != nil {
		return err
	}
	for range c.rand.IntN(3) {
		if err := c.readCommon(c.conn, c.rand.IntN(counters), ""); err != nil {
			return err
		}
	}
	return nil
}

// survive forgives that a transaction was lost with its replica, which its
// client has to begin again; everything else is an error.
func (c *pairClient) survive(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) || !slices.Contains([]string{"08006", "08007", "57P01", "57P02"}, e.Code) {
		return err
	}
	c.w.lost.Add(1)
	if c.conn.IsClosed() {
		conn, err := pgx.Connect(context.Background(), c.w.p.dsn("default_query_exec_mode="+c.mode))
		if err != nil {
			return err
		}
		c.conn = conn
		c.seen = [counters]int64{} // a new session
	}
	return nil
}

func (c *pairClient) write() error {
	ctx := context.Background()
	common := c.rand.IntN(counters)
	switch c.rand.IntN(6) {
	case 0:
		c.step("transaction, n=%d", c.n)
		tx, err := c.conn.Begin(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, setOwn, c.id, c.n); err != nil {
			return err
		}
		if c.rand.IntN(2) == 0 {
			if err := c.readOwn(tx, "read in the transaction"); err != nil {
				return err
			}
			c.w.reads.Add(-1) // no other server would do
		}
		return tx.Commit(ctx)
	case 1:
		c.step("transaction that raises %d, n=%d", common, c.n)
		tx, err := c.conn.Begin(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, setOwn, c.id, c.n); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, raise, common); err != nil {
			return err
		}
		return tx.Commit(ctx)
	case 2:
		c.step("batch, n=%d", c.n)
		b := &pgx.Batch{}
		b.Queue(setOwn, c.id, c.n)
		b.Queue(raise, common)
		return c.conn.SendBatch(ctx, b).Close()
	case 3:
		if c.mode == "simple_protocol" {
			c.step("several in one, n=%d", c.n)
			_, err := c.conn.Exec(ctx, fmt.Sprintf("BEGIN; UPDATE own SET n = %d WHERE id = %d; COMMIT", c.n, c.id))
			return err
		}
		c.step("DML in WITH, n=%d", c.n)
		var n int64
		return c.conn.QueryRow(ctx, "WITH w AS (UPDATE own SET n = $2 WHERE id = $1 RETURNING n) SELECT n FROM w", c.id, c.n).Scan(&n)
	}
	c.step("write, n=%d", c.n)
	_, err := c.conn.Exec(ctx, setOwn, c.id, c.n)
	return err
}

func (c *pairClient) readOnly() error {
	ctx := context.Background()
	c.step("begin read only")
	tx, err := c.conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	if err := c.readOwn(tx, "read in read only"); err != nil {
		return err
	}
	if err := c.readCommon(tx, c.rand.IntN(counters), ""); err != nil {
		return err
	}
	c.step("commit read only")
	return tx.Commit(ctx)
}

func (c *pairClient) readBoth() error {
	k := c.rand.IntN(counters)
	c.step("read both, %d, n=%d", k, c.n)
	var n, m int64
	var host int
	if err := c.conn.QueryRow(context.Background(), getBoth, c.id, k).Scan(&n, &m, &host); err != nil {
		return err
	}
	c.answered(host)
	c.step("got %d, %d from %d", n, m, host)
	c.look(n)
	c.lookCommon(k, m, host)
	return nil
}

func (c *pairClient) readOwn(q pairQuerier, how string) error {
	c.step("%s, n=%d", how, c.n)
	var n int64
	var host int
	if err := q.QueryRow(context.Background(), getOwn, c.id).Scan(&n, &host); err != nil {
		return err
	}
	c.answered(host)
	c.step("got %d from %d", n, host)
	c.look(n)
	return nil
}

func (c *pairClient) look(n int64) {
	if n != c.n {
		c.w.own.Add(1)
		c.w.complain("client %d (%s) wrote %d and read %d:%s", c.id, c.mode, c.n, n, c.last())
	}
}

func (c *pairClient) readCommon(q pairQuerier, k int, hint string) error {
	c.step("%sread common %d, seen %d, in a transaction: %v", hint, k, c.seen[k], q != pairQuerier(c.conn))
	var n int64
	var host int
	if err := q.QueryRow(context.Background(), hint+getCommon, k).Scan(&n, &host); err != nil {
		return err
	}
	if hint == there {
		c.w.onPrimary.Add(1)
	}
	c.answered(host)
	c.step("got %d from %d", n, host)
	c.lookCommon(k, n, host)
	return nil
}

func (c *pairClient) answered(host int) {
	c.w.reads.Add(1)
	if host != 0 {
		c.w.onReplicas.Add(1)
	}
}

func (c *pairClient) lookCommon(k int, n int64, host int) {
	if n < c.seen[k] {
		c.w.back.Add(1)
		if host == 0 {
			c.w.primaryBack.Add(1)
		}
		c.w.complain("client %d (%s) saw %d on %d and then %d on %d of counter %d:%s", c.id, c.mode, c.seen[k], c.from[k], n, host, k, c.last())
	}
	if n > c.seen[k] {
		c.seen[k], c.from[k] = n, host
	}
}
