package pool

import "time"

// What the tests may see of the inside.
var (
	MaxCancels = maxCancels
	FirstRetry = firstRetry
	LastRetry  = lastRetry
	Tick       = janitorTick
)

// CheckLists panics if a list of p and its counter disagree.
func (p *Pool) CheckLists() { p.checkLists() }

// Sweep is one round of the janitor for one pool.
func (p *Pool) Sweep() bool { return p.sweep(time.Now()) }

// Apply gives p a new configuration, as a reload does.
func (p *Pool) Apply(cfg *Config) { p.apply(cfg) }

// InBackoff reports how long p waits before the next connect.
func (p *Pool) InBackoff() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.backoff.wait(time.Now())
}
