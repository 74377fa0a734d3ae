package admin_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

const routeDescription = "RowDescription target:25:0 reason:25:0 hazard:25:0 name:25:0 fingerprint:25:0 candidates:25:0"

// routed is the answer of the pooler to EXPLAIN ROUTE.
func routed(db, text string) []string {
	return []string{routeDescription, "DataRow replica|safe-read|NULL|NULL|00000000000000ff|" + db + "<" + text + ">", "CommandComplete EXPLAIN"}
}

func TestExplainRouteTakesTheTextAsItStands(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ sql, db, text string }{
		{"EXPLAIN ROUTE SELECT 1", "", "SELECT 1"},
		{"explain route\n\tselect 1 ;\n", "", "select 1 ;"},
		{`"explain" ROUTE select 1`, "", "select 1"},
		{"/* a */ EXPLAIN -- b\n ROUTE /* c */ SELECT 1 -- d", "", "/* c */ SELECT 1 -- d"},
		{"EXPLAIN ROUTE -- c\nON shop SELECT 1", "shop", "SELECT 1"},
		{"EXPLAIN ROUTE ON Shop /* penstock:target=primary */ SELECT 1", "Shop", "/* penstock:target=primary */ SELECT 1"},
		{`EXPLAIN ROUTE ON "my ""db"" ; 1" SELECT 1`, `my "db" ; 1`, "SELECT 1"},
		{"EXPLAIN ROUTE ON on SELECT 1", "on", "SELECT 1"},
		{`EXPLAIN ROUTE "on" shop`, "", `"on" shop`},
		{"EXPLAIN ROUTE SELECT ';', E'it\\'s', $$ ; $$, $1", "", "SELECT ';', E'it\\'s', $$ ; $$, $1"},
		{"EXPLAIN ROUTE SELECT 'open", "", "SELECT 'open"},
		{"EXPLAIN ROUTE 'open", "", "'open"},
		{"EXPLAIN ROUTE /* open", "", "/* open"},
		{"EXPLAIN ROUTE SELECT 1; SHOW POOLS; KILL", "", "SELECT 1; SHOW POOLS; KILL"},
		{"EXPLAIN ROUTE EXPLAIN ROUTE SELECT 1", "", "EXPLAIN ROUTE SELECT 1"},
		{"EXPLAIN ROUTE SELECT 'ü', \"ß\"", "", "SELECT 'ü', \"ß\""},
	} {
		t.Run(row.sql, func(t *testing.T) {
			t.Parallel()
			want := routed(row.db, row.text)
			equal(t, "simple", query(t, &pooler{}, guest(), row.sql), want...)
			equal(t, "extended", talk(t, (&pooler{}).console(), guest(), parse("", row.sql), describe('S', ""), bind("", ""), execute("", 0), endOfCycle()),
				append([]string{"ParseComplete", "ParameterDescription", want[0], "BindComplete"}, append(want[1:], "ReadyForQuery I")...)...)
		})
	}
}

func TestExplainRouteEndsAQueryString(t *testing.T) {
	t.Parallel()
	want := append([]string{versionRow, versionData, "CommandComplete SHOW"}, routed("shop", "SELECT 1; SHOW VERSION")...)
	equal(t, "behind another", query(t, &pooler{}, guest(), "SHOW VERSION; EXPLAIN ROUTE ON shop SELECT 1; SHOW VERSION"), want...)
}

func TestExplainRouteNeedsAText(t *testing.T) {
	t.Parallel()
	tolerated(t, []asked{
		{"EXPLAIN", []string{"ERROR 42601 syntax error at end of input"}},
		{"EXPLAIN SELECT 1", []string{syntaxError + `"SELECT"`}},
		{"EXPLAIN; ROUTE", []string{"ERROR 42601 syntax error at end of input"}},
		{`EXPLAIN "route" SELECT 1`, []string{syntaxError + `"route"`}},
		{"EXPLAIN ROUTE", []string{"ERROR 42601 syntax error at end of input"}},
		{"EXPLAIN ROUTE ; ;", []string{"ERROR 42601 syntax error at end of input"}},
		{"EXPLAIN ROUTE ON", []string{"ERROR 42601 syntax error at end of input"}},
		{"EXPLAIN ROUTE ON shop", []string{"ERROR 42601 syntax error at end of input"}},
		{"EXPLAIN ROUTE ON shop;", []string{"ERROR 42601 syntax error at end of input"}},
		{"EXPLAIN ROUTE ON 'shop' SELECT 1", []string{syntaxError + `"shop"`}},
		{"EXPLAIN ROUTE ON ; SELECT 1", []string{syntaxError + `";"`}},
		{`EXPLAIN ROUTE ON "" SELECT 1`, []string{"ERROR 42601 syntax error at end of input"}},
		{`EXPLAIN ROUTE ON "shop SELECT 1`, []string{syntaxError + `""shop SELECT 1"`}},
		{"EXPLAIN ROUTE ON nowhere SELECT 1", []string{`ERROR 42704 database "nowhere" does not exist`}},
	})
}

func TestPgxExplainsARouteInEveryMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			var target, fingerprint, candidates string
			var reason, hazard, name *string
			err := connect(t, &pooler{}, guest()).QueryRow(t.Context(), "EXPLAIN ROUTE ON shop SELECT 'it''s; $1' -- x", mode).
				Scan(&target, &reason, &hazard, &name, &fingerprint, &candidates)
			if err != nil || target != "replica" || *reason != "safe-read" || hazard != nil || name != nil ||
				fingerprint != "00000000000000ff" || candidates != "shop<SELECT 'it''s; $1' -- x>" {
				t.Errorf("got %v, %s %s", err, target, candidates)
			}
		})
	}
}

func TestHostsAndRoutesAreShownInText(t *testing.T) {
	t.Parallel()
	equal(t, "hosts", query(t, &pooler{}, guest(), "SHOW HOSTS")[1:],
		"DataRow shop|10.0.0.1:5432|primary|t|f|1|3|0/16B3748|NULL|NULL|2|150|none|serving",
		"DataRow shop|10.0.0.2:5432|replica|t|t|2|3|0/16B3700|1500|72|0|90|none|serving", "CommandComplete SHOW")
	equal(t, "routes", query(t, &pooler{}, guest(), "SHOW ROUTES"),
		"RowDescription database:25:0 reason:25:0 primary:20:0 replica:20:0",
		"DataRow shop|safe-read|0|1099511627776", "DataRow shop|write|5|0", "CommandComplete SHOW")
}

func TestHostsAndRoutesAreShownInBinary(t *testing.T) {
	t.Parallel()
	n := func(n int64) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n))) }
	equal(t, "routes", talk(t, (&pooler{}).console(), guest(), parse("", "SHOW ROUTES"), bind("", "", 1), execute("", 0), endOfCycle()),
		"ParseComplete", "BindComplete", "DataRow shop|safe-read|"+n(0)+"|"+n(1<<40), "DataRow shop|write|"+n(5)+"|"+n(0),
		"CommandComplete SHOW", "ReadyForQuery I")
	var up, ejected bool
	var weight, inFlight int32
	var timeline, latency int64
	var lag, bytes *int64
	var text [6]string
	rows, err := connect(t, &pooler{}, guest()).Query(t.Context(), "SHOW HOSTS")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	seen := 0
	for rows.Next() {
		seen++
		err := rows.Scan(&text[0], &text[1], &text[2], &up, &ejected, &weight, &timeline, &text[3], &lag, &bytes, &inFlight, &latency, &text[4], &text[5])
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen != 2 || !up || !ejected || weight != 2 || timeline != 3 || *lag != 1500 || *bytes != 72 || inFlight != 0 || latency != 90 || text[2] != "replica" {
		t.Errorf("%d rows, the last %v %v %v %d %d", seen, text, up, ejected, weight, timeline)
	}
}

func TestSwitchoverSaysWhatToDoNext(t *testing.T) {
	t.Parallel()
	got := query(t, &pooler{}, boss(), "SWITCHOVER shop")
	if len(got) != 2 || !strings.Contains(got[0], "promote a replica") || !strings.HasPrefix(got[0], "NOTICE 00000 ") || got[1] != "CommandComplete SWITCHOVER" {
		t.Errorf("got %q", got)
	}
	p := &pooler{err: notFound()}
	equal(t, "a failure", query(t, p, boss(), "SWITCHOVER nowhere"), `ERROR 42704 database "nowhere" does not exist`)
	p = &pooler{}
	if got := talk(t, p.console(), guest(), &pgproto3.Query{String: "SWITCHOVER shop"}); !strings.HasPrefix(got[0], "ERROR 42501") || p.called() != "" {
		t.Errorf("a stats user got %q, called %q", got, p.called())
	}
}
