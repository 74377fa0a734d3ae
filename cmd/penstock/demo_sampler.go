package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// demoCounts are connections seen at one moment, or the most of many.
type demoCounts struct {
	samples, clients int
	primary, replica int // the pools' server connections
	monitors         int // Penstock's own connections, to both
}

// demoSampler looks again and again at how many clients Penstock has and how
// many server connections the primary and the replica have.
type demoSampler struct {
	// Immutable after startDemoSampler.
	primary *pgconn.PgConn // directly: what it says does not come from Penstock
	replica *pgconn.PgConn // directly, too
	console *pgconn.PgConn
	cancel  context.CancelFunc
	done    chan struct{} // closed when watch has ended

	// Guarded by mu, which is not held during I/O.
	mu    sync.Mutex
	now   demoCounts
	run   demoCounts // the most since reset
	total demoCounts // the most of all
	err   error
}

const demoSampleInterval = 20 * time.Millisecond

func startDemoSampler(ctx context.Context, primary, replica, console string) (*demoSampler, error) {
	s := &demoSampler{done: make(chan struct{}), cancel: func() {}}
	for _, to := range []struct {
		name, dsn string
		conn      **pgconn.PgConn
	}{{"primary", primary, &s.primary}, {"replica", replica, &s.replica}, {"console", console, &s.console}} {
		conn, err := pgconn.Connect(ctx, to.dsn)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("connect to the %s: %w", to.name, err)
		}
		*to.conn = conn
	}
	ctx, s.cancel = context.WithCancel(ctx)
	go s.watch(ctx)
	return s, nil
}

// watch runs until stop. Its own connections do not count.
func (s *demoSampler) watch(ctx context.Context) {
	defer close(s.done)
	tick := time.NewTicker(demoSampleInterval)
	defer tick.Stop()
	for {
		now, err := s.sample(ctx)
		s.note(now, err)
		if err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *demoSampler) sample(ctx context.Context) (demoCounts, error) {
	c := demoCounts{samples: 1}
	for _, to := range []struct {
		conn  *pgconn.PgConn
		count *int
	}{{s.primary, &c.primary}, {s.replica, &c.replica}} {
		results, err := to.conn.Exec(ctx, "SELECT count(*) FILTER (WHERE usename = 'app'), count(*) FILTER (WHERE usename = 'monitor') FROM pg_stat_activity").ReadAll()
		if err != nil {
			return demoCounts{}, err
		}
		*to.count, _ = strconv.Atoi(string(results[0].Rows[0][0]))
		monitors, _ := strconv.Atoi(string(results[0].Rows[0][1]))
		c.monitors += monitors
	}
	results, err := s.console.Exec(ctx, "SHOW POOLS").ReadAll()
	if err != nil {
		return demoCounts{}, err
	}
	for _, row := range results[0].Rows {
		if string(row[0]) != "demo" {
			continue
		}
		for i, field := range results[0].FieldDescriptions {
			if field.Name == "cl_active" || field.Name == "cl_waiting" {
				n, _ := strconv.Atoi(string(row[i]))
				c.clients += n
			}
		}
	}
	return c, nil
}

func (s *demoSampler) note(now demoCounts, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	if err == nil {
		s.now = now
		s.run = s.run.atLeast(now)
		s.total = s.total.atLeast(now)
	}
}

func (c demoCounts) atLeast(o demoCounts) demoCounts {
	return demoCounts{
		c.samples + o.samples, max(c.clients, o.clients),
		max(c.primary, o.primary), max(c.replica, o.replica), max(c.monitors, o.monitors),
	}
}

// waitFor waits until so many clients are there; it reports false if ended was
// closed first.
func (s *demoSampler) waitFor(ended <-chan struct{}, clients int) bool {
	tick := time.NewTicker(demoSampleInterval)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return false
		case <-tick.C:
			s.mu.Lock()
			there := s.now.clients >= clients
			s.mu.Unlock()
			if there {
				return true
			}
		}
	}
}

// reset begins a new run.
func (s *demoSampler) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run = demoCounts{}
}

// seen is the most since reset.
func (s *demoSampler) seen() demoCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run
}

// most is the most of all runs, and the error that ended the sampling.
func (s *demoSampler) most() (demoCounts, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total, s.err
}

func (s *demoSampler) stop() {
	s.cancel()
	<-s.done
	s.close()
}

func (s *demoSampler) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, conn := range []*pgconn.PgConn{s.console, s.replica, s.primary} {
		if conn != nil {
			_ = conn.Close(ctx)
		}
	}
}
