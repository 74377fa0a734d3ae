package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// MaxNoise is the highest number of noisy clients; each has a schema.
const MaxNoise = 8

func noiseSchema(i int) string { return fmt.Sprintf("noise_%d", i) }

// Noise is a number of clients that keep a pool busy with what disturbs others
// the most, and check that nobody disturbs them.
type Noise struct {
	forgiven []string // immutable
	stop     context.CancelFunc
	done     sync.WaitGroup
	rounds   atomic.Int64

	// mu guards problems.
	mu       sync.Mutex
	problems []error
}

// StartNoise starts n clients on the database that dsn names. Each of them runs
// short transactions, sets application_name, TimeZone, search_path and work_mem
// to values of its own, prepares statements under names that others use for
// other texts, and comes back with a new connection now and then. Errors with a
// forgiven SQLSTATE are not reported: 57P01 where a test terminates a backend,
// which by then may work for somebody else.
func StartNoise(ctx context.Context, dsn string, n int, forgiven ...string) *Noise {
	ctx, stop := context.WithCancel(ctx)
	noise := &Noise{stop: stop, forgiven: forgiven}
	for i := range n {
		c := &noisyClient{noise: noise, dsn: dsn, id: i}
		noise.done.Go(func() { c.run(ctx) })
	}
	return noise
}

// Stop ends the noise. It returns how many rounds the clients have run and what
// they found wrong.
func (n *Noise) Stop() (rounds int64, err error) {
	n.stop()
	n.done.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rounds.Load(), errors.Join(n.problems...)
}

func (n *Noise) report(err error) {
	var pe *pgconn.PgError
	if errors.As(err, &pe) && slices.Contains(n.forgiven, pe.Code) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.problems) < 10 { // the first ones tell
		n.problems = append(n.problems, err)
	}
}

// noisyClient is one of the clients.
type noisyClient struct {
	noise *Noise
	dsn   string
	id    int
	round int
	conn  *pgconn.PgConn
}

// How many rounds a connection lasts, and the pause between two rounds: enough
// to take every server connection, little enough to leave the test a processor.
const (
	noiseLife  = 8
	noisePause = time.Millisecond
)

func (c *noisyClient) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := c.live(ctx); err != nil {
			c.noise.report(fmt.Errorf("noise %d, round %d: %w", c.id, c.round, err))
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// live is the life of one connection.
func (c *noisyClient) live(ctx context.Context) (err error) {
	// Not ctx: a query that is under way at the end is finished in peace.
	limit, stop := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer stop()
	if c.conn, err = pgconn.Connect(limit, c.dsn); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.conn.Close(limit)) }()
	for range noiseLife {
		if ctx.Err() != nil {
			return nil
		}
		c.round++
		for _, step := range []func(context.Context) error{c.settings, c.statements, c.transaction, c.failure} {
			if err := step(limit); err != nil {
				return err
			}
		}
		c.noise.rounds.Add(1)
		time.Sleep(noisePause)
	}
	return nil
}

// settings sets what follows a session, and looks whether it did.
func (c *noisyClient) settings(ctx context.Context) error {
	zone := []string{"Asia/Tokyo", "Europe/Berlin", "America/New_York", "Africa/Nairobi"}[(c.id+c.round)%4]
	name, schema := fmt.Sprintf("noise %d %d", c.id, c.round), noiseSchema(c.id)
	memory := fmt.Sprintf("%dkB", 1001+(c.id*97+c.round)%900*2) // odd: never told in MB
	for _, sql := range []string{
		"SET TimeZone = '" + zone + "'", "SET application_name TO '" + name + "'",
		"SET search_path = " + schema, "SET work_mem = '" + memory + "'",
	} {
		if err := c.exec(ctx, sql); err != nil {
			return err
		}
	}
	return c.expect(ctx, strings.Join([]string{zone, name, schema, memory, schema}, "|"),
		`SELECT concat_ws('|', current_setting('TimeZone'), current_setting('application_name'),
			current_setting('search_path'), current_setting('work_mem'), (SELECT schema FROM whose))`)
}

// statements prepares under names that all noisy clients use, each for a text
// of its own.
func (c *noisyClient) statements(ctx context.Context) error {
	name := fmt.Sprintf("stmt_%d", c.round%3)
	text := fmt.Sprintf("SELECT $1::int * 10 + %d", c.id)
	if _, err := c.conn.Prepare(ctx, name, text, nil); err != nil {
		return err
	}
	for i := range 3 {
		r := c.conn.ExecPrepared(ctx, name, [][]byte{fmt.Append(nil, i)}, nil, nil).Read()
		if err := c.check(r, fmt.Sprint(i*10+c.id)); err != nil {
			return err
		}
	}
	r := c.conn.ExecParams(ctx, text, [][]byte{[]byte("7")}, nil, nil, nil).Read()
	if err := c.check(r, fmt.Sprint(70+c.id)); err != nil {
		return err
	}
	return c.conn.Deallocate(ctx, name)
}

// transaction holds a server connection for a few statements, where the mode
// allows it.
func (c *noisyClient) transaction(ctx context.Context) error {
	if strings.Contains(c.dsn, "dbname=stmt") {
		return nil
	}
	value := fmt.Sprintf("%d.%d", c.id, c.round)
	for _, sql := range []string{"BEGIN", "SET LOCAL penstock.noise = '" + value + "'"} { // in one string they would pin
		if err := c.exec(ctx, sql); err != nil {
			return err
		}
	}
	if err := c.expect(ctx, value, "SELECT current_setting('penstock.noise')"); err != nil {
		return err
	}
	return c.exec(ctx, []string{"COMMIT", "ROLLBACK"}[c.round%2])
}

// failure is an error that must reach nobody else.
func (c *noisyClient) failure(ctx context.Context) error {
	err := c.exec(ctx, fmt.Sprintf("SELECT 'noise %d'::int", c.id))
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || !strings.Contains(pe.Message, fmt.Sprintf("noise %d", c.id)) {
		return fmt.Errorf("expected an error of my own, got %w", err)
	}
	return nil
}

func (c *noisyClient) exec(ctx context.Context, sql string) error {
	_, err := c.conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// expect runs a query whose only value must be want.
func (c *noisyClient) expect(ctx context.Context, want, sql string) error {
	results, err := c.conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	if len(results) != 1 {
		return fmt.Errorf("%s: %d results", sql, len(results))
	}
	return c.check(results[0], want)
}

func (c *noisyClient) check(r *pgconn.Result, want string) error {
	if r.Err != nil {
		return r.Err
	}
	if len(r.Rows) != 1 || len(r.Rows[0]) != 1 || string(r.Rows[0][0]) != want {
		return fmt.Errorf("got %q, want %q", r.Rows, want)
	}
	return nil
}
