package sqlscan

import "testing"

// Two texts with one hash do not get each other's values.
func TestCacheComparesTheWholeText(t *testing.T) {
	c := NewCache[int](1 << 20)
	c.Store("a", 1, 10)
	for i := range c.shards {
		for _, e := range c.shards[i].entries {
			e.text = "b" // as if "b" had the hash of "a"
		}
	}
	if got, ok := c.Lookup("a", 1); ok {
		t.Errorf("got the value of another text, %d", got)
	}
}
