package bench

import "fmt"

// idleGoal is the most memory an idle plaintext client may take: 3 kB.
const idleGoal = 3 * 1024

// goals says for each goal of the project whether it was reached.
func (r *Report) goals() []string {
	var lines []string
	for _, p := range Points() {
		switch {
		case p.kind == kindConnect:
			lines = append(lines, r.atLeast(p, "tps", "connects")...)
		case p.kind == kindIdle:
			lines = append(lines, r.idleGoals(p)...)
		case p.kind == kindRouted:
			lines = append(lines, r.routedGoals(p)...)
		case p.tls, p.kind == kindScaleOut:
		default:
			most := 1.1
			if p.Clients == 1 {
				most = 0.8
			}
			lines = append(lines, r.atMost(p, "cpu_us", "CPU by query", most, "PgBouncer's")...)
			lines = append(lines, r.atLeast(p, "tps", "throughput")...)
		}
	}
	return lines
}

// routedGoals are what routing may cost the proxy. Extended queries have no goal
// of their own.
func (r *Report) routedGoals(p Point) []string {
	most := map[string]float64{"prepared": 1.1, "simple": 1.15}[p.mode]
	if most == 0 {
		return nil
	}
	return r.atMost(p, "cpu_us", "CPU by query", most, "that without routing")
}

func (r *Report) atMost(p Point, measure, what string, most float64, than string) []string {
	s := Summarize(r.Ratios(p.Name, measure))
	if s.N == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: %s at most %g times %s (%s): %s", p.Title, what, most, than,
		cell(s, ratioFormat), verdict(s.Median <= most, s.Min <= most))}
}

func (r *Report) atLeast(p Point, measure, what string) []string {
	s := Summarize(r.Ratios(p.Name, measure))
	if s.N == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: %s at least 1.0 times PgBouncer's (%s): %s", p.Title, what,
		cell(s, ratioFormat), verdict(s.Median >= 1, s.Max >= 1))}
}

func (r *Report) idleGoals(p Point) []string {
	s := Summarize(r.Values(p.Name, Penstock, "used_bytes"))
	if s.N == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: at most %d bytes each, also after a query (%s): %s", p.Title, idleGoal,
		cell(s, measure{}.format), verdict(s.Median <= idleGoal, s.Min <= idleGoal))}
}

// verdict knows a third answer: missed by the median, reached in some round.
func verdict(reached, within bool) string {
	switch {
	case reached:
		return "reached"
	case within:
		return "within the noise"
	default:
		return "MISSED"
	}
}
