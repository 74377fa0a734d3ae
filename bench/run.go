package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/penstock/penstock/internal/pgtest"
)

// Options say what to run.
type Options struct {
	Rounds   int
	Seconds  int           // of the window of each pgbench run
	Settle   time.Duration // before memory is looked at
	Points   []Point
	Penstock string    // the binary
	Log      io.Writer // is told each run
}

// RunResult is one point through one target once.
type RunResult struct {
	Point  string             `json:"point"`
	Target Target             `json:"target"`
	Round  int                `json:"round"`
	Values map[string]float64 `json:"values,omitempty"` // by the names of measures
	Error  string             `json:"error,omitempty"`
}

// Report is everything that was measured, and where.
type Report struct {
	Date    time.Time   `json:"date"`
	Took    string      `json:"took"`
	Rounds  int         `json:"rounds"`
	Seconds int         `json:"seconds"`
	Settle  string      `json:"settle"`
	Machine Machine     `json:"machine"`
	Runs    []RunResult `json:"runs"`
}

// replicas is how many the points about routing have.
const replicas = 2

// Run measures all points: first those without replicas, then, on servers of
// their own, those about routing. The error is about what prevents measuring at
// all; runs that failed stand in the report.
func Run(ctx context.Context, o Options) (report *Report, err error) {
	begin := time.Now()
	report = &Report{
		Date: begin.UTC().Truncate(time.Second), Rounds: o.Rounds, Seconds: o.Seconds, Settle: o.Settle.String(),
		Machine: describe(ctx, o.Penstock),
	}
	for _, routed := range []bool{false, true} {
		var points []Point
		for _, p := range o.Points {
			if p.routed() == routed {
				points = append(points, p)
			}
		}
		if len(points) == 0 {
			continue
		}
		if err := report.measure(ctx, o, points); err != nil {
			return nil, err
		}
	}
	report.Took = time.Since(begin).Round(time.Second).String()
	return report, nil
}

// measure starts what some points need, all of them the same, and runs them.
func (r *Report) measure(ctx context.Context, o Options, points []Point) (err error) {
	followers := 0
	if points[0].routed() {
		followers = replicas
	}
	lab, err := newLaboratory(ctx, o.Penstock, followers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.cluster.Stop()) }()
	r.Machine.addVersions(ctx, lab)
	proxies := map[Target]*process{}
	defer func() {
		for _, p := range proxies {
			err = errors.Join(err, p.stop())
		}
	}()
	for _, t := range points[0].pair() {
		if proxies[t], err = lab.start(ctx, t); err != nil {
			return err
		}
	}
	for round := 1; round <= o.Rounds; round++ {
		for _, p := range points {
			for _, t := range p.targets(round) {
				run := RunResult{Point: p.Name, Target: t, Round: round}
				run.Values, err = lab.measure(ctx, o, p, t, proxies[t])
				if ctx.Err() != nil {
					return errors.New("interrupted")
				}
				if err != nil {
					run.Values, run.Error = nil, err.Error()
				}
				r.Runs = append(r.Runs, run)
				tell(o.Log, o.Rounds, run)
			}
		}
	}
	return nil
}

// measure runs one point through one target.
func (l *laboratory) measure(ctx context.Context, o Options, p Point, t Target, proxy *process) (map[string]float64, error) {
	if p.kind == kindIdle {
		fresh, err := l.start(ctx, t)
		if err != nil {
			return nil, err
		}
		values, err := runIdle(ctx, p, fresh, o.Settle)
		return values, errors.Join(err, fresh.stop())
	}
	addr := l.cluster.Primary.Addr()
	if proxy != nil {
		if err := proxy.ended(); err != nil {
			return nil, err
		}
		addr = proxy.addr
	}
	m := meter{proxy: proxy}
	if p.routed() {
		m.servers = append([]*pgtest.Instance{l.cluster.Primary}, l.cluster.Replicas...)
	}
	values, err := runPgbench(ctx, l.pgbench(), p, dsn(addr, p.tls), os.TempDir(), o.Seconds, m)
	if err == nil && p.routed() {
		err = tellServers(values, p, t)
	}
	return values, err
}

func tell(w io.Writer, rounds int, r RunResult) {
	text := "FAILED: " + r.Error
	if r.Error == "" {
		text = ""
		for _, m := range measures() {
			if v, ok := r.Values[m.name]; ok {
				text += fmt.Sprintf("  %s %s", m.format(v), m.unit)
			}
		}
	}
	_, _ = fmt.Fprintf(w, "round %d/%d  %-18s %-11s %s\n", r.Round, rounds, r.Point, r.Target, text)
}

// Failed lists the runs that failed.
func (r *Report) Failed() []string {
	var failed []string
	for _, run := range r.Runs {
		if run.Error != "" {
			failed = append(failed, fmt.Sprintf("%s, %s, round %d: %s", run.Point, run.Target, run.Round, run.Error))
		}
	}
	return failed
}
