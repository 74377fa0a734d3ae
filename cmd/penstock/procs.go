package main

import (
	"context"
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// How many processors the scheduler uses follows what the process needs. Go's
// scheduler wakes a second thread whenever a goroutine becomes ready and a
// processor is idle. For a relay, whose goroutines run a few microseconds
// each, that costs more than it brings until the first processor is busy: with
// 8 clients about a third of the CPU time per query (docs/decisions/0010).
const (
	procsTick  = 100 * time.Millisecond
	procsBusy  = 0.75            // of the processors in use: one more is taken
	procsCalm  = 0.50            // of one processor fewer: one is given back ...
	procsQuiet = 2 * time.Second // ... when that has held for so long
)

// procs decides on the number of processors. It is pure: usage in, number out.
type procs struct {
	now, most int
	calm      time.Duration
}

// next takes the CPU time used per time passed, in processors, and returns how
// many to use from now on.
func (p *procs) next(usage float64, passed time.Duration) int {
	switch {
	case usage > procsBusy*float64(p.now):
		p.calm = 0
		p.now = min(max(p.now+1, int(math.Ceil(usage/procsBusy))), p.most)
	case p.now > 1 && usage < procsCalm*float64(p.now-1):
		if p.calm += passed; p.calm >= procsQuiet {
			p.calm = 0
			p.now--
		}
	default:
		p.calm = 0
	}
	return p.now
}

// govern keeps GOMAXPROCS at what procs says, unless the user has set it, and
// memory at what trim allows, until ctx ends.
func govern(ctx context.Context, log *slog.Logger) {
	p := procs{now: runtime.GOMAXPROCS(0), most: runtime.GOMAXPROCS(0)}
	if os.Getenv("GOMAXPROCS") != "" {
		p.most = 0
	}
	t := trim{since: trimPause}
	ticker := time.NewTicker(procsTick)
	defer ticker.Stop()
	used, at := cpuTime(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		u, now := cpuTime(), time.Now()
		passed, was := now.Sub(at), p.now
		usage := float64(u-used) / float64(passed)
		if p.most > 0 && p.next(usage, passed) != was {
			runtime.GOMAXPROCS(p.now)
			log.Debug("processors in use", "count", p.now)
		}
		used, at = u, now
		if t.due(usage, passed) {
			debug.FreeOSMemory()
			used = cpuTime() // its own cost does not count
		}
	}
}

// cpuTime is what the process has used so far, user and system.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
