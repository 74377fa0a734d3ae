package soundness

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/sqlscan"
	"github.com/penstock/penstock/router"
)

const (
	leastComplete = 0.95
	window        = 250 // statements between two looks at all settings and the next transaction id
	mostShown     = 40
)

// TestSoakSoundness: nothing that the router calls a safe read does anything to
// a primary or answers otherwise on a replica; and of the reads that servers
// find nothing against, it calls nearly all safe.
func TestSoakSoundness(t *testing.T) {
	factor := soak(t, 40*time.Second)
	if testing.Short() {
		factor = 0.13
	}
	n := func(usual int) int { return int(float64(usual) * factor) }
	w := makeWorld(t)
	seed := seed(t)
	all := w.eachHazard(seed)
	all = append(all, w.traced(n(2_200), seed)...)
	all = append(all, w.sweep(t, "postgres", n(4_000), seed)...)
	all = append(all, w.generated("postgres", n(4_000), seed)...)
	all = append(all, w.generated("app", n(4_000), seed)...)
	all = append(all, w.sqlsmith(t, n(900), seed)...)
	var scanner sqlscan.Scanner
	rules := &router.Rules{}
	for i := range all {
		w.classify(&scanner, rules, &all[i])
	}
	started := time.Now()
	report := w.judgeSafe(t, all)
	t.Logf("%d statements, the safe ones judged in %v", len(all), time.Since(started).Round(time.Second))
	started = time.Now()
	report.merge(w.judgeOthers(t, all))
	t.Logf("the others judged in %v", time.Since(started).Round(time.Second))
	report.print(t)
	if report.sound() < len(all)/5 {
		t.Errorf("only %d of %d statements were judged: the test says little", report.sound(), len(all))
	}
}

// workers are the two that share the statements: one is a superuser, and one is
// not and has a search_path that someone else set.
func workers() []string { return []string{"app", "postgres"} }

// judgeSafe runs the statements that the router would send to a replica.
func (w *world) judgeSafe(t *testing.T, all []statement) *report {
	parts := make([]*report, len(workers()))
	var wait sync.WaitGroup
	for i, user := range workers() {
		parts[i] = newReport()
		j := w.newJudge(t, user, parts[i])
		wait.Go(func() {
			var batch []*statement
			for k := range all {
				x := &all[k]
				parts[i].seen(x, k%len(workers()) == i)
				if k%len(workers()) != i || !x.safe() {
					continue
				}
				if batch = append(batch, x); len(batch) == window {
					j.batch(batch)
					batch = nil
				}
			}
			j.batch(batch)
		})
	}
	wait.Wait()
	parts[0].merge(parts[1])
	w.bisect(t, parts[0])
	return parts[0]
}

// judge judges safe statements with sessions of one user.
type judge struct {
	report   *report
	primary  map[string]*session // by database
	standby  map[string]*session
	remnants map[string]string
	next     string // transaction id
}

func (w *world) newJudge(t *testing.T, user string, r *report) *judge {
	j := &judge{report: r, primary: map[string]*session{}, standby: map[string]*session{}, remnants: map[string]string{}}
	for database := range w.snapshots {
		j.primary[database] = w.newSession(t, w.cluster.Primary, database, user)
		j.standby[database] = w.newSession(t, w.cluster.Replicas[0], database, user)
		j.remnants[database] = j.primary[database].value(remnantsSQL)
	}
	j.next = j.primary["app"].value(nextXidSQL)
	return j
}

// batch judges some statements, and then what all of them left.
func (j *judge) batch(batch []*statement) {
	for _, x := range batch {
		j.one(x)
	}
	left := ""
	for database, s := range j.primary {
		if now := s.value(remnantsSQL); now != j.remnants[database] {
			left = "changed a setting or left something in the session"
			s.renew()
		}
	}
	if now := j.primary["app"].value(nextXidSQL); now != j.next {
		left, j.next = "assigned a transaction id", now
	}
	if left != "" {
		j.report.suspects = append(j.report.suspects, batch...)
	}
}

