package pool

import (
	"io"
	"testing"
	"time"
)

func TestConnectsThatFailTogetherCountOnce(t *testing.T) {
	t.Parallel()
	var b backoff
	began := time.Now()
	for i := range 20 {
		b.failed(io.EOF, began, began.Add(time.Duration(i+1)*time.Millisecond))
	}
	if wait := b.wait(began.Add(time.Millisecond)); b.failures != 1 || b.attempts != 20 || wait > firstRetry {
		t.Errorf("%d failures of %d attempts, wait %v", b.failures, b.attempts, wait)
	}
	b.failed(io.EOF, began.Add(time.Second), began.Add(2*time.Second))
	if b.failures != 2 {
		t.Errorf("%d failures", b.failures)
	}
}
