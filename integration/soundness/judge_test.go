package soundness

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/pgtest"
	"github.com/penstock/penstock/internal/sqlscan"
	"github.com/penstock/penstock/router"
)

// statement is a text to be judged.
type statement struct {
	text     string
	database string
	source   string
	hostile  bool // it names a hazard on purpose

	class    router.Class
	reads    bool // nothing but SELECT, VALUES and TABLE
	unsteady bool // it names something that answers anew each time
}

// classify judges a statement as the router does.
func (w *world) classify(s *sqlscan.Scanner, rules *router.Rules, x *statement) {
	st := s.Scan(x.text, sqlscan.Options{})
	x.class = router.Classify(st, w.snapshots[x.database], rules)
	x.reads = st.Kinds.Only(sqlscan.KindSelect|sqlscan.KindValues|sqlscan.KindTable) &&
		!st.Features.Has(sqlscan.FeatureNotUnderstood|sqlscan.FeatureInto|sqlscan.FeatureLocking|sqlscan.FeatureDataModifyingWith)
	x.unsteady = st.Features.Has(sqlscan.FeatureCurrentTime | sqlscan.FeatureTimeLiterals | sqlscan.FeatureTableSample)
	for _, n := range st.Names {
		switch n.Name {
		case "random", "random_normal", "array_sample", "array_shuffle", "gen_random_uuid", "uuidv4", "uuidv7",
			"now", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "timeofday", "age":
			x.unsteady = true
		}
	}
}

func (x *statement) safe() bool { return x.class.Reason == router.ReasonSafeRead }

// answer is what a server said to a statement.
type answer struct {
	code    string // the SQLSTATE of an error
	message string
	rows    []string // of all its results, one after the other
}

// slow says whether the statement was given up, which says nothing about it.
func (a *answer) slow() bool { return a.code == "57014" || a.code == "53200" || a.code == "53100" }

// same compares with the answer of another server, in any order if need be.
func (a *answer) same(b *answer) (same, reordered bool) {
	if a.code != b.code {
		return false, false
	}
	if a.code != "" || slices.Equal(a.rows, b.rows) {
		return true, false
	}
	x, y := slices.Sorted(slices.Values(a.rows)), slices.Sorted(slices.Values(b.rows))
	return slices.Equal(x, y), true
}

// session is a connection that can tell what a statement left on it.
type session struct {
	t        testing.TB
	open     func() *pgconn.PgConn
	conn     *pgconn.PgConn
	baseline string
}

// traces tells what must not change: the transaction id of the transaction,
// advisory locks, the settings that statements of ours change, the schema of
// temporary objects. remnantsSQL tells the rest, which costs more.
const traces = `PREPARE traces AS SELECT concat_ws('|', pg_current_xact_id_if_assigned()::text,
 (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
 current_setting('app.tenant', true), current_setting('search_path'), current_setting('role'), current_setting('TimeZone'),
 current_setting('work_mem'), current_setting('transaction_read_only'), current_setting('transaction_isolation'), pg_my_temp_schema())`

const (
	// remnantsSQL: settings, without those that come with the language, and what
	// is listened to, prepared, or open as a cursor.
	remnantsSQL = `SELECT md5(string_agg(name || '=' || setting, ',' ORDER BY name)) || (SELECT count(*) FROM pg_listening_channels())
 || (SELECT count(*) FROM pg_prepared_statements) || (SELECT count(*) FROM pg_cursors) FROM pg_settings WHERE name NOT LIKE 'plpgsql.%'`
	nextXidSQL = "SELECT pg_snapshot_xmax(pg_current_snapshot())"
)

// newSession opens a session; the standby's has no traces to look for.
func (w *world) newSession(t testing.TB, i *pgtest.Instance, database, user string) *session {
	t.Helper()
	s := &session{t: t, open: func() *pgconn.PgConn {
		conn := w.connect(t, i, database, user)
		value(t, conn, traces)
		return conn
	}}
	s.renew()
	return s
}

func (s *session) renew() {
	if s.conn != nil {
		_ = s.conn.Close(context.Background())
	}
	s.conn = s.open()
	s.baseline = value(s.t, s.conn, "EXECUTE traces")
}

// run runs a statement in a transaction of its own that ends with end, and
// returns the traces that differ from those before, if any.
func (s *session) run(text, begin, end string) (answer, string) {
	a, last := s.exec(begin+"; SAVEPOINT before;\n"+text+"\n; EXECUTE traces; "+end), ""
	if a.code == "" {
		if n := len(a.rows); n > 0 { // the traces are the last row
			last, a.rows = a.rows[n-1], a.rows[:n-1]
		}
	} else if !s.conn.IsClosed() && s.conn.TxStatus() == 'E' {
		after := s.exec("ROLLBACK TO before; EXECUTE traces; " + end)
		last = strings.Join(after.rows, "") + after.code
	}
	switch {
	case s.conn.IsClosed():
		s.renew()
		return a, ""
	case a.code != "" && last == "": // refused before BEGIN was, as nobody could read it
		last = s.value("EXECUTE traces")
	}
	if s.conn.TxStatus() != 'I' {
		s.exec("ROLLBACK")
		last += " and an open transaction"
	}
	if last == s.baseline {
		return a, ""
	}
	return a, "before " + s.baseline + ", after " + last
}

// alone runs a statement as it is.
func (s *session) alone(text string) answer {
	a := s.exec(text)
	if s.conn.IsClosed() {
		s.renew()
	}
	return a
}

// exec runs texts and puts the rows of all results together.
func (s *session) exec(text string) (a answer) {
	reader := s.conn.Exec(context.Background(), text)
	for reader.NextResult() {
		result := reader.ResultReader()
		for result.NextRow() {
			var row strings.Builder
			for i, cell := range result.Values() {
				if i > 0 {
					row.WriteByte('\x1f')
				}
				if cell == nil {
					row.WriteString("\x00")
				}
				row.Write(cell)
			}
			a.rows = append(a.rows, row.String())
		}
		_, _ = result.Close()
	}
	err := reader.Close()
	if err == nil {
		return a
	}
	a.code, a.message = "connection", err.Error()
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		a.code, a.message = pgErr.Code, pgErr.Message
	}
	return a
}

// value is value for the connection.
func (s *session) value(sql string) string { return value(s.t, s.conn, sql) }
