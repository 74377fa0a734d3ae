package main

import (
	"testing"
	"time"
)

func TestProcsFollowTheLoad(t *testing.T) {
	t.Parallel()
	p := procs{now: 4, most: 8}
	for range 100 {
		p.next(0.1, procsTick)
	}
	if p.now != 1 {
		t.Fatalf("idle process uses %d processors", p.now)
	}
	if n := p.next(0.9, procsTick); n != 2 {
		t.Fatalf("one busy processor of one: %d in use, want 2", n)
	}
	if n := p.next(1.2, procsTick); n != 2 {
		t.Fatalf("1.2 of 2 busy: %d in use, want 2", n)
	}
	if n := p.next(5, procsTick); n != 7 {
		t.Fatalf("5 of 2 wanted: %d in use, want 7", n)
	}
	if n := p.next(50, procsTick); n != 8 {
		t.Fatalf("more than all wanted: %d in use, want 8", n)
	}
}

func TestProcsDoNotFlutter(t *testing.T) {
	t.Parallel()
	p := procs{now: 2, most: 2}
	for i := range 200 { // busy for a tick each second
		usage := 0.1
		if i%10 == 0 {
			usage = 0.8
		}
		if n := p.next(usage, procsTick); n != 2 {
			t.Fatalf("after %s: %d processors in use", time.Duration(i)*procsTick, n)
		}
	}
}
