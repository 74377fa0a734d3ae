package router

import (
	"sync"
	"time"
)

// Budget limits something extra to a share of what is done anyway: retries to
// 20 % of the reads, reads that fall back on the primary to 25 %. Each ordinary
// one earns a share of a token, each extra one spends a token; a few tokens a
// second come for nothing, so that a quiet system is not refused its first.
type Budget struct {
	share   float64
	reserve float64 // tokens a second for nothing
	most    float64

	// Guarded by mu, a leaf lock.
	mu     sync.Mutex
	tokens float64
	last   time.Time
}

// NewBudget makes a full budget: share of ordinary ones, reserve a second, and
// most tokens saved at any time.
func NewBudget(share, reserve, most float64) *Budget {
	return &Budget{share: share, reserve: reserve, most: most, tokens: most}
}

// Earn notes an ordinary one.
func (b *Budget) Earn() {
	b.mu.Lock()
	b.tokens = min(b.tokens+b.share, b.most)
	b.mu.Unlock()
}

// EarnMany notes n ordinary ones at once.
func (b *Budget) EarnMany(n int) {
	b.mu.Lock()
	b.tokens = min(b.tokens+b.share*float64(n), b.most)
	b.mu.Unlock()
}

// Spend takes a token for an extra one, if there is one.
func (b *Budget) Spend(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if since := now.Sub(b.last); !b.last.IsZero() && since > 0 {
		b.tokens = min(b.tokens+b.reserve*since.Seconds(), b.most)
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// Tokens is what is left, for the console.
func (b *Budget) Tokens() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tokens
}
