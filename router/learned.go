package router

import "sync"

// mostLearned bounds what is remembered; the oldest half goes first.
const mostLearned = 4096

// Learned are the fingerprints of texts that a replica refused although they
// looked like reads. They go to the primary from then on. Since fingerprints can
// be forged, that is all that is ever concluded from one.
type Learned struct {
	// Guarded by mu, a leaf lock.
	mu         sync.RWMutex
	young, old map[uint64]struct{}
}

// Add remembers a fingerprint and says whether it is news.
func (l *Learned) Add(fingerprint uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.young[fingerprint]; ok {
		return false
	}
	_, known := l.old[fingerprint]
	if len(l.young) >= mostLearned/2 || l.young == nil {
		l.old, l.young = l.young, make(map[uint64]struct{})
	}
	l.young[fingerprint] = struct{}{}
	return !known
}

// Apply makes the class of a text that was learned one for the primary.
func (l *Learned) Apply(c *Class) {
	l.mu.RLock()
	_, young := l.young[c.Fingerprint]
	_, old := l.old[c.Fingerprint]
	l.mu.RUnlock()
	if (young || old) && (c.Reason == ReasonSafeRead || c.Reason.Soft()) {
		c.Reason, c.Name = ReasonLearned, ""
	}
}

// Forget drops everything, as after a change of the catalog.
func (l *Learned) Forget() {
	l.mu.Lock()
	l.young, l.old = nil, nil
	l.mu.Unlock()
}
