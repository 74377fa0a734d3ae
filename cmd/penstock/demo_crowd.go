package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// demoPatience is how long a statement may take before it counts as failed.
const demoPatience = 20 * time.Second

// demoThink is the pause of a client between two rounds of its work.
const demoThink = 2 * time.Millisecond

// demoClient is one client of a crowd; a goroutine of its own has it.
type demoClient struct {
	conn     *pgconn.PgConn
	id       int
	round    int             // of its work, from 1
	prepared map[string]bool // texts of statements
}

// query runs a statement whose parameters are numbers, as a simple query, an
// extended one or a prepared one: every client keeps to one way. It returns the
// first value of the first row, "" without one.
func (c *demoClient) query(ctx context.Context, sql string, parameters ...int) (string, error) {
	ctx, stop := context.WithTimeout(ctx, demoPatience)
	defer stop()
	text, values := sql, make([][]byte, len(parameters))
	for i, n := range parameters {
		values[i] = []byte(strconv.Itoa(n))
		text = strings.ReplaceAll(text, fmt.Sprintf("$%d", i+1), strconv.Itoa(n))
	}
	var rows [][][]byte
	var err error
	switch c.id % 3 {
	case 0:
		var results []*pgconn.Result
		if results, err = c.conn.Exec(ctx, text).ReadAll(); err == nil && len(results) > 0 {
			rows = results[0].Rows
		}
	case 1:
		result := c.conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
		rows, err = result.Rows, result.Err
	default:
		if !c.prepared[sql] {
			if _, err := c.conn.Prepare(ctx, sql, sql, nil); err != nil {
				return "", err
			}
			c.prepared[sql] = true
		}
		result := c.conn.ExecPrepared(ctx, sql, values, nil, nil).Read()
		rows, err = result.Rows, result.Err
	}
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return string(rows[0][0]), nil
}

// demoWork is one round of a client's work.
type demoWork func(context.Context, *demoClient) error

// demoCrowd is clients that do the same work again and again until they are
// stopped, or for a number of rounds.
type demoCrowd struct {
	// Immutable after gather.
	work     demoWork
	rounds   int           // 0: until stop
	stopping chan struct{} // closed by stop
	clients  sync.WaitGroup
	stopOnce sync.Once

	// Guarded by mu, which is not held during I/O.
	mu     sync.Mutex
	done   int       // rounds that succeeded
	failed int       // rounds that did not
	first  error     // the error of the first of these
	last   time.Time // the end of the last round that succeeded
	gap    time.Duration
}

var errDemoIdle = errors.New("the clients did nothing")

// gather logs clients in and lets them work. An error is one of logging in; then
// nobody works.
func gather(ctx context.Context, dsn string, clients, rounds int, work demoWork) (*demoCrowd, error) {
	all, err := logIn(ctx, dsn, clients)
	if err != nil {
		return nil, err
	}
	c := &demoCrowd{work: work, rounds: rounds, stopping: make(chan struct{}), last: time.Now()}
	for _, client := range all {
		c.clients.Go(func() { c.serve(ctx, client) })
	}
	return c, nil
}

// logIn returns so many clients, or an error and none.
func logIn(ctx context.Context, dsn string, clients int) ([]*demoClient, error) {
	all := make([]*demoClient, 0, clients)
	for id := range clients {
		conn, err := pgconn.Connect(ctx, dsn)
		if err != nil {
			logOut(ctx, all)
			return nil, err
		}
		all = append(all, &demoClient{conn: conn, id: id, prepared: map[string]bool{}})
	}
	return all, nil
}

func logOut(ctx context.Context, clients []*demoClient) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer stop()
	for _, c := range clients {
		_ = c.conn.Close(ctx)
	}
}

// serve is the life of a client. It ends with its connection, too: to come
// again would hide that it was lost.
func (c *demoCrowd) serve(ctx context.Context, client *demoClient) {
	defer logOut(ctx, []*demoClient{client})
	for client.round = 1; c.rounds == 0 || client.round <= c.rounds; client.round++ {
		c.note(c.work(ctx, client))
		if client.conn.IsClosed() {
			return
		}
		select {
		case <-c.stopping:
			return
		case <-ctx.Done():
			return
		case <-time.After(demoThink):
		}
	}
}

func (c *demoCrowd) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed++
		if c.first == nil {
			c.first = err
		}
		return
	}
	now := time.Now()
	c.done++
	c.gap, c.last = max(c.gap, now.Sub(c.last)), now
}

// await waits until the crowd has done some more. An error of a client ends that,
// as it breaks the promise.
func (c *demoCrowd) await(ctx context.Context, more int) error {
	begin := c.count()
	deadline := time.Now().Add(demoPatience)
	for c.count() < begin+more {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(demoThink):
		}
		if err := c.check(); err != nil && !errors.Is(err, errDemoIdle) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the clients have not done %d more rounds in %s", more, demoPatience)
		}
	}
	return nil
}

func (c *demoCrowd) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

// wait waits until all clients have done their rounds.
func (c *demoCrowd) wait() { c.clients.Wait() }

// stop lets every client end the round it is in. It may be called again.
func (c *demoCrowd) stop() {
	c.stopOnce.Do(func() { close(c.stopping) })
	c.wait()
}

// check is about the promise: no client saw an error.
func (c *demoCrowd) check() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.failed > 0:
		return fmt.Errorf("%d statements of clients failed; the first: %w", c.failed, c.first)
	case c.done == 0:
		return errDemoIdle
	}
	return nil
}

// tell is what the crowd has done, for the reader of the demo; what is the name
// of a round.
func (c *demoCrowd) tell(what string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%d %ss, %d errors, longest pause without a %s %d ms", c.done, what, c.failed, what, c.gap.Milliseconds())
}
