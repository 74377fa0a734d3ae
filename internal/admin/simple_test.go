package admin_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/admin"
	"github.com/penstock/penstock/internal/pgerr"
)

func TestEveryShowHasPgBouncersColumns(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range files {
		name, ok := strings.CutPrefix(file.Name(), "show_")
		if !ok {
			continue
		}
		seen++
		name = strings.TrimSuffix(name, ".golden")
		want, err := os.ReadFile("testdata/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		var in []byte
		in, _ = (&pgproto3.Parse{Query: "SHOW " + name}).Encode(in)
		in, _ = (&pgproto3.Describe{ObjectType: 'S'}).Encode(in)
		in, _ = (&pgproto3.Sync{}).Encode(in)
		var out bytes.Buffer
		if err := (&pooler{}).console().Serve(t.Context(), stream{bytes.NewReader(in), &out}, boss()); err != nil {
			t.Fatal(err)
		}
		if got := described(t, &out); got != string(want) {
			t.Errorf("SHOW %s:\n%swant\n%s", name, got, want)
		}
		if columns := admin.Columns(name); len(columns) != strings.Count(string(want), "\n") {
			t.Errorf("Columns(%q) has %d columns", name, len(columns))
		}
	}
	if seen != 25 {
		t.Errorf("%d golden files; each SHOW has one", seen)
	}
	if admin.Columns("nonsense") != nil {
		t.Error("Columns of a table that is none")
	}
}

// described is the fields of the only RowDescription in out.
func described(t *testing.T, out *bytes.Buffer) string {
	t.Helper()
	frontend := pgproto3.NewFrontend(out, nil)
	for {
		m, err := frontend.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := m.(*pgproto3.RowDescription); ok {
			var b strings.Builder
			for _, f := range d.Fields {
				fmt.Fprintf(&b, "%s oid=%d size=%d\n", f.Name, f.DataTypeOID, f.DataTypeSize)
			}
			return b.String()
		}
	}
}

const (
	versionRow  = "RowDescription version:25:0"
	syntaxError = "ERROR 42601 syntax error at or near "
)

func TestSimpleQueriesAreAnswered(t *testing.T) {
	t.Parallel()
	version := []string{versionRow, "DataRow PgBouncer 1.25.2", "CommandComplete SHOW"}
	rows := []struct {
		name, sql string
		want      []string
	}{
		{"show", "SHOW VERSION", version},
		{"with all kinds of white space", " \n\tshow\r\n  Version \t;\n ", version},
		{"quoted", `"SHOW" "version";`, version},
		{"SELECT is an alias", "select version", version},
		{"comments", "/* a /* b */ c */ SHOW -- d\n VERSION -- e", version},
		{"several statements", "show version; begin; commit;;", append(append([]string{}, version...), "CommandComplete BEGIN", "CommandComplete COMMIT")},
		{"nothing", "", []string{"EmptyQueryResponse"}},
		{"semicolons", " ; ;", []string{"EmptyQueryResponse"}},
		{"a ping", "-- ping", []string{"EmptyQueryResponse"}},
		{"rows of no columns to come", "SHOW PEERS", []string{"RowDescription peer_id:23:0 host:25:0 port:23:0 pool_size:23:0", "CommandComplete SHOW"}},
		{"totals", "SHOW TOTALS", totalsLines()},
		{"an unknown object", "SHOW ME", []string{`ERROR 42704 unrecognized configuration parameter "me"`}},
		{"an unknown command", "HELLO WORLD", []string{syntaxError + `"HELLO"`}},
		{"too much", "SHOW POOLS please", []string{syntaxError + `"please"`}},
		{"too little", "SHOW", []string{"ERROR 42601 syntax error at end of input"}},
		{"open quotes", `PAUSE "shop`, []string{syntaxError + `""shop"`}},
		{"open comment", "SHOW /* POOLS", []string{syntaxError + `"/* POOLS"`}},
		{"a text for a name", "SHOW 'pools'", []string{syntaxError + `"pools"`}},
		{"a symbol for a command", "* POOLS", []string{syntaxError + `"*"`}},
		{"the first statement of a broken string does not run", "SHOW VERSION; SHOW ME", []string{`ERROR 42704 unrecognized configuration parameter "me"`}},
		{"copy", "COPY pools TO STDOUT", []string{"ERROR 0A000 COPY in the console is not supported"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			equal(t, row.sql, query(t, &pooler{}, guest(), row.sql), row.want...)
		})
	}
}

func totalsLines() []string {
	lines := []string{"RowDescription name:25:0 value:1700:0"}
	names := "server_assignment_count xact_count query_count client_bytes server_bytes xact_time query_time " +
		"wait_time ps_client_parse_count ps_server_parse_count ps_bind_count"
	for _, kind := range []string{"total_", "avg_"} {
		for name := range strings.FieldsSeq(names) {
			value := "0"
			if name == "xact_count" {
				value = map[string]string{"total_": "2", "avg_": "1"}[kind]
			}
			lines = append(lines, "DataRow "+kind+name+"|"+value)
		}
	}
	return append(lines, "CommandComplete SHOW")
}

func TestCommandsReachTheController(t *testing.T) {
	t.Parallel()
	rows := []struct{ sql, called, tag string }{
		{"PAUSE", "pause()", "PAUSE"},
		{"pause shop;", "pause(shop)", "PAUSE"},
		{"PAUSE Shop", "pause(Shop)", "PAUSE"},
		{`PAUSE "my ""db"" - 1"`, `pause(my "db" - 1)`, "PAUSE"},
		{"RESUME shop", "resume(shop)", "RESUME"},
		{"RESUME", "resume()", "RESUME"},
		{"KILL shop", "kill(shop)", "KILL"},
		{"KILL", "kill()", "KILL"},
		{"KILL_CLIENT 4711", "kill_client(4711)", "KILL_CLIENT"},
		{"KILL_CLIENT '12'", "kill_client(12)", "KILL_CLIENT"},
		{"DISABLE shop", "disable(shop)", "DISABLE"},
		{"ENABLE shop", "enable(shop)", "ENABLE"},
		{"RECONNECT", "reconnect()", "RECONNECT"},
		{"RECONNECT shop", "reconnect(shop)", "RECONNECT"},
		{"RELOAD", "reload", "RELOAD"},
		{"SUSPEND", "suspend", "SUSPEND"},
		{"SHUTDOWN", "shutdown()", "SHUTDOWN"},
		{"SHUTDOWN wait_for_servers", "shutdown(WAIT_FOR_SERVERS)", "SHUTDOWN"},
		{"SHUTDOWN WAIT_FOR_CLIENTS", "shutdown(WAIT_FOR_CLIENTS)", "SHUTDOWN"},
		{"WAIT_CLOSE", "wait_close()", "WAIT_CLOSE"},
		{"WAIT_CLOSE shop", "wait_close(shop)", "WAIT_CLOSE"},
		{"SET default_pool_size = 30", "set(default_pool_size,30)", "SET default_pool_size=30"},
		{"set Query_Timeout to 30s", "set(query_timeout,30s)", "SET query_timeout=30s"},
		{"SET x='it''s;'", "set(x,it's;)", "SET x=it's;"},
		{"SET x = -1.5", "set(x,-1.5)", "SET x=-1.5"},
		{`SET x = "Y"`, "set(x,Y)", "SET x=Y"},
		{"SET x = ''", "set(x,)", "SET x="},
	}
	for _, row := range rows {
		t.Run(row.sql, func(t *testing.T) {
			t.Parallel()
			p := &pooler{}
			equal(t, row.sql, query(t, p, boss(), row.sql), "CommandComplete "+row.tag)
			if p.called() != row.called {
				t.Errorf("called %q, want %q", p.called(), row.called)
			}
		})
	}
}

func TestMalformedCommandsReachNobody(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		"PAUSE a b", "PAUSE 'shop'", `PAUSE ""`, "PAUSE a.b", "SWITCHOVER", "SWITCHOVER a b", "SWITCHOVER 'shop'", "DISABLE", "ENABLE", "KILL_CLIENT", "KILL_CLIENT abc",
		"KILL_CLIENT -1", "KILL_CLIENT '-1'", "KILL_CLIENT 99999999999999999999", "KILL_CLIENT 0x10", "RELOAD now", "SUSPEND x",
		"SHUTDOWN NOW", "SET", "SET x", "SET x =", "SET x 5", "SET x = a b", "SET x = 'a' 'b'", "SET x = (1)",
		"SET 'x' = 1", "SET = 1", "PAUSE; HELLO", "KILL; SHOW ME",
	} {
		p := &pooler{}
		got := query(t, p, boss(), sql)
		if len(got) != 1 || !strings.HasPrefix(got[0], "ERROR 42") || p.called() != "" {
			t.Errorf("%s: answered %q, called %q", sql, got, p.called())
		}
	}
}

