package router_test

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/penstock/penstock/router"
)

func balancer(o router.BalanceOptions, hosts int) (*router.Balancer, *router.Lag, time.Time) {
	var lag router.Lag
	now := time.Unix(1000, 0)
	weights := slices.Repeat([]float64{1}, hosts)
	b := router.NewBalancer(o, weights, &lag, rand.New(rand.NewPCG(1, 2)))
	for i := range hosts {
		b.SetUp(now, i, true)
		b.Observe(now, i, at(1, 100))
	}
	return b, &lag, now
}

// end is the end of a simulated statement.
type end struct {
	at   time.Time
	host int
	took time.Duration
}

type ends []end

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)        { *e = append(*e, x.(end)) }
func (e *ends) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// simulate sends a statement each interval and returns the times they took and
// how many each host got. mean gives a host's mean latency at a time.
func simulate(b *router.Balancer, now time.Time, n int, interval time.Duration, pick func(time.Time) int, mean func(host int, since time.Duration) time.Duration) (took []time.Duration, counts [3]int) {
	chance := rand.New(rand.NewPCG(7, 8))
	start := now
	var running ends
	for range n {
		now = now.Add(interval)
		for len(running) > 0 && !running[0].at.After(now) {
			e := heap.Pop(&running).(end)
			b.Done(e.at, e.host, e.took, false)
		}
		host := pick(now)
		counts[host]++
		d := time.Duration((0.5 + chance.ExpFloat64()/2) * float64(mean(host, now.Sub(start))))
		b.Start(host)
		heap.Push(&running, end{now.Add(d), host, d})
		took = append(took, d)
	}
	return took, counts
}

func p99(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)*99/100]
}

func TestASlowReplicaIsLeftAlone(t *testing.T) {
	healthy := func(int, time.Duration) time.Duration { return time.Millisecond }
	slow := func(host int, since time.Duration) time.Duration {
		if host == 1 && since > 20*time.Second {
			return 10 * time.Millisecond
		}
		return time.Millisecond
	}
	run := func(mean func(int, time.Duration) time.Duration, random bool) (time.Duration, [3]int) {
		b, _, now := balancer(router.BalanceOptions{}, 3)
		chance := rand.New(rand.NewPCG(3, 4))
		pick := func(now time.Time) int {
			if random {
				return chance.IntN(3)
			}
			return b.Pick(now, router.Position{}, 0).Host
		}
		took, counts := simulate(b, now, 100_000, 500*time.Microsecond, pick, mean)
		return p99(took[50_000:]), counts
	}
	base, counts := run(healthy, false)
	for host, n := range counts {
		if n < 20_000 {
			t.Errorf("host %d of three equal ones got %d of 100000", host, n)
		}
	}
	with, counts := run(slow, false)
	without, _ := run(slow, true)
	t.Logf("p99 healthy %v; one of three 10 times slower: %v (it got %d of 100000), by chance alone %v", base, with, counts[1], without)
	if with > base*3/2 {
		t.Errorf("p99 %v, more than 1.5 times the healthy %v", with, base)
	}
	if without < base*2 {
		t.Errorf("the test cannot fail: by chance alone p99 is %v", without)
	}
}

func TestEjectionLeavesHalf(t *testing.T) {
	b, _, now := balancer(router.BalanceOptions{}, 3)
	for range 100 {
		for host := range 3 {
			b.Start(host)
			b.Done(now, host, time.Millisecond, true)
		}
	}
	ejected := 0
	for host := range 3 {
		if b.State(now, host).Ejected {
			ejected++
		}
	}
	if ejected != 1 {
		t.Errorf("%d of 3 are ejected, want 1", ejected)
	}
	if c := b.Pick(now, router.Position{}, 0b110); c.Host != 0 {
		t.Errorf("the last one left is not taken although ejected: %+v", c)
	}
	one, _, now := balancer(router.BalanceOptions{}, 1)
	for range 100 {
		one.Done(now, 0, time.Millisecond, true)
	}
	if one.State(now, 0).Ejected {
		t.Error("the only one is ejected")
	}
}

