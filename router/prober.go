package router

import (
	"sync"
	"sync/atomic"
	"time"
)

// probeRing is how many answers are remembered, so that a session that comes
// back late does not have to wait for more than it wrote.
const probeRing = 64

// Prober turns commits into floors. A commit gets a number when its
// ReadyForQuery was read. A probe is a question for the primary's insert
// position; one that is sent after a commit got its number is answered with a
// position past that commit, since the record was inserted before the commit was
// acknowledged and the position never goes back on a timeline. One probe is in
// flight at most, so the cost does not grow with the rate of writes.
//
// The same serves reads that must see everything written before they arrived:
// they get a number as a commit does.
type Prober struct {
	interval time.Duration // between the starts of probes, at least
	last     atomic.Uint64 // the last number given

	// Guarded by mu, a leaf lock.
	mu       sync.Mutex
	now      Position // of the primary: system and timeline; LSN is of the last answer
	asked    uint64   // the last number when the probe in flight was sent
	inFlight uint64   // the id of the probe in flight, 0 for none
	ids      uint64
	sent     time.Time
	answers  [probeRing]answer
	next     int
}

type answer struct {
	covers uint64 // numbers up to this
	at     Position
}

// NewProber makes a prober that asks no more often than once in interval.
func NewProber(interval time.Duration) *Prober {
	return &Prober{interval: interval}
}

// NoteCommit gives a number to a commit that was just acknowledged, or to a read
// that has just arrived. Ask Begin whether to send a probe for it.
func (p *Prober) NoteCommit() uint64 {
	return p.last.Add(1)
}

// Begin says whether to send a probe now. If so it counts as sent, under an id
// that is not 0, and Done or Failed must follow; if not, wait is when to ask
// again, 0 meaning after the next NoteCommit or the end of the probe in flight.
func (p *Prober) Begin(now time.Time) (id uint64, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inFlight != 0 || p.covered() >= p.last.Load() {
		return 0, 0
	}
	if wait := p.interval - now.Sub(p.sent); wait > 0 && !p.sent.IsZero() {
		return 0, wait
	}
	p.ids++
	p.inFlight, p.sent, p.asked = p.ids, now, p.last.Load()
	return p.ids, 0
}

// covered is the last number with an answer. mu is held.
func (p *Prober) covered() uint64 {
	return p.answers[(p.next+probeRing-1)%probeRing].covers
}

// Done gives the answer of a probe. An answer from a later timeline than the
// present one is the first news of it; one from an earlier is worth nothing.
func (p *Prober) Done(id uint64, at Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inFlight != id {
		return
	}
	p.inFlight = 0
	if p.now.System == at.System && p.now.Timeline > at.Timeline {
		return
	}
	if !p.now.Comparable(at) {
		p.forget(at)
	}
	p.now.LSN = max(p.now.LSN, at.LSN)
	p.answers[p.next] = answer{p.asked, p.now}
	p.next = (p.next + 1) % probeRing
}

// DoneUpTo gives an answer that covers less than what was asked when its probe
// was sent: the numbers up to one that Asked has returned before.
func (p *Prober) DoneUpTo(id, covers uint64, at Position) {
	p.mu.Lock()
	asked := p.asked
	p.asked = min(p.asked, covers)
	p.mu.Unlock()
	p.Done(id, at)
	p.mu.Lock()
	p.asked = max(p.asked, asked)
	p.mu.Unlock()
}

// Asked is the last number that was given before the last probe was sent.
func (p *Prober) Asked() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// Failed ends a probe without an answer.
func (p *Prober) Failed(id uint64) {
	p.mu.Lock()
	if p.inFlight == id {
		p.inFlight = 0
	}
	p.mu.Unlock()
}

// Reset tells of a new primary: answers of the old one say nothing about it, so
// sessions that wrote are asked about again.
func (p *Prober) Reset(primary Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.now.Comparable(primary) {
		p.inFlight = 0 // its answer would be the old primary's
		p.forget(primary)
	}
}

func (p *Prober) forget(primary Position) {
	p.answers = [probeRing]answer{}
	p.now = Position{System: primary.System, Timeline: primary.Timeline}
}

// Floor returns the earliest known position that covers a number, and whether
// there is one.
func (p *Prober) Floor(number uint64) (Position, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// From the newest on: what an answer covers grows, and most ask for little.
	var best answer
	for i := range probeRing {
		a := p.answers[(p.next+probeRing-1-i)%probeRing]
		if a.covers < number || a.covers == 0 {
			break
		}
		if best.covers == 0 || a.covers < best.covers || a.at.LSN < best.at.LSN {
			best = a
		}
	}
	return best.at, best.covers != 0
}

// Primary is the present system and timeline and the last number given.
func (p *Prober) Primary() (at Position, last uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now, p.last.Load()
}