// one judges a statement.
func (j *judge) one(x *statement) {
	primary, standby := j.primary[x.database], j.standby[x.database]
	a, traces := primary.run(x.text, "BEGIN", "COMMIT")
	if traces != "" {
		j.report.violate(x, "left traces: "+traces)
		primary.renew()
		return
	}
	b := standby.alone(x.text)
	c := j.report.of(x)
	switch same, reordered := a.same(&b); {
	case a.slow() || b.slow():
		c.slow++
	case same:
		if reordered {
			c.reordered++
		}
		if a.code == "" {
			c.fine++
		} else {
			c.failed++
		}
	case x.unsteady:
		c.unsteady++
	case a.code == "" && b.code == "" && j.unsteady(primary, x, &a):
		c.unsteady++
		j.report.unsteady = append(j.report.unsteady, x.text)
	default:
		j.report.violate(x, fmt.Sprintf("answers differ: %s %s %.200q on the primary, %s %s %.200q on the standby", a.code, a.message, a.rows, b.code, b.message, b.rows))
	}
}

// unsteady says whether the primary itself answers otherwise if asked again.
func (j *judge) unsteady(s *session, x *statement, first *answer) bool {
	for range 4 {
		again, _ := s.run(x.text, "BEGIN", "COMMIT")
		if same, _ := again.same(first); !same {
			return true
		}
	}
	return false
}

// bisect runs the statements of suspected batches one by one.
func (w *world) bisect(t *testing.T, r *report) {
	if len(r.suspects) == 0 {
		return
	}
	found := false
	for _, user := range workers() {
		j := w.newJudge(t, user, r)
		for _, x := range r.suspects {
			s := j.primary[x.database]
			j.next = s.value(nextXidSQL)
			s.run(x.text, "BEGIN", "COMMIT")
			if now := s.value(nextXidSQL); now != j.next {
				r.violate(x, "moved the next transaction id")
				found = true
			}
			if s.value(remnantsSQL) != j.remnants[x.database] {
				r.violate(x, "changed a setting or left something in the session")
				s.renew()
				found = true
			}
		}
	}
	if !found && len(r.violations) == 0 {
		t.Errorf("settings or transaction ids changed in %d statements, but no single one does it", len(r.suspects))
	}
}

// judgeOthers runs the SELECTs that the router keeps on the primary and counts
// those that had nothing against a replica. Whoever runs them is no superuser.
func (w *world) judgeOthers(t *testing.T, all []statement) *report {
	r := newReport()
	primary, standby := map[string]*session{}, map[string]*session{}
	for database := range w.snapshots {
		primary[database] = w.newSession(t, w.cluster.Primary, database, "app")
		standby[database] = w.newSession(t, w.cluster.Replicas[0], database, "app")
	}
	for i := range all {
		x := &all[i]
		if x.safe() || !x.reads {
			continue
		}
		b, left := standby[x.database].run(x.text, "BEGIN READ ONLY", "ROLLBACK")
		if left != "" {
			standby[x.database].renew()
		}
		if b.code != "" || left != "" && !strings.Contains(left, "|on|") {
			continue
		}
		a, left := primary[x.database].run(x.text, "BEGIN", "ROLLBACK")
		if left != "" {
			primary[x.database].renew()
			continue
		}
		if same, _ := a.same(&b); same || a.code == "" && x.unsteady {
			r.of(x).kept[x.class.Reason]++
			if len(r.samples[x.class.Reason]) < 5 || !x.hostile && x.database == "app" {
				r.samples[x.class.Reason] = append(r.samples[x.class.Reason], fmt.Sprintf("%s: %.300s", x.class.Name, x.text))
			}
		}
	}
	return r
}

// count is what became of the statements of one source.
type count struct {
	all, safe      int
	fine, failed   int // safe, and the same on both servers
	unsteady, slow int // not to be compared
	reordered      int
	kept           map[router.Reason]int // reads that a replica could have answered
}