func TestOutliersAreEjected(t *testing.T) {
	for name, c := range map[string]struct {
		latency time.Duration
		want    bool
	}{
		"10 times slower": {10 * time.Millisecond, true},
		"twice as slow":   {2 * time.Millisecond, false},
	} {
		b, _, now := balancer(router.BalanceOptions{}, 3)
		began := now
		for range 100 {
			now = now.Add(10 * time.Millisecond)
			for host := range 3 {
				took := time.Millisecond
				if host == 1 {
					took = c.latency
				}
				b.Start(host)
				b.Done(now, host, took, false)
			}
			if b.State(now, 1).Ejected {
				break
			}
		}
		if b.State(now, 1).Ejected != c.want || b.State(now, 0).Ejected || b.State(now, 2).Ejected {
			t.Errorf("%s: ejected is %v", name, !c.want)
		}
		if took := now.Sub(began); c.want && took > time.Second {
			t.Errorf("%s: ejected after %v", name, took)
		}
	}
	// Microseconds are noise, however many times the median.
	b, _, now := balancer(router.BalanceOptions{}, 3)
	for range 100 {
		now = now.Add(10 * time.Millisecond)
		for host := range 3 {
			b.Start(host)
			b.Done(now, host, time.Duration(1+host*100)*time.Microsecond, false)
		}
	}
	if b.State(now, 2).Ejected {
		t.Error("201 us is no reason")
	}
}

func TestAnEjectedReplicaComesBackSlowly(t *testing.T) {
	b, _, now := balancer(router.BalanceOptions{}, 3)
	now = now.Add(time.Minute)
	for range 5 {
		b.Done(now, 1, time.Millisecond, true)
	}
	share := func(at time.Time) int {
		n := 0
		for range 10_000 {
			c := b.Pick(at, router.Position{}, 0)
			if c.Host == 1 {
				n++
			}
			b.Start(c.Host)
			b.Done(at, c.Host, time.Millisecond, false)
		}
		return n
	}
	if n := share(now.Add(time.Second)); n != 0 {
		t.Errorf("ejected and picked %d times", n)
	}
	early := b.State(now.Add(2100*time.Millisecond), 1).Score
	late := b.State(now.Add(7*time.Second), 1).Score
	if early < 5*late {
		t.Errorf("no slow start: cost %v, then %v", early, late)
	}
	if n := share(now.Add(8 * time.Second)); n < 2000 {
		t.Errorf("back after 8 s and picked %d times of 10000", n)
	}
	// The second time it stays away longer.
	again := now.Add(9 * time.Second)
	for range 5 {
		b.Done(again, 1, time.Millisecond, true)
	}
	if !b.State(again.Add(3*time.Second), 1).Ejected || b.State(again.Add(5*time.Second), 1).Ejected {
		t.Error("the second ejection is not 4 s")
	}
}

func TestPickAsksForTheFloor(t *testing.T) {
	b, _, now := balancer(router.BalanceOptions{}, 3)
	b.Observe(now.Add(time.Second), 0, at(1, 1100)) // 1000 bytes a second
	b.Observe(now.Add(time.Second), 2, at(1, 5000))
	now = now.Add(time.Second)
	for range 100 {
		if c := b.Pick(now, at(1, 2000), 0); c.Host != 2 {
			t.Fatalf("%+v", c)
		}
	}
	c := b.Pick(now, at(1, 2000), 0b100)
	if c.Host != -1 || c.Reason != router.ReasonReplicasBehind || c.Closer != 0 || c.Wait != 900*time.Millisecond {
		t.Errorf("%+v", c)
	}
	if c := b.Pick(now.Add(800*time.Millisecond), at(1, 2000), 0b100); c.Wait != 100*time.Millisecond {
		t.Errorf("time that has passed is not counted: %+v", c)
	}
	if c := b.Pick(now, at(2, 1), 0); c.Host != -1 || c.Wait != -1 {
		t.Errorf("another timeline: %+v", c)
	}
	b.Observe(now, 2, at(1, 50)) // late news
	if c := b.Pick(now, at(1, 2000), 0); c.Host != 2 {
		t.Errorf("went back: %+v", c)
	}
	if c := b.Pick(now, router.Position{}, 0b111); c.Host != -1 || c.Reason != router.ReasonNoHealthyReplica {
		t.Errorf("%+v", c)
	}
}

