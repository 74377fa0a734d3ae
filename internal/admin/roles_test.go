package admin

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/stats"
)

// recorder is a Source without rows and a Controller that counts its calls.
type recorder struct{ calls int }

func (r *recorder) called() error                                 { r.calls++; return nil }
func (r *recorder) Table(string) (stats.Table, error)             { return stats.Table{}, nil }
func (r *recorder) ExplainRoute(_, _ string) (stats.Table, error) { return stats.Table{}, nil }
func (r *recorder) Pause(context.Context, string) error           { return r.called() }
func (r *recorder) Resume(string) error                           { return r.called() }
func (r *recorder) Reload(context.Context) (string, error)        { return "", r.called() }
func (r *recorder) Kill(string) error                             { return r.called() }
func (r *recorder) KillClient(int64) error                        { return r.called() }
func (r *recorder) Disable(string) error                          { return r.called() }
func (r *recorder) Enable(string) error                           { return r.called() }
func (r *recorder) Reconnect(string) error                        { return r.called() }
func (r *recorder) Suspend(context.Context) error                 { return r.called() }
func (r *recorder) Shutdown(ShutdownMode) error                   { return r.called() }
func (r *recorder) WaitClose(ctx context.Context, _ string) error { return r.called() }
func (r *recorder) SwitchOver(context.Context, string) error      { return r.called() }
func (r *recorder) Set(string, string) error                      { return r.called() }

func (r *recorder) console() *Console { return New(r, r, slog.New(slog.DiscardHandler)) }

// ask sends messages and returns what the console sent back, undecoded.
func ask(t *testing.T, r *recorder, id Identity, messages ...pgproto3.FrontendMessage) string {
	t.Helper()
	var in []byte
	for _, m := range messages {
		in, _ = m.Encode(in)
	}
	var out bytes.Buffer
	rw := struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(in), &out}
	if err := r.console().Serve(t.Context(), rw, id); err != nil {
		t.Errorf("serve: %v", err)
	}
	return out.String()
}

// example is a statement of each command and whether a stats user may run it.
type example struct {
	usage, sql string
	open       bool
	controls   bool // reaches the Controller
}

func examples() []example {
	rows := []example{
		{"SET key = value", "SET default_pool_size = 5", false, true},
		{"RELOAD", "RELOAD", false, true},
		{"PAUSE [<db>]", "PAUSE shop", false, true},
		{"RESUME [<db>]", "RESUME", false, true},
		{"DISABLE <db>", "DISABLE shop", false, true},
		{"ENABLE <db>", "ENABLE shop", false, true},
		{"RECONNECT [<db>]", "RECONNECT", false, true},
		{"KILL [<db>]", "KILL", false, true},
		{"KILL_CLIENT <client_id>", "KILL_CLIENT 1", false, true},
		{"SUSPEND", "SUSPEND", false, true},
		{"SHUTDOWN [WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS]", "SHUTDOWN", false, true},
		{"WAIT_CLOSE [<db>]", "WAIT_CLOSE", false, true},
		{"SWITCHOVER <db>", "SWITCHOVER shop", false, true},
		{"EXPLAIN ROUTE [ON <db>] <sql>", "EXPLAIN ROUTE ON shop SELECT 'a;b' /* c", true, false},
		{"SHOW HELP", "SHOW HELP", true, false},
		{"SHOW parameter", "SHOW timezone", true, false},
		{"SET parameter = value", "SET timezone = 'UTC'", true, false},
		{"SELECT HELP", "SELECT HELP", true, false},
		{"SELECT parameter", "SELECT timezone", true, false},
		{"SELECT expression, ...", "SELECT 1", true, false},
		{"SELECT ...", "SELECT b.oid, b.typarray FROM pg_catalog.pg_type a", true, false},
		{"BEGIN ...", "BEGIN", true, false},
		{"START ...", "START TRANSACTION", true, false},
		{"COMMIT ...", "COMMIT", true, false},
		{"END ...", "END", true, false},
		{"ROLLBACK ...", "ROLLBACK", true, false},
		{"ABORT ...", "ABORT", true, false},
		{"SAVEPOINT ...", "SAVEPOINT a", true, false},
		{"RELEASE ...", "RELEASE a", true, false},
		{"RESET ...", "RESET ALL", true, false},
		{"UNLISTEN ...", "UNLISTEN *", true, false},
		{"CLOSE ...", "CLOSE ALL", true, false},
		{"DEALLOCATE ...", "DEALLOCATE ALL", true, false},
		{"DISCARD ...", "DISCARD ALL", true, false},
		{"COPY ...", "COPY x TO STDOUT", true, false},
	}
	for name := range strings.FieldsSeq("stats stats_totals stats_averages totals pools databases users lists peers " +
		"peer_pools clients servers sockets active_sockets config state mem dns_hosts dns_zones version penstock pins hosts routes") {
		rows = append(rows, example{"SHOW table", "SHOW " + name, true, false}, example{"SELECT table", "SELECT " + name, true, false})
	}
	return append(rows, example{"SHOW table", "SHOW fds", false, false}, example{"SELECT table", "SELECT fds", false, false})
}

func TestEachCommandIsForWhomTheTableSays(t *testing.T) {
	t.Parallel()
	for _, e := range examples() {
		for _, admin := range []bool{true, false} {
			for _, protocol := range []string{"simple", "extended"} {
				messages := []pgproto3.FrontendMessage{&pgproto3.Query{String: e.sql}}
				if protocol == "extended" {
					messages = []pgproto3.FrontendMessage{
						&pgproto3.Parse{Query: e.sql}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{},
					}
				}
				r := &recorder{}
				got := ask(t, r, Identity{User: "u", Admin: admin}, messages...)
				if denied := strings.Contains(got, "C42501\x00"); denied == (admin || e.open) {
					t.Errorf("%s, administrator %v, %s: denied %v", e.sql, admin, protocol, denied)
				}
				if reached := r.calls == 1; reached != (e.controls && admin) {
					t.Errorf("%s, administrator %v, %s: %d calls", e.sql, admin, protocol, r.calls)
				}
			}
		}
	}
}

func TestEachCommandAndTableHasAnExampleOfItsRoles(t *testing.T) {
	t.Parallel()
	usages, tried := make(map[string]bool), make(map[string]bool)
	for _, e := range examples() {
		usages[e.usage] = true
		tried[e.sql] = true
	}
	for _, c := range commands() {
		if !usages[c.usage()] {
			t.Errorf("nobody has said in examples who may run %s", c.usage())
		}
		if c.about == "" || c.run == nil {
			t.Errorf("%s: the row is not complete", c.usage())
		}
	}
	for _, table := range tables() {
		if !tried["SHOW "+table.name] {
			t.Errorf("nobody has said in examples who may see %s", table.name)
		}
	}
}

func TestARowThatForgetsItsRoleIsForAdministrators(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	s := r.console().Session(nil, Identity{User: "u"})
	if err := s.allow(&statement{command: command{name: "NEW"}}); err == nil {
		t.Error("a command without a role is open")
	}
	if err := s.allow(&statement{command: command{access: everyone}, args: arguments{table: &table{}}}); err == nil {
		t.Error("a table without a role is open")
	}
}
