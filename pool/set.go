package pool

import (
	"log/slog"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// Set is all pools of the process, and the janitor that looks after them.
type Set struct {
	// Immutable after NewSet.
	limits *limits
	ids    *atomic.Uint64
	log    *slog.Logger
	stop   chan struct{}
	done   chan struct{}

	// mu guards pools. Pool.mu may be taken under it.
	mu    sync.RWMutex
	pools map[Key]*Pool
}

// NewSet returns an empty set and starts its janitor.
func NewSet(log *slog.Logger) *Set {
	s := &Set{
		limits: newLimits(), ids: new(atomic.Uint64), log: log, pools: map[Key]*Pool{},
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go s.janitor()
	return s
}

// Pool returns the pool of that key, made with cfg if there is none yet.
func (s *Set) Pool(key Key, cfg func() (*Config, error)) (*Pool, error) {
	s.mu.RLock()
	p := s.pools[key]
	s.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	c, err := cfg()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pools[key]; p != nil {
		return p, nil
	}
	p = newPool(key, c, s.limits, s.ids, s.log)
	s.pools[key] = p
	return p, nil
}

// All returns the pools in the order of their keys.
func (s *Set) All() []*Pool {
	s.mu.RLock()
	list := make([]*Pool, 0, len(s.pools))
	for _, p := range s.pools {
		list = append(list, p)
	}
	s.mu.RUnlock()
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i].key, list[j].key
		return a.Database < b.Database || a.Database == b.Database && a.User < b.User
	})
	return list
}

// Apply gives each pool the configuration that cfg returns for its key, and
// closes the pools for which it returns nil.
func (s *Set) Apply(cfg func(Key) *Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, p := range s.pools {
		if c := cfg(key); c != nil {
			p.apply(c)
			continue
		}
		p.Close()
		delete(s.pools, key)
	}
}

// Count returns the server connections of a database and a user over all pools.
func (s *Set) Count(database, user string) (ofDatabase, ofUser int) {
	return s.limits.count(Key{Database: database, User: user})
}

// Close stops the janitor and closes every connection, also those in use.
func (s *Set) Close() {
	close(s.stop)
	<-s.done
	for _, p := range s.All() {
		p.Close()
		p.Kill()
	}
}

// janitorTick is PgBouncer's: a third of a second.
const janitorTick = time.Second / 3

func (s *Set) janitor() {
	defer close(s.done)
	ticker := time.NewTicker(janitorTick)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case now := <-ticker.C:
			s.sweep(now)
		}
	}
}

// sweep is one round of the janitor.
func (s *Set) sweep(now time.Time) {
	var starved []*Pool
	pools := s.All()
	for _, p := range pools {
		if p.sweep(now) {
			starved = append(starved, p)
		}
	}
	for _, p := range starved {
		s.makeRoom(p, pools)
	}
}

// makeRoom closes the longest idle connection that counts against the limit
// which keeps the starved pool from growing.
func (s *Set) makeRoom(starved *Pool, pools []*Pool) {
	var victim *Pool
	var since time.Time
	cfg := starved.Config()
	ofDatabase, ofUser := s.limits.full(starved.key, cfg.MaxDatabase, cfg.MaxUser)
	for _, p := range pools {
		counts := ofDatabase && p.key.Database == starved.key.Database || ofUser && p.key.User == starved.key.User
		if p == starved || !counts {
			continue
		}
		if t, ok := p.longestIdle(); ok && (victim == nil || t.Before(since)) {
			victim, since = p, t
		}
	}
	if victim != nil {
		victim.evict()
	}
}

func (p *Pool) longestIdle() (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return time.Time{}, false
	}
	return p.idle[0].idleSince, true
}

func (p *Pool) evict() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) > 0 {
		p.drop(p.idle[0], ErrEvicted)
	}
}

// sweep closes what is too old or idle for too long, opens what min_size asks
// for, and reports whether a limit keeps the pool from serving its waiters.
func (p *Pool) sweep(now time.Time) (starved bool) {
	cfg := p.Config()
	var check []*Conn
	p.mu.Lock()
	for c := range p.conns {
		if c.idle {
			c.idle, c.idleSince = false, now
		}
		if !c.expiresAt.IsZero() && now.After(c.expiresAt) {
			c.expired = true
			if c.state == connIdle {
				p.drop(c, ErrLifetime)
				continue
			}
		}
		if c.state == connIdle && cfg.IdleTimeout > 0 && now.Sub(c.idleSince) > cfg.IdleTimeout && p.total() > cfg.MinSize {
			p.drop(c, ErrIdle)
			continue
		}
		check = append(check, c)
	}
	p.fill(cfg, now)
	p.grow()
	starved = p.starved && p.waiters.n > 0
	p.mu.Unlock()

	for _, c := range check {
		if c.wire.EOFPending() {
			c.wire.Kick()
		}
	}
	return starved
}

// fill opens connections up to min_size, for pools that have been used. mu is held.
func (p *Pool) fill(cfg *Config, now time.Time) {
	if p.closed || p.paused || p.backoff.wait(now) > 0 {
		return
	}
	for p.total() < min(cfg.MinSize, cfg.Size) {
		if !p.startDial() {
			return
		}
	}
}