func TestPickKeepsTheLimitsOfLag(t *testing.T) {
	for name, o := range map[string]router.BalanceOptions{"time": {MaxLag: time.Second}, "bytes": {MaxLagBytes: 500}} {
		b, lag, now := balancer(o, 2)
		for i := range 50 {
			lag.NotePrimary(now.Add(time.Duration(i)*100*time.Millisecond), at(1, router.LSN(100+i*100)))
		}
		now = now.Add(4900 * time.Millisecond)
		b.Observe(now, 1, at(1, 4900))
		for range 100 {
			if c := b.Pick(now, router.Position{}, 0); c.Host != 1 {
				t.Fatalf("%s: %+v", name, c)
			}
		}
		if c := b.Pick(now, router.Position{}, 0b10); c.Host != -1 || c.Reason != router.ReasonReplicasLag {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestWeightsAndDownHosts(t *testing.T) {
	var lag router.Lag
	now := time.Unix(1000, 0)
	b := router.NewBalancer(router.BalanceOptions{}, []float64{1, 3, 0}, &lag, rand.New(rand.NewPCG(1, 2)))
	if c := b.Pick(now, router.Position{}, 0); c.Host != -1 {
		t.Errorf("all are down: %+v", c)
	}
	for i := range 3 {
		b.SetUp(now, i, true)
	}
	now = now.Add(time.Minute)
	var counts [3]int
	for range 4000 { // nothing ends
		c := b.Pick(now, router.Position{}, 0)
		counts[c.Host]++
		b.Start(c.Host)
	}
	if counts[2] != 0 || counts[1] < 2700 || counts[1] > 3300 {
		t.Errorf("weights 1, 3, 0 got %v", counts)
	}
	b.SetUp(now, 1, false)
	if c := b.Pick(now, router.Position{}, 0); c.Host != 0 {
		t.Errorf("a host that is down was picked: %+v", c)
	}
}

func TestFallback(t *testing.T) {
	now := time.Unix(0, 0)
	budget := router.NewBudget(0.25, 0, 1)
	behind := func(wait time.Duration) router.Choice {
		return router.Choice{Host: -1, Reason: router.ReasonReplicasBehind, Wait: wait}
	}
	for i, c := range []struct {
		choice router.Choice
		way    router.Way
		atMost time.Duration
	}{
		{behind(3 * time.Millisecond), router.WayWait, 5 * time.Millisecond},
		{router.Choice{Reason: router.ReasonNoHealthyReplica, Wait: -1}, router.WayPrimary, 0},
		{behind(time.Second), router.WayPrimary, 0}, // the one token
		{behind(time.Second), router.WayWait, 100 * time.Millisecond},
		{behind(-1), router.WayWait, 100 * time.Millisecond},
		{router.Choice{Reason: router.ReasonNoHealthyReplica, Wait: -1}, router.WayPrimary, 0},
	} {
		if way, atMost := router.Fallback(now, c.choice, 5*time.Millisecond, 100*time.Millisecond, budget); way != c.way || atMost != c.atMost {
			t.Errorf("case %d: %v %v", i, way, atMost)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	o, lag, now := balancer(router.BalanceOptions{MaxLag: time.Second}, 3)
	lag.NotePrimary(now, at(1, 100))
	floor := at(1, 50)
	b.ReportAllocs()
	for b.Loop() {
		c := o.Pick(now, floor, 0)
		if c.Host < 0 {
			b.Fatal(c)
		}
		o.Start(c.Host)
		o.Done(now, c.Host, time.Millisecond, false)
	}
}

func BenchmarkFloor(b *testing.B) {
	p := router.NewProber(0)
	var f router.Floor
	b.ReportAllocs()
	for b.Loop() {
		f.Committed(p.NoteCommit())
		id, _ := p.Begin(time.Time{})
		p.Done(id, at(1, 5))
		if _, s := f.Resolve(p); s != router.FloorKnown {
			b.Fatal(s)
		}
	}
}

// A host that is new is not measured yet. Taken for infinitely fast, it would get
// everything at once.
func TestANewHostIsNotFlooded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	b := router.NewBalancer(router.BalanceOptions{}, []float64{1, 1}, new(router.Lag), rand.New(rand.NewPCG(1, 2)))
	b.SetUp(now, 0, true)
	for range 40 {
		b.Start(0)
		b.Done(now, 0, 5*time.Millisecond, false)
		now = now.Add(time.Second)
	}
	b.SetUp(now, 1, true)
	var picked [2]int
	for range 64 {
		c := b.Pick(now.Add(time.Second), router.Position{}, 0)
		b.Start(c.Host)
		picked[c.Host]++
	}
	if picked[1] == 0 || picked[1] > 64/3 {
		t.Errorf("of 64 statements at once the new host got %d", picked[1])
	}
}
