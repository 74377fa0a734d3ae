package proxy

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/admin"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/stats"
	"github.com/penstock/penstock/router"
)

// newCluster adds a cluster of a primary and a replica, neither of which
// answers, to a world.
func (w *world) newCluster(database string) *router.Cluster {
	w.t.Helper()
	rules, err := router.NewRules(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	nobody := func(context.Context) (*pgconn.PgConn, error) { return nil, errors.New("nobody is there") }
	c := router.NewCluster(router.ClusterOptions{
		Hosts:    []router.Host{{Name: "a:1", Weight: 1, Connect: nobody}, {Name: "b:2", Weight: 1, Connect: nobody}},
		Settings: router.Settings{Rules: rules}, Log: slog.New(slog.DiscardHandler),
		Changed: func(int) {}, Busy: func(int) (int, int) { return 0, 0 }, End: func(int) {},
	})
	w.srv.clusters.mu.Lock()
	w.srv.clusters.known[database] = &clusterOf{Cluster: c}
	w.srv.clusters.mu.Unlock()
	return c
}

// shown is the rows of a SHOW, each of which must fit its columns.
func (w *world) shown(name string) [][]any {
	w.t.Helper()
	table, err := tables{w.srv}.Table(name)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, row := range table.Rows {
		if len(row) != len(admin.Columns(name)) {
			w.t.Errorf("SHOW %s: %d values for %d columns: %v", name, len(row), len(admin.Columns(name)), row)
		}
	}
	return table.Rows
}

func sameRows(t *testing.T, name string, got [][]any, want ...[]any) {
	t.Helper()
	if len(got) == 0 && len(want) == 0 || reflect.DeepEqual(got, want) {
		return
	}
	t.Errorf("%s:\n got  %v\n want %v", name, got, want)
}

// refused checks the code of an error and a word of its message or hint.
func refused(t *testing.T, err error, code pgerr.Code, word string) {
	t.Helper()
	e := (*pgerr.Error)(nil)
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message+" "+e.Hint, word) {
		t.Errorf("got %v, want %s about %q", err, code, word)
	}
}

func TestWithoutReplicasThereAreNoHostsAndNoRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	sameRows(t, "hosts", w.shown("hosts"))
	sameRows(t, "routes", w.shown("routes"))
	_, err := tables{w.srv}.ExplainRoute("", "SELECT 1")
	refused(t, err, pgerr.SyntaxError, "No client")
	_, err = tables{w.srv}.ExplainRoute("app", "SELECT 1")
	refused(t, err, pgerr.ObjectNotInPrerequisiteState, `"app" is not routed`)
	_, err = tables{w.srv}.ExplainRoute("nowhere", "SELECT 1")
	refused(t, err, pgerr.UndefinedObject, "nowhere")
	refused(t, control{w.srv}.SwitchOver(t.Context(), "app"), pgerr.ObjectNotInPrerequisiteState, `"app" is not routed`)
	refused(t, control{w.srv}.SwitchOver(t.Context(), "nowhere"), pgerr.UndefinedObject, "nowhere")
}

func TestADatabaseThatOnlyTheFallbackServesIsNotWatchedOnAWord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	dbs := w.srv.settings.Load().config.Databases
	d := *dbs["app"]
	d.Primary, d.Replicas, d.Weights = "host=127.0.0.1 port=1 user=u", []string{"host=127.0.0.1 port=2 user=u"}, []int{3}
	d.Routing.Enabled = true
	dbs[config.Fallback] = &d
	named := d
	named.Name = "shop"
	dbs["shop"] = &named
	for _, db := range []string{"slip", config.Fallback} {
		_, err := tables{w.srv}.ExplainRoute(db, "SELECT 1")
		refused(t, err, pgerr.ObjectNotInPrerequisiteState, "is not routed")
	}
	sameRows(t, "hosts", w.shown("hosts"))
	if _, err := (tables{w.srv}).ExplainRoute("shop", "SELECT 1"); err != nil {
		t.Error(err)
	}
	rows := w.shown("hosts")
	if len(rows) != 2 || rows[1][1] != "127.0.0.1:2" || rows[0][5] != 1 || rows[1][5] != 3 {
		t.Errorf("got %v", rows)
	}
}

func TestHostsThatDoNotAnswerAreShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.newCluster("app")
	sameRows(t, "hosts", w.shown("hosts"),
		[]any{"app", "a:1", "primary", false, false, 1, nil, nil, nil, nil, 0, int64(0), "none", "serving"},
		[]any{"app", "b:2", "down", false, false, 1, nil, nil, nil, nil, 0, int64(0), "none", "serving"})
}

func TestHostRowTellsWhatIsKnown(t *testing.T) {
	t.Parallel()
	view := &router.View{Primary: 0, Switch: router.SwitchoverHolding, Ruling: router.Ruling{Alarm: router.AlarmLostWAL}}
	o := router.Observation{OK: true, InRecovery: true, Timeline: 3, LSN: 0x16B374D848}
	h := router.HostState{
		Up: true, Ejected: true, InFlight: 2, Latency: 1500 * time.Microsecond,
		LagKnown: true, Lag: 1234567 * time.Nanosecond, LagBytes: 1 << 63,
	}
	sameRows(t, "replica", [][]any{hostRow("app", "b:2", 1, 7, view, &o, &h)},
		[]any{"app", "b:2", "replica", true, true, 7, int64(3), "16/B374D848", int64(1234), int64(1<<63 - 1), 2, int64(1500), "lost-wal", "holding"})
	o.InRecovery = false
	sameRows(t, "primary", [][]any{hostRow("app", "a:1", 0, nil, view, &o, &router.HostState{})},
		[]any{"app", "a:1", "primary", true, false, nil, int64(3), "16/B374D848", nil, nil, 0, int64(0), "lost-wal", "holding"})
}

func TestRolesOfHosts(t *testing.T) {
	t.Parallel()
	ruled := router.Ruling{Position: router.Position{System: 1}, Fenced: 1 << 2}
	for _, c := range []struct {
		primary, host int
		ruling        router.Ruling
		o             router.Observation
		want          string
	}{
		{0, 0, ruled, router.Observation{OK: true, System: 1}, "primary"},
		{0, 0, ruled, router.Observation{}, "primary"},
		{0, 1, ruled, router.Observation{OK: true, System: 1, InRecovery: true}, "replica"},
		{0, 1, ruled, router.Observation{}, "down"},
		{0, 2, ruled, router.Observation{OK: true, System: 1}, "fenced"},
		{0, 2, ruled, router.Observation{OK: true, System: 2}, "foreign"},
		{0, 2, ruled, router.Observation{System: 2}, "down"},
		{-1, 2, router.Ruling{Fenced: 1 << 2}, router.Observation{OK: true, System: 2}, "fenced"},
		{-1, 2, router.Ruling{Fenced: 1 << 2}, router.Observation{OK: true, System: 2, InRecovery: true}, "foreign"},
	} {
		if got := roleOf(&router.View{Primary: c.primary, Ruling: c.ruling}, c.host, &c.o); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestRoutesAreCountedByReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.newCluster("b")
	c := w.newCluster("a")
	sameRows(t, "nothing yet", w.shown("routes"))
	c.Count(&router.Decision{Target: router.TargetReplica, Reason: router.ReasonSafeRead})
	c.Count(&router.Decision{Target: router.TargetReplica, Reason: router.ReasonSafeRead})
	c.Count(&router.Decision{Target: router.TargetPrimary, Reason: router.ReasonSafeRead})
	c.Count(&router.Decision{Target: router.TargetPrimary, Reason: router.ReasonWrite})
	failed := router.Failure{Reason: router.ReasonSafeRead, OnReplica: true, Autocommit: true}
	for _, state := range []string{"25006", "40P01", "40P01", "53300"} {
		failed.SQLState = state
		c.Heal(failed, 1, 1)
	}
	sameRows(t, "routes", w.shown("routes"),
		[]any{"a", "safe-read", int64(1), int64(2)},
		[]any{"a", "write", int64(1), int64(0)},
		[]any{"a", "healed-same-replica", int64(0), int64(2)},
		[]any{"a", "healed-other-replica", int64(0), int64(1)},
		[]any{"a", "healed-primary", int64(1), int64(0)})
}

func explained(t *testing.T, table stats.Table, err error) []any {
	t.Helper()
	if err != nil || len(table.Rows) != 1 || len(table.Rows[0]) != 6 {
		t.Fatalf("got %v, %v", table.Rows, err)
	}
	return table.Rows[0]
}

func TestExplainRouteDecidesAsForAFreshSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := w.newCluster("app")
	for text, want := range map[string][]any{
		"SELECT 1":        {"primary", "no-catalog", nil, "a:1 down"},
		"DELETE FROM t":   {"primary", "write", nil, "a:1 down"},
		"BEGIN READ ONLY": {"replica", "read-only-transaction", nil, "b:2 score=0.0 lag=unknown down"},
		"SELECT 1; SELECT $$ ; $$, E'\\'' FOR UPDATE": {"primary", "locking", nil, "a:1 down"},
	} {
		for _, db := range []string{"", "app"} {
			table, err := tables{w.srv}.ExplainRoute(db, text)
			row := explained(t, table, err)
			if !reflect.DeepEqual([]any{row[0], row[1], row[2], row[5]}, want) {
				t.Errorf("%s: %v, want %v", text, row, want)
			}
			if print, _ := row[4].(string); len(print) != 16 {
				t.Errorf("%s: fingerprint %v", text, row[4])
			}
		}
	}
	one, err := tables{w.srv}.ExplainRoute("", "DELETE FROM t WHERE a = 1")
	other, otherErr := tables{w.srv}.ExplainRoute("", "delete from t where a = 22;")
	if a, b := explained(t, one, err)[4], explained(t, other, otherErr)[4]; a != b {
		t.Errorf("fingerprints %s and %s of texts that differ in constants", a, b)
	}
	for _, reason := range router.Reasons() {
		if p, r := c.Counts(reason); p+r > 0 {
			t.Errorf("EXPLAIN ROUTE counted %s", reason)
		}
	}
	w.newCluster("other")
	_, err = tables{w.srv}.ExplainRoute("", "SELECT 1")
	refused(t, err, pgerr.SyntaxError, "Databases with replicas: app, other.")
}

