package router

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitersWakeWithTheView(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := still(t, 2)
		c.says(0, true, place(1, 100)) // demoted
		if host, ok := c.Primary(); ok {
			t.Fatalf("host %d is the primary", host)
		}
		began := time.Now()
		go func() {
			time.Sleep(7 * time.Millisecond)
			c.says(1, false, place(2, 110))
		}()
		go func() {
			if c.AwaitChange(time.Second); time.Since(began) != 7*time.Millisecond {
				t.Errorf("a change is seen after %v", time.Since(began))
			}
		}()
		host, ok := c.AwaitPrimary(began.Add(time.Second), true, func() bool { return false })
		if host != 1 || !ok || time.Since(began) != 7*time.Millisecond {
			t.Errorf("host %d, %t after %v", host, ok, time.Since(began))
		}
		synctest.Wait()
		c.AwaitChange(30 * time.Millisecond)
		if took := time.Since(began); took != 37*time.Millisecond {
			t.Errorf("without a change it waits until %v", took)
		}
	})
}

func TestSwitchOverHoldsUntilAnotherHostIsThePrimary(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := still(t, 2)
		var open, running atomic.Int32
		open.Store(1)
		running.Store(1)
		c.busy = func(int) (int, int) { return int(open.Load()), int(running.Load()) }
		go func() {
			time.Sleep(100 * time.Millisecond)
			open.Store(0)
			time.Sleep(100 * time.Millisecond)
			running.Store(0)
		}()
		var told []SwitchoverState
		began := time.Now()
		outcome := c.SwitchOver(context.Background(), func(s SwitchoverState) { told = append(told, s) })
		if outcome != SwitchoverPending || !slices.Equal(told, []SwitchoverState{SwitchoverHolding, SwitchoverDraining, SwitchoverWaiting}) {
			t.Errorf("outcome %d, told %v", outcome, told)
		}
		if took := time.Since(began); took < 200*time.Millisecond || took > 210*time.Millisecond {
			t.Errorf("nothing runs after %v", took)
		}
		if _, ok := c.Primary(); ok {
			t.Error("writes are not held")
		}
		c.picks(t, new(Trail), -1, 1, ReasonNone) // reads go on
		if again := c.SwitchOver(context.Background(), nil); again != SwitchoverNoPrimary {
			t.Errorf("a second one: %d", again)
		}
		c.says(1, false, place(2, 110))
		c.done.Wait()
		if host, ok := c.Primary(); host != 1 || !ok {
			t.Errorf("host %d, %t at the end", host, ok)
		}
	})
}
