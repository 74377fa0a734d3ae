package bench

import (
	"fmt"
	"regexp"
	"strconv"
)

// kind is how a point is measured.
type kind int

const (
	kindQueries kind = iota // pgbench -S on connections that stay
	kindConnect             // pgbench -S -C: a connection for each query
	kindIdle                // clients in Go that do nothing
)

// Target is what a point is run against.
type Target string

// The targets. Direct is PostgreSQL itself, for reference.
const (
	Penstock  Target = "Penstock"
	PgBouncer Target = "PgBouncer"
	Direct    Target = "direct"
)

// Point is one kind of work with a number of clients.
type Point struct {
	Name    string
	Title   string
	Clients int
	kind    kind
	mode    string // of pgbench: simple, extended or prepared
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
	return append(points,
		Point{Name: "tls-8", Title: "TLS to the client, simple, 8", Clients: 8, mode: "simple", tls: true},
		Point{Name: "connect-8", Title: "connect for each query, 8", Clients: 8, mode: "simple", kind: kindConnect},
		Point{
			Name: "idle-4000", Title: "idle clients, 4,000", Clients: 4000, kind: kindIdle,
			skip: map[Target]string{Direct: "more clients than max_connections = 200 admits"},
		},
	)
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
	order := []Target{Penstock, PgBouncer}
	if round%2 == 0 {
		order = []Target{PgBouncer, Penstock}
	}
	var targets []Target
	for _, t := range append(order, Direct) {
		if p.skip[t] == "" {
			targets = append(targets, t)
		}
	}
	return targets
}