func TestCandidatesTellWhatTheChoiceGoesBy(t *testing.T) {
	t.Parallel()
	answers, silent := router.Observation{OK: true}, router.Observation{}
	for _, c := range []struct {
		role string
		o    router.Observation
		h    router.HostState
		want string
	}{
		{"primary", answers, router.HostState{}, "h up"},
		{"primary", silent, router.HostState{}, "h down"},
		{"replica", answers, router.HostState{Up: true, Score: 1234, LagKnown: true, LagBytes: 7}, "h score=1.2 lag=7B up"},
		{"replica", answers, router.HostState{Up: true, Ejected: true, LagKnown: true}, "h score=0.0 lag=0B ejected"},
		{"replica", answers, router.HostState{}, "h score=0.0 lag=unknown down"},
		{"fenced", answers, router.HostState{}, "h score=0.0 lag=unknown fenced"},
	} {
		if got := candidate("h", c.role, &c.o, &c.h); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestSwitchoverReturnsWhenThePrimaryIsDrained(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.newCluster("app")
	t.Cleanup(func() { // it waits for a new primary that never comes
		w.srv.clusters.mu.Lock()
		delete(w.srv.clusters.known, "app")
		w.srv.clusters.mu.Unlock()
	})
	if err := (control{w.srv}).SwitchOver(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	if state := w.shown("hosts")[0][13]; state != "waiting" {
		t.Errorf("state %v", state)
	}
	refused(t, control{w.srv}.SwitchOver(t.Context(), "app"), pgerr.ObjectNotInPrerequisiteState, "under way")
}

func TestHowASwitchoverEndsIsTold(t *testing.T) {
	t.Parallel()
	begun := []router.SwitchoverState{router.SwitchoverHolding, router.SwitchoverDraining}
	drained := append(begun[:2:2], router.SwitchoverWaiting)
	if err := switchedOver("app", drained, router.SwitchoverPending); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		steps   []router.SwitchoverState
		outcome router.SwitchoverOutcome
		code    pgerr.Code
		word    string
	}{
		{nil, router.SwitchoverNoPrimary, pgerr.ObjectNotInPrerequisiteState, "can be started"},
		{begun, router.SwitchoverPending, pgerr.QueryCanceled, "canceling"},
		{begun, router.SwitchoverDone, pgerr.ObjectNotInPrerequisiteState, "promote no other"},
		{drained, router.SwitchoverGivenUp, pgerr.ObjectNotInPrerequisiteState, "given up"},
		{drained, router.SwitchoverNoPrimary, pgerr.ObjectNotInPrerequisiteState, "given up"},
	} {
		refused(t, switchedOver("app", c.steps, c.outcome), c.code, c.word)
	}
}
