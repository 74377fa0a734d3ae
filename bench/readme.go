package bench

import (
	"errors"
	"fmt"
	"strings"
)

const (
	readmeBegin = "<!-- bench:begin -->\n"
	readmeEnd   = "<!-- bench:end -->"
)

// Short is the table for the README; page is the link to the whole one.
func (r *Report) Short(page string) string {
	var b strings.Builder
	b.WriteString(r.shortTable(false))
	for _, p := range Points() {
		if p.kind == kindIdle && len(r.Values(p.Name, Penstock, "used_bytes")) > 0 {
			fmt.Fprintf(&b, "\nAn idle client that has run a query takes %s bytes in Penstock, %s in PgBouncer (%s clients).\n",
				medianOf(r.Values(p.Name, Penstock, "used_bytes"), measure{}.format),
				medianOf(r.Values(p.Name, PgBouncer, "used_bytes"), measure{}.format), thousands(fmt.Sprint(p.Clients)))
		}
	}
	if routed := r.shortTable(true); routed != "" {
		b.WriteString("\nReads routed to two replicas, with routing / without:\n\n" + routed)
		b.WriteString(r.shortScaleOut())
	}
	fmt.Fprintf(&b, "\nPenstock / PgBouncer; ratios are medians of %d interleaved rounds, %s. %s. The whole table, with its spread: [%s](%s).\n",
		r.Rounds, r.Date.Format("2006-01-02"), r.Machine, page, page)
	return b.String()
}

// shortTable has a row for each point, "" if none was measured.
func (r *Report) shortTable(routed bool) string {
	var b strings.Builder
	for _, p := range Points() {
		if p.routed() != routed || p.kind == kindIdle || len(r.Values(p.Name, p.pair()[0], "tps")) == 0 {
			continue
		}
		fmt.Fprintf(&b, "| %s |", p.Title)
		for _, name := range []string{"tps", "cpu_us", "p99_ms"} {
			fmt.Fprintf(&b, " %s | %s |", r.medians(p, measureNamed(name)), medianOf(r.Ratios(p.Name, name), ratioFormat))
		}
		b.WriteString("\n")
	}
	if b.Len() == 0 {
		return ""
	}
	return "| work, clients | queries/s | ratio | CPU µs/query | ratio | p99 ms | ratio |\n|---|--:|--:|--:|--:|--:|--:|\n" + b.String()
}

// shortScaleOut says who did the work.
func (r *Report) shortScaleOut() string {
	var b strings.Builder
	for _, p := range Points() {
		if p.kind != kindScaleOut || len(r.Values(p.Name, RoutingOn, "primary_s")) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s: CPU seconds of the primary %s, of the replicas %s and %s (with routing / without), in windows of %d s.\n",
			p.Title, r.medians(p, measureNamed("primary_s")), r.medians(p, measureNamed("replica1_s")),
			r.medians(p, measureNamed("replica2_s")), r.Seconds)
	}
	return b.String()
}

// medians is "Penstock / PgBouncer", or that of another pair.
func (r *Report) medians(p Point, m measure) string {
	pair := p.pair()
	return medianOf(r.Values(p.Name, pair[0], m.name), m.format) + " / " + medianOf(r.Values(p.Name, pair[1], m.name), m.format)
}

// measureNamed is one of measures.
func measureNamed(name string) measure {
	for _, m := range measures() {
		if m.name == name {
			return m
		}
	}
	return measure{name: name}
}

func medianOf(values []float64, format func(float64) string) string {
	if len(values) == 0 {
		return "–"
	}
	return format(Summarize(values).Median)
}

// Replace puts text between the marks of a README.
func Replace(readme, text string) (string, error) {
	before, rest, found := strings.Cut(readme, readmeBegin)
	_, after, found2 := strings.Cut(rest, readmeEnd)
	if !found || !found2 {
		return "", errors.New("the README has no lines <!-- bench:begin --> and <!-- bench:end -->")
	}
	return before + readmeBegin + text + readmeEnd + after, nil
}
