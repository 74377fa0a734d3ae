package bench

import (
	"fmt"
	"time"

	"github.com/penstock/penstock/internal/pgtest"
)

// meter tells what the processes that are measured have used up so far.
type meter struct {
	proxy   *process           // nil for PostgreSQL itself
	servers []*pgtest.Instance // the primary and its replicas; none where they do not matter
}

func (m meter) read(t *tick) error {
	var err error
	if m.proxy != nil {
		if t.cpu, t.rss, err = m.proxy.usage(); err != nil {
			return err
		}
	}
	for i, s := range m.servers {
		if t.servers[i], err = familyCPU(s.Pid()); err != nil {
			return fmt.Errorf("%s's CPU time: %w", s.Name, err)
		}
	}
	return nil
}

// serverMeasure is the name of the CPU time of a meter's server.
func serverMeasure(i int) string {
	if i == 0 {
		return "primary_s"
	}
	return fmt.Sprintf("replica%d_s", i)
}

// addServers computes what the servers used between two ticks.
func addServers(values map[string]float64, first, last tick, transactions float64) {
	all := time.Duration(0)
	for i, used := range last.servers {
		all += used - first.servers[i]
		values[serverMeasure(i)] = (used - first.servers[i]).Seconds()
	}
	values["servers_us"] = float64(all.Microseconds()) / transactions
}

// tellServers refuses a run in which the reads were not where they should have
// been: it would measure something else. Where there are writes, that cannot be
// told from the CPU time. Only scale-out shows these figures.
func tellServers(values map[string]float64, p Point, t Target) error {
	primary, all := values[serverMeasure(0)], 0.0
	for i := range replicas {
		all += values[serverMeasure(i+1)]
	}
	if !p.writes && (t == RoutingOn) != (all > primary) {
		return fmt.Errorf("with %s the primary used %.2f s of CPU, the replicas %.2f s", t, primary, all)
	}
	if p.kind != kindScaleOut {
		for i := range replicas + 1 {
			delete(values, serverMeasure(i))
		}
		delete(values, "servers_us")
	}
	return nil
}
