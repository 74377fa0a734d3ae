package sqlscan

import "sync"

const markShards = 16

// Marks keeps a value for each of a bounded number of fingerprints. It serves
// what was learned about a kind of statement, such as "a replica refused it",
// and counters. It must not hold anything that would let a statement go where
// it otherwise could not: fingerprints can be forged, and leave out constants,
// hints and settings (see Statement.Fingerprint). It is for concurrent use.
type Marks[V any] struct {
	most   int // of one shard
	shards [markShards]markShard[V]
}

// markShard is a part of the fingerprints; its lock guards the map alone.
type markShard[V any] struct {
	mu     sync.RWMutex
	values map[uint64]V
}

// NewMarks makes room for about so many fingerprints. When there is no more, a
// new one takes the place of any old one.
func NewMarks[V any](most int) *Marks[V] {
	m := &Marks[V]{most: max(1, most/markShards)}
	for i := range m.shards {
		m.shards[i].values = map[uint64]V{}
	}
	return m
}

// Lookup returns what is kept for a fingerprint.
func (m *Marks[V]) Lookup(fingerprint uint64) (value V, ok bool) {
	s := &m.shards[fingerprint%markShards]
	s.mu.RLock()
	value, ok = s.values[fingerprint]
	s.mu.RUnlock()
	return value, ok
}

// Store keeps a value for a fingerprint.
func (m *Marks[V]) Store(fingerprint uint64, value V) {
	s := &m.shards[fingerprint%markShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.values[fingerprint]; !ok && len(s.values) >= m.most {
		for any := range s.values {
			delete(s.values, any)
			break
		}
	}
	s.values[fingerprint] = value
}

// Clear forgets everything.
func (m *Marks[V]) Clear() {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		clear(s.values)
		s.mu.Unlock()
	}
}
