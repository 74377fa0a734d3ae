package sqlscan

import (
	"hash/maphash"
	"sync"
)

// LongestCached is the longest text that a Cache keeps.
const LongestCached = 16 << 10

const (
	cacheShards = 64
	entryCost   = 128 // of an entry besides its text, about
)

// Cache keeps a value for each of many texts, for example a verdict. It finds
// a value by the whole text, never by a hash alone. It is bounded in bytes and
// forgets what was not looked up for longest, about. It is for concurrent use.
//
// A value holds for the generation it was stored with and for older ones: who
// learns that the world changed raises the generation, and everything kept
// before is forgotten at once, at no cost.
type Cache[V any] struct {
	// Immutable after NewCache.
	seed   maphash.Seed
	budget int // bytes of one shard

	shards [cacheShards]cacheShard[V]
}

// cacheShard is a part of the texts. Nothing is done under its lock but look,
// link and unlink.
type cacheShard[V any] struct {
	mu sync.Mutex

	// Guarded by mu.
	entries map[uint64]*cacheEntry[V]
	hand    *cacheEntry[V] // of the clock, the ring of all entries
	bytes   int

	_ [32]byte // a cache line of its own
}

type cacheEntry[V any] struct {
	text       string
	hash       uint64
	generation uint64
	value      V
	used       bool // since the hand last passed
	before     *cacheEntry[V]
	behind     *cacheEntry[V]
}

// NewCache makes a cache of about so many bytes of texts.
func NewCache[V any](bytes int) *Cache[V] {
	c := &Cache[V]{seed: maphash.MakeSeed(), budget: bytes / cacheShards}
	for i := range c.shards {
		c.shards[i].entries = map[uint64]*cacheEntry[V]{}
	}
	return c
}

func (c *Cache[V]) shard(hash uint64) *cacheShard[V] { return &c.shards[hash>>58] }

// Lookup returns the value of text if one was stored with this generation or a
// later one.
func (c *Cache[V]) Lookup(text string, generation uint64) (value V, ok bool) {
	if len(text) > LongestCached {
		return value, false
	}
	hash := maphash.String(c.seed, text)
	s := c.shard(hash)
	s.mu.Lock()
	if e := s.entries[hash]; e != nil && e.generation >= generation && e.text == text {
		e.used = true
		value, ok = e.value, true
	}
	s.mu.Unlock()
	return value, ok
}

// Store keeps a value for text, which must stay as it is from now on (a string
// made of borrowed bytes must be cloned first). Of two texts with one hash the
// later stays; an older generation never replaces a younger one.
func (c *Cache[V]) Store(text string, generation uint64, value V) {
	if len(text) > LongestCached || len(text)+entryCost > c.budget {
		return
	}
	hash := maphash.String(c.seed, text)
	s := c.shard(hash)
	fresh := &cacheEntry[V]{text: text, hash: hash, generation: generation, value: value}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.entries[hash]; old != nil {
		if old.generation > generation && old.text == text {
			return
		}
		s.drop(old)
	}
	for s.bytes+len(text)+entryCost > c.budget {
		s.evict()
	}
	s.insert(fresh)
}

// Len is the number of texts, and Bytes what they count for.
func (c *Cache[V]) Len() (texts, bytes int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		texts += len(s.entries)
		bytes += s.bytes
		s.mu.Unlock()
	}
	return texts, bytes
}

// insert puts e behind the hand's back, where it comes to it last.
func (s *cacheShard[V]) insert(e *cacheEntry[V]) {
	if s.hand == nil {
		e.before, e.behind = e, e
		s.hand = e
	} else {
		e.before, e.behind = s.hand.before, s.hand
		e.before.behind = e
		s.hand.before = e
	}
	s.entries[e.hash] = e
	s.bytes += len(e.text) + entryCost
}

func (s *cacheShard[V]) drop(e *cacheEntry[V]) {
	if s.hand == e {
		s.hand = e.behind
	}
	if s.hand == e {
		s.hand = nil
	}
	e.before.behind, e.behind.before = e.behind, e.before
	delete(s.entries, e.hash)
	s.bytes -= len(e.text) + entryCost
}

// evict drops the first entry at the hand that was not used since it passed.
// The caller knows that there is one.
func (s *cacheShard[V]) evict() {
	for s.hand.used {
		s.hand.used = false
		s.hand = s.hand.behind
	}
	s.drop(s.hand)
}