func TestErrorsOfTheControllerAreTold(t *testing.T) {
	t.Parallel()
	rows := []struct {
		sql  string
		err  error
		want string
	}{
		{"PAUSE nowhere", fmt.Errorf("pause: %w", notFound()), `ERROR 42704 database "nowhere" does not exist`},
		{"RESUME", pgerr.NotNow("pooler is not paused"), "ERROR 55000 pooler is not paused"},
		{"KILL", pgerr.Shutdown(), "ERROR 57P01 terminating connection due to administrator command"},
		{"SWITCHOVER shop", pgerr.NotNow("a switchover is under way"), "ERROR 55000 a switchover is under way"},
		{"RELOAD", pgerr.NotNow("shutting down"), "ERROR 55000 shutting down"},
		{"RELOAD", errors.New("penstock.toml:3:1: unknown key"), "ERROR F0000 RELOAD failed, the configuration is unchanged"},
	}
	for _, row := range rows {
		t.Run(row.sql, func(t *testing.T) {
			t.Parallel()
			equal(t, row.sql, query(t, &pooler{err: row.err}, boss(), row.sql), row.want)
		})
	}
}

func TestFirstErrorEndsAQueryString(t *testing.T) {
	t.Parallel()
	p := &pooler{err: notFound()}
	equal(t, "three", query(t, p, boss(), "SHOW VERSION; PAUSE nowhere; RESUME"),
		versionRow, "DataRow PgBouncer 1.25.2", "CommandComplete SHOW", `ERROR 42704 database "nowhere" does not exist`)
	if p.called() != "pause(nowhere)" {
		t.Errorf("called %q", p.called())
	}
}

