package router

import (
	"sync"
	"time"
)

const (
	lagSamples = 256
	lagSpacing = 10 * time.Millisecond
)

// Lag remembers when the primary was where, so that a replica's replay position
// becomes a time. Asking the replica for the age of its last transaction would
// make it ever older on an idle primary.
type Lag struct {
	// Guarded by mu, a leaf lock.
	mu      sync.Mutex
	of      Position // system and timeline of the samples
	samples [lagSamples]lagSample
	n       int
	spacing time.Duration
}

type lagSample struct {
	at   time.Time // the last time that the primary was seen at lsn
	from time.Time // the first time
	lsn  LSN
}

// NotePrimary notes where the primary is. A new timeline starts anew.
func (l *Lag) NotePrimary(now time.Time, at Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.of.Comparable(at) || l.n == 0 {
		l.of, l.n, l.spacing = Position{System: at.System, Timeline: at.Timeline}, 0, lagSpacing
	}
	if l.n > 0 {
		last := &l.samples[l.n-1]
		switch {
		case at.LSN < last.lsn:
			return
		case at.LSN == last.lsn:
			last.at = now
			return
		case l.n > 1 && now.Sub(l.samples[l.n-2].at) < l.spacing:
			// The newest sample is always kept; one between is given up.
			*last = lagSample{now, now, at.LSN}
			return
		}
	}
	if l.n == lagSamples {
		l.halve()
	}
	l.samples[l.n] = lagSample{now, now, at.LSN}
	l.n++
}

// halve gives up every second sample, so that the ring reaches back further.
func (l *Lag) halve() {
	kept := 0
	for i := 0; i < l.n; i += 2 {
		l.samples[kept] = l.samples[i]
		kept++
	}
	l.n = kept
	l.spacing *= 2
}

// Of returns how far a server that has replayed up to at is behind: at most so
// much time, and so many bytes. Known is false before the primary was seen on that
// timeline.
func (l *Lag) Of(now time.Time, at Position) (behind time.Duration, bytes uint64, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == 0 || !l.of.Comparable(at) {
		return 0, 0, false
	}
	bytes = at.LSN.Behind(l.samples[l.n-1].lsn)
	if bytes == 0 {
		return 0, 0, true
	}
	low, high := 0, l.n // the first sample past at
	for low < high {
		mid := (low + high) / 2
		if l.samples[mid].lsn > at.LSN {
			high = mid
		} else {
			low = mid + 1
		}
	}
	if low == 0 {
		return now.Sub(l.samples[0].from), bytes, true // or more: older than what we saw
	}
	return now.Sub(l.samples[low-1].at), bytes, true
}
