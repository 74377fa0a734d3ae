package bench

import (
	"fmt"
	"regexp"
	"strconv"
)

// kind is how a point is measured.
type kind int

const (
	kindQueries  kind = iota // pgbench -S on connections that stay
	kindConnect              // pgbench -S -C: a connection for each query
	kindIdle                 // clients in Go that do nothing
	kindRouted               // pgbench -S, with routing and without
	kindScaleOut             // the same, with a look at the CPU of each server
)

// Target is what a point is run against.
type Target string

// The targets. Direct is PostgreSQL itself, for reference. RoutingOn and
// RoutingOff are Penstock before a primary and replicas, in both cases.
const (
	Penstock   Target = "Penstock"
	PgBouncer  Target = "PgBouncer"
	Direct     Target = "direct"
	RoutingOn  Target = "routing on"
	RoutingOff Target = "routing off"
)

// Point is one kind of work with a number of clients.
type Point struct {
	Name    string
	Title   string
	Clients int
	kind    kind
	mode    string // of pgbench: simple, extended or prepared
	writes  bool   // one of ten transactions is pgbench's simple-update
	tls     bool
	skip    map[Target]string // targets that cannot do it, with the reason
}

// mostDirect is the number of clients that PostgreSQL's max_connections = 200
// leaves room for, besides two pools of 20.
const mostDirect = 150

// Points lists all points in the order of the report.
func Points() []Point {
	var points []Point
	for _, mode := range []string{"simple", "extended", "prepared"} {
		for _, clients := range []int{1, 8, 64, 512} {
			p := Point{Name: mode + "-" + strconv.Itoa(clients), Title: fmt.Sprintf("%s, %d", mode, clients), Clients: clients, mode: mode}
			p.skip = map[Target]string{}
			if mode == "prepared" {
				p.skip[PgBouncer] = "PgBouncer has prepared statements in transaction mode only since 1.21"
			}
			if clients > mostDirect {
				p.skip[Direct] = "more clients than max_connections = 200 admits"
			}
			points = append(points, p)
		}
	}
	return append(append(points,
		Point{Name: "tls-8", Title: "TLS to the client, simple, 8", Clients: 8, mode: "simple", tls: true},
		Point{Name: "connect-8", Title: "connect for each query, 8", Clients: 8, mode: "simple", kind: kindConnect},
		Point{
			Name: "idle-4000", Title: "idle clients, 4,000", Clients: 4000, kind: kindIdle,
			skip: map[Target]string{Direct: "more clients than max_connections = 200 admits"},
		},
	), routedPoints()...)
}

// routedPoints are about routing: what it costs the proxy, and how it divides
// the work among the servers.
func routedPoints() []Point {
	var points []Point
	for _, mode := range []string{"simple", "extended", "prepared"} {
		for _, clients := range []int{8, 64} {
			points = append(points, Point{
				Name: fmt.Sprintf("routed-%s-%d", mode, clients), Title: fmt.Sprintf("routed, %s, %d", mode, clients),
				Clients: clients, kind: kindRouted, mode: mode,
			})
		}
	}
	return append(points,
		Point{Name: "scale-out", Title: "scale-out, prepared, 64", Clients: 64, kind: kindScaleOut, mode: "prepared"},
		Point{
			// Not more clients than the pool has connections: pgbench blocks in its first
			// PREPARE, and with it the clients whose transactions hold them.
			Name: "scale-out-writes", Title: "scale-out, one of ten writes, prepared, 16",
			Clients: 16, kind: kindScaleOut, mode: "prepared", writes: true,
		},
	)
}

// routed says whether a point is about routing; these have servers of their own.
func (p Point) routed() bool { return p.kind == kindRouted || p.kind == kindScaleOut }

// pair is whom a point compares: its ratios are those of the first to the second.
func (p Point) pair() [2]Target {
	if p.routed() {
		return [2]Target{RoutingOn, RoutingOff}
	}
	return [2]Target{Penstock, PgBouncer}
}

// pairOf is the pair of the point of that name.
func pairOf(name string) [2]Target {
	for _, p := range Points() {
		if p.Name == name {
			return p.pair()
		}
	}
	return Point{}.pair()
}

// Select returns the points whose name matches a regular expression.
func Select(points []Point, pattern string) ([]Point, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	var selected []Point
	for _, p := range points {
		if re.MatchString(p.Name) {
			selected = append(selected, p)
		}
	}
	if len(selected) == 0 {
		return nil, fmt.Errorf("no point's name matches %q", pattern)
	}
	return selected, nil
}

// targets returns who is run in a round; the first one changes.
func (p Point) targets(round int) []Target {
	pair := p.pair()
	if round%2 == 0 {
		pair[0], pair[1] = pair[1], pair[0]
	}
	order := pair[:]
	if !p.routed() {
		order = append(order, Direct)
	}
	var targets []Target
	for _, t := range order {
		if p.skip[t] == "" {
			targets = append(targets, t)
		}
	}
	return targets
}
