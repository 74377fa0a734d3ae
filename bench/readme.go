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
	b.WriteString("| work, clients | queries/s | ratio | CPU µs/query | ratio | p99 ms | ratio |\n|---|--:|--:|--:|--:|--:|--:|\n")
	for _, p := range Points() {
		if p.kind == kindIdle || len(r.Values(p.Name, Penstock, "tps")) == 0 {
			continue
		}
		fmt.Fprintf(&b, "| %s |", p.Title)
		for _, name := range []string{"tps", "cpu_us", "p99_ms"} {
			for _, m := range measures() {
				if m.name == name {
					fmt.Fprintf(&b, " %s | %s |", r.medians(p, m), medianOf(r.Ratios(p.Name, name), ratioFormat))
				}
			}
		}
		b.WriteString("\n")
	}
	for _, p := range Points() {
		if p.kind == kindIdle && len(r.Values(p.Name, Penstock, "used_bytes")) > 0 {
			fmt.Fprintf(&b, "\nAn idle client that has run a query takes %s bytes in Penstock, %s in PgBouncer (%s clients).\n",
				medianOf(r.Values(p.Name, Penstock, "used_bytes"), measure{}.format),
				medianOf(r.Values(p.Name, PgBouncer, "used_bytes"), measure{}.format), thousands(fmt.Sprint(p.Clients)))
		}
	}
	fmt.Fprintf(&b, "\nPenstock / PgBouncer; ratios are medians of %d interleaved rounds, %s. %s. The whole table, with its spread: [%s](%s).\n",
		r.Rounds, r.Date.Format("2006-01-02"), r.Machine, page, page)
	return b.String()
}

// medians is "Penstock / PgBouncer".
func (r *Report) medians(p Point, m measure) string {
	return medianOf(r.Values(p.Name, Penstock, m.name), m.format) + " / " + medianOf(r.Values(p.Name, PgBouncer, m.name), m.format)
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
