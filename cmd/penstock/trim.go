package main

import "time"

// An idle client costs its goroutine's stack and a small struct, once the
// collector has shrunk the stack to what it uses and the kernel has its pages
// back. The relay allocates nothing, so the collector has no reason to run by
// itself: it is called when the process has become calm after some work.
const (
	trimCalm  = 0.05                    // of a processor: below, nothing much is going on ...
	trimAfter = 2500 * time.Millisecond // ... and after this long of it we clean up,
	trimPause = 3 * time.Second         // not again for so long,
	trimTimes = 3                       // each time halving the stacks that allow it
)

// trim decides when to clean up. It is pure.
type trim struct {
	calm  time.Duration // so far
	left  int           // rounds still to do
	since time.Duration // the last clean-up began
}

// due takes the CPU usage in processors over the time passed and reports
// whether to collect garbage and give memory back now.
func (t *trim) due(usage float64, passed time.Duration) bool {
	t.since += passed
	if usage >= trimCalm && t.left == 0 {
		t.calm = 0
		return false
	}
	if t.calm += passed; t.calm < trimAfter {
		return false
	}
	if t.left == 0 {
		if t.calm-passed >= trimAfter || t.since < trimPause {
			return false // done in this calm already, or too soon
		}
		t.left, t.since = trimTimes, 0
	}
	t.left--
	return true
}