type report struct {
	counts     map[string]*count
	violations []string
	suspects   []*statement
	unsteady   []string
	samples    map[router.Reason][]string
}

func newReport() *report {
	return &report{counts: map[string]*count{}, samples: map[router.Reason][]string{}}
}

func (r *report) of(x *statement) *count {
	source := x.source
	if x.hostile {
		source += ", hostile"
	}
	c := r.counts[source]
	if c == nil {
		c = &count{kept: map[router.Reason]int{}}
		r.counts[source] = c
	}
	return c
}

func (r *report) seen(x *statement, mine bool) {
	if mine {
		c := r.of(x)
		c.all++
		if x.safe() {
			c.safe++
		}
	}
}

func (r *report) violate(x *statement, how string) {
	r.violations = append(r.violations, fmt.Sprintf("%s, database %s: %s\n%s", x.source, x.database, how, x.text))
}

func (r *report) merge(other *report) {
	for source, c := range other.counts {
		mine := r.counts[source]
		if mine == nil {
			r.counts[source] = c
			continue
		}
		mine.all += c.all
		mine.safe += c.safe
		mine.fine += c.fine
		mine.failed += c.failed
		mine.unsteady += c.unsteady
		mine.slow += c.slow
		mine.reordered += c.reordered
		for reason, n := range c.kept {
			mine.kept[reason] += n
		}
	}
	r.violations = append(r.violations, other.violations...)
	r.suspects = append(r.suspects, other.suspects...)
	r.unsteady = append(r.unsteady, other.unsteady...)
	for reason, texts := range other.samples {
		r.samples[reason] = append(r.samples[reason], texts...)
	}
}

// sound is the number of safe statements whose answers were compared.
func (r *report) sound() int {
	n := 0
	for _, c := range r.counts {
		n += c.fine + c.failed
	}
	return n
}

// print tells the figures and fails the test where they are not good enough.
func (r *report) print(t *testing.T) {
	if path := os.Getenv("PENSTOCK_SOUNDNESS_SAMPLES"); path != "" {
		r.writeSamples(t, path)
	}
	all, reads, kept := 0, 0, 0
	for _, source := range sortedKeys(r.counts) {
		c := r.counts[source]
		held, policy := 0, 0
		var reasons []string
		for reason, n := range c.kept {
			if reason == router.ReasonServerLocal || reason == router.ReasonSystemCatalog {
				policy += n
			} else {
				held += n
			}
			reasons = append(reasons, fmt.Sprintf("%v %d", reason, n))
		}
		slices.Sort(reasons)
		answered := c.fine + c.unsteady
		t.Logf("%-28s %6d statements, %6d safe: %6d same rows, %5d same error, %4d in another order, %4d unsteady, %4d too slow; complete %.2f%%, kept for nothing %d, for being about a server or the catalog %d: %s",
			source, c.all, c.safe, c.fine, c.failed, c.reordered, c.unsteady, c.slow, percent(answered, answered+held), held, policy, strings.Join(reasons, ", "))
		all += c.all
		if !strings.HasSuffix(source, "hostile") && !strings.Contains(source, "sweep") && !strings.Contains(source, "hazards") {
			reads += answered + held
			kept += held
		}
	}
	t.Logf("%d statements in all, %d answers compared, %d violations; of %d reads of the sources without hazards %.2f%% are safe", all, r.sound(), len(r.violations), reads, percent(reads-kept, reads))
	for _, text := range r.unsteady[:min(len(r.unsteady), 5)] {
		t.Logf("answers otherwise each time: %.300s", text)
	}
	for _, v := range r.violations[:min(len(r.violations), mostShown)] {
		t.Errorf("%.1500s", v)
	}
	if len(r.violations) > mostShown {
		t.Errorf("and %d more", len(r.violations)-mostShown)
	}
	if complete := percent(reads-kept, reads); complete < 100*leastComplete {
		t.Errorf("only %.2f%% of the reads are called safe, less than %.0f%%", complete, 100*leastComplete)
	}
}
