package sqlscan_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/penstock/penstock/internal/sqlscan"
)

func TestCacheFindsWhatWasStored(t *testing.T) {
	t.Parallel()
	c := sqlscan.NewCache[int](1 << 20)
	c.Store("a", 1, 10)
	c.Store("b", 1, 20)
	for text, want := range map[string]int{"a": 10, "b": 20} {
		if got, ok := c.Lookup(text, 1); !ok || got != want {
			t.Errorf("%q: %d, %v", text, got, ok)
		}
	}
	if _, ok := c.Lookup("c", 1); ok {
		t.Error("found what was never stored")
	}
	long := strings.Repeat("x", sqlscan.LongestCached+1)
	c.Store(long, 1, 1)
	if _, ok := c.Lookup(long, 1); ok {
		t.Error("kept a text that is too long")
	}
}

func TestCacheForgetsOlderGenerations(t *testing.T) {
	t.Parallel()
	c := sqlscan.NewCache[int](1 << 20)
	c.Store("a", 1, 10)
	if _, ok := c.Lookup("a", 2); ok {
		t.Error("an old value was found")
	}
	c.Store("a", 2, 20)
	c.Store("a", 1, 30) // who stores late does not win
	if got, ok := c.Lookup("a", 2); !ok || got != 20 {
		t.Errorf("got %d, %v", got, ok)
	}
}

func TestCacheStaysInItsBudgetAndKeepsWhatIsUsed(t *testing.T) {
	t.Parallel()
	const budget = 64 << 10
	c := sqlscan.NewCache[int](budget)
	c.Store("used", 1, 1)
	for i := range 10000 {
		c.Store("text "+strconv.Itoa(i), 1, i)
		if _, ok := c.Lookup("used", 1); !ok {
			t.Fatalf("lost what is used, after %d others", i)
		}
	}
	if texts, bytes := c.Len(); bytes > budget || texts < 200 {
		t.Errorf("%d texts of %d bytes", texts, bytes)
	}
}

func TestCacheAndMarksServeMany(t *testing.T) {
	t.Parallel()
	c := sqlscan.NewCache[string](100 << 10)
	m := sqlscan.NewMarks[uint64](100)
	var wait sync.WaitGroup
	for g := range 4 {
		wait.Go(func() {
			for i := range 5000 {
				text := strconv.Itoa((i*7 + g) % 2000)
				if got, ok := c.Lookup(text, uint64(i/1000)); ok && got != text {
					t.Errorf("%q has the value of %q", text, got)
				}
				c.Store(text, uint64(i/1000), text)
				n := uint64(i % 300)
				if got, ok := m.Lookup(n); ok && got != n {
					t.Errorf("%d has the value of %d", n, got)
				}
				m.Store(n, n)
			}
		})
	}
	wait.Wait()
	m.Clear()
	if _, ok := m.Lookup(1); ok {
		t.Error("found a mark after Clear")
	}
}

func TestCacheHitAllocatesNothing(t *testing.T) {
	c := sqlscan.NewCache[*int](1 << 20)
	c.Store(typical, 1, new(int))
	if n := testing.AllocsPerRun(100, func() { c.Lookup(typical, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