func TestReloadReports(t *testing.T) {
	t.Parallel()
	equal(t, "report", query(t, &pooler{report: "pool.size: 20 -> 30"}, boss(), "RELOAD"),
		"NOTICE 00000 configuration reloadedpool.size: 20 -> 30", "CommandComplete RELOAD")
	var out bytes.Buffer
	in, _ := (&pgproto3.Query{String: "RELOAD"}).Encode(nil)
	p := &pooler{err: errors.New("penstock.toml:3:1: unknown key")}
	if err := p.console().Serve(t.Context(), stream{bytes.NewReader(in), &out}, boss()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "penstock.toml:3:1: unknown key") {
		t.Errorf("the administrator is not told why: %q", out.String())
	}
}

func TestOurBugsAreLoggedAndNotShown(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"config", "users"} {
		var log, out bytes.Buffer
		p := &pooler{}
		console := admin.New(p, p, slog.New(slog.NewTextHandler(&log, nil)))
		in, _ := (&pgproto3.Query{String: "SHOW " + name}).Encode(nil)
		in, _ = (&pgproto3.Query{String: "SHOW VERSION"}).Encode(in)
		if err := console.Serve(t.Context(), stream{bytes.NewReader(in), &out}, guest()); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "secret") || strings.Contains(out.String(), "17 columns") {
			t.Errorf("%s: the client sees %q", name, out.String())
		}
		got := strings.Join(answers(t, &out), "\n")
		if !strings.Contains(got, "ERROR XX000 internal error") || !strings.HasSuffix(got, "CommandComplete SHOW\nReadyForQuery I") {
			t.Errorf("%s: %s", name, got)
		}
		if !strings.Contains(log.String(), "secret path") && !strings.Contains(log.String(), "row of 1 values for 8 columns") {
			t.Errorf("%s: log %q", name, log.String())
		}
	}
}

func TestCommandsAreLoggedWithCleanNames(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	p := &pooler{}
	console := admin.New(p, p, slog.New(slog.NewTextHandler(&log, nil)))
	id := boss()
	id.User = "ann\x1b[31m"
	talk(t, console, id, &pgproto3.Query{String: "PAUSE \"a\nb\"; SET x = 'hunter2'; SHOW POOLS"})
	for _, want := range []string{`command="PAUSE a\\x0ab"`, `command="SET x"`, `user=ann\x1b[31m `} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not in %s", want, log.String())
		}
	}
	for _, secret := range []string{"hunter2", "SHOW"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%s is in %s", secret, log.String())
		}
	}
}

func TestHelpIsANotice(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{"SHOW HELP", "select help;"} {
		got := query(t, &pooler{}, guest(), sql)
		if len(got) != 2 || !strings.HasPrefix(got[0], "NOTICE 00000 Console usage\n\tSHOW HELP|") ||
			got[1] != "CommandComplete SHOW" {
			t.Fatalf("got %q", got)
		}
		for _, want := range []string{
			"|POOLS", "\n\tSET key = value", "\n\tPAUSE [<db>]", "\n\tDISABLE <db>", "\n\tKILL_CLIENT <client_id>",
			"\n\tSHUTDOWN [WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS]", "PINS", "HOSTS", "ROUTES",
			"\n\tSWITCHOVER <db>", "\n\tEXPLAIN ROUTE [ON <db>] <sql>",
		} {
			if !strings.Contains(got[0], want) {
				t.Errorf("%q is not in %q", want, got[0])
			}
		}
	}
}
