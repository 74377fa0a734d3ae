package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgtest"
)

// Clients prepare many more statements than a server connection keeps: the
// least recently used give way and come back unseen.
func TestStatementsBeyondTheLimitAreEvicted(t *testing.T) {
	const kept = 20
	p := open(t, house(t).Config("[pool]", fmt.Sprintf("prepared_statements = %d", kept)))
	noise(t, p.DSN("tx"), 4)
	var clients sync.WaitGroup
	for i := range 3 {
		conn := connect(t, p.DSN("tx"))
		clients.Go(func() {
			if err := manyStatements(conn, i, 5*kept); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	clients.Wait()
	conn := connect(t, p.DSN("tx"))
	for range 10 {
		n, err := strconv.Atoi(value(t, conn, "SELECT count(*) FROM pg_prepared_statements"))
		if err != nil || n > kept {
			t.Fatalf("%d statements on a server connection, the limit is %d", n, kept)
		}
	}
}

// The default limit is 200.
func TestMoreThanTwoHundredStatements(t *testing.T) {
	p := open(t, house(t).Config())
	noise(t, p.DSN("tx"), 4)
	conn := connect(t, p.DSN("tx"))
	if err := manyStatements(conn, 9, 300); err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(value(t, conn, "SELECT count(*) FROM pg_prepared_statements"))
	if err != nil || n > 200 {
		t.Errorf("%d statements on a server connection", n)
	}
}

// manyStatements prepares n statements, runs them in any order, pipelined and
// not, and closes some on the way.
func manyStatements(conn *pgconn.PgConn, client, n int) error {
	ctx, stop := context.WithTimeout(context.Background(), 3*patience)
	defer stop()
	text := func(k int) string { return fmt.Sprintf("SELECT %d + $1::int", 1000*client+k%(n-5)) } // some texts twice
	for k := range n {
		if _, err := conn.Prepare(ctx, fmt.Sprint("s", k), text(k), nil); err != nil {
			return err
		}
	}
	check := func(k int, r *pgconn.Result) error {
		want := fmt.Sprint(1000*client + k%(n-5) + 7)
		if r.Err != nil || len(r.Rows) != 1 || string(r.Rows[0][0]) != want {
			return fmt.Errorf("statement %d: got %q %w, want %s", k, r.Rows, r.Err, want)
		}
		return nil
	}
	seven := [][]byte{[]byte("7")}
	for range 3 * n {
		k := rand.IntN(n)
		if err := check(k, conn.ExecPrepared(ctx, fmt.Sprint("s", k), seven, nil, nil).Read()); err != nil {
			return err
		}
		if k%10 != 0 {
			continue
		}
		if err := conn.Deallocate(ctx, fmt.Sprint("s", k)); err != nil {
			return err
		}
		if _, err := conn.Prepare(ctx, fmt.Sprint("s", k), text(k), nil); err != nil {
			return err
		}
	}
	batch := &pgconn.Batch{}
	var order []int
	for range n { // in one pipeline more than a server connection keeps
		k := rand.IntN(n)
		order = append(order, k)
		batch.ExecPrepared(fmt.Sprint("s", k), seven, nil, nil)
	}
	results, err := conn.ExecBatch(ctx, batch).ReadAll()
	if err != nil {
		return err
	}
	for i, k := range order {
		if err := check(k, results[i]); err != nil {
			return fmt.Errorf("pipeline: %w", err)
		}
	}
	return nil
}

// Two clients call two texts by one name, and one text by two names.
func TestNamesBelongToTheirClients(t *testing.T) {
	p := open(t, house(t).Config())
	noise(t, p.DSN("tx"), 4)
	a, b := connect(t, p.DSN("tx")), connect(t, p.DSN("tx"))
	for _, c := range []struct {
		conn       *pgconn.PgConn
		name, text string
	}{{a, "s", "SELECT 'a'"}, {b, "s", "SELECT 'b'"}, {a, "one", "SELECT 'both'"}, {b, "two", "SELECT 'both'"}} {
		if _, err := c.conn.Prepare(t.Context(), c.name, c.text, nil); err != nil {
			t.Fatal(err)
		}
	}
	run := func(conn *pgconn.PgConn, name string) string {
		r := conn.ExecPrepared(t.Context(), name, nil, nil, nil).Read()
		if r.Err != nil {
			return told(r.Err)
		}
		return string(r.Rows[0][0])
	}
	for range 20 {
		got := run(a, "s") + run(b, "s") + run(a, "one") + run(b, "two")
		if got != "abbothboth" {
			t.Fatalf("got %q", got)
		}
	}
	refused(t, a.ExecPrepared(t.Context(), "two", nil, nil, nil).Read().Err, "ERROR", "26000")
	if err := a.Deallocate(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if got := run(b, "two"); got != "both" {
		t.Errorf("after another client's Close of the same text: %q", got)
	}
}

// 42P05 and 26000 come from the server and keep the session, in and outside of
// a transaction.
func TestDuplicateAndUnknownNamesKeepTheSession(t *testing.T) {
	p := open(t, house(t).Config())
	noise(t, p.DSN("tx"), 4)
	conn := connect(t, p.DSN("tx"))
	prepare := func(name string) error {
		_, err := conn.Prepare(t.Context(), name, "SELECT 1", nil)
		return err
	}
	if err := prepare("s"); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		refused(t, prepare("s"), "ERROR", "42P05")
		refused(t, conn.ExecPrepared(t.Context(), "unknown", nil, nil, nil).Read().Err, "ERROR", "26000")
		refused(t, conn.ExecPrepared(t.Context(), "PENSTOCK_1", nil, nil, nil).Read().Err, "ERROR", "26000")
		if r := conn.ExecPrepared(t.Context(), "s", nil, nil, nil).Read(); r.Err != nil {
			t.Fatal(r.Err)
		}
		query(t, conn, "BEGIN")
		refused(t, prepare("s"), "ERROR", "42P05")
		_, err := try(conn, "SELECT 1")
		refused(t, err, "ERROR", "25P02")
		query(t, conn, "ROLLBACK")
		expect(t, conn, "SELECT 'alive'", "alive")
	}
}

// After DDL, here or elsewhere, a client that asks for a description in its
// batch, as libpq does, sees rows of the new shape and no error.
func TestStalePlansAreRepairedUnseen(t *testing.T) {
	h := house(t)
	p := open(t, h.Config())
	noise(t, p.DSN("tx"), 4)
	admin := func(sql string) {
		t.Helper()
		if err := h.Cluster.Primary.Exec(t.Context(), "postgres", sql); err != nil {
			t.Fatal(err)
		}
	}
	admin("DROP TABLE IF EXISTS stale; CREATE TABLE stale (a int); INSERT INTO stale VALUES (1)")
	client := dial(t, p, "tx")
	if err := client.Send(&pgproto3.Parse{Name: "s", Query: "SELECT * FROM stale"}, &pgproto3.Sync{}); err != nil {
		t.Fatal(err)
	}
	receive(t, client)
	described := func() string {
		t.Helper()
		if err := client.Send(&pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, &pgproto3.Sync{}); err != nil {
			t.Fatal(err)
		}
		return receive(t, client)
	}
	for i := range 12 {
		for range 6 { // on several server connections
			if got := described(); got != fmt.Sprintf("2 T%d D C Z", i+1) {
				t.Fatalf("after %d changes: %s", i, got)
			}
		}
		ddl := fmt.Sprintf("ALTER TABLE stale ADD c%d int", i)
		if i%2 == 0 {
			admin(ddl)
		} else {
			query(t, connect(t, p.DSN("tx")), ddl)
		}
	}
}

// A client that goes by the description it has is told: rows of the new type
// would be read as if they were of the old one.
func TestStalePlansAreToldWhoDoesNotAsk(t *testing.T) {
	h := house(t)
	p := open(t, h.Config())
	conn := connect(t, p.DSN("tx"))
	query(t, conn, "DROP TABLE IF EXISTS stale2; CREATE TABLE stale2 (a int); INSERT INTO stale2 VALUES (1)")
	client := dial(t, p, "tx")
	send := func(messages ...pgproto3.FrontendMessage) string {
		t.Helper()
		if err := client.Send(append(messages, &pgproto3.Sync{})...); err != nil {
			t.Fatal(err)
		}
		return receive(t, client)
	}
	parse := &pgproto3.Parse{Name: "s", Query: "SELECT * FROM stale2"}
	if got := send(parse, &pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}); got != "1 2 D C Z" {
		t.Fatal(got)
	}
	if err := h.Cluster.Primary.Exec(t.Context(), "postgres", "ALTER TABLE stale2 ALTER a TYPE text"); err != nil {
		t.Fatal(err)
	}
	if got := send(&pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}); got != "E0A000 Z" {
		t.Errorf("got %q", got)
	}
	if got := send(&pgproto3.Close{ObjectType: 'S', Name: "s"}, parse, &pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}); got != "3 1 2 D C Z" {
		t.Errorf("prepared again: got %q", got)
	}
}

// A client's own Parse never meets a plan from before a change, wherever its
// Binds come to.
func TestOwnParseIsNeverStale(t *testing.T) {
	h := house(t)
	p := open(t, h.Config())
	noise(t, p.DSN("tx"), 4)
	conn := connect(t, p.DSN("tx"))
	for i := range 15 {
		query(t, conn, "DROP TYPE IF EXISTS stale_pair; CREATE TYPE stale_pair AS (a int, b "+[]string{"int", "text"}[i%2]+")")
		if _, err := conn.Prepare(t.Context(), "s", "SELECT $1::stale_pair", nil); err != nil {
			t.Fatal(err)
		}
		for range 8 {
			r := conn.ExecPrepared(t.Context(), "s", [][]byte{[]byte("(1,2)")}, nil, nil).Read()
			if r.Err != nil {
				t.Fatalf("round %d: %v", i, r.Err)
			}
			r = conn.ExecParams(t.Context(), "SELECT $1::stale_pair", [][]byte{[]byte("(1,2)")}, nil, nil, nil).Read()
			if r.Err != nil {
				t.Fatalf("round %d, unnamed: %v", i, r.Err)
			}
		}
		if err := conn.Deallocate(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
	}
}

// dial logs in with the test kit, for exact messages.
func dial(t testing.TB, p *Penstock, database string) *pgtest.Client {
	t.Helper()
	client, err := p.Target(database).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() }) // the other side may have closed it
	return client
}

// receive reads to ReadyForQuery and returns the letters of the messages, with
// the number of columns and the SQLSTATE.
func receive(t testing.TB, client *pgtest.Client) string {
	t.Helper()
	var letters []string
	for {
		m, err := client.Receive(patience)
		if err != nil {
			t.Fatalf("%v, after %s", err, letters)
		}
		switch m := m.(type) {
		case *pgproto3.ParseComplete:
			letters = append(letters, "1")
		case *pgproto3.BindComplete:
			letters = append(letters, "2")
		case *pgproto3.CloseComplete:
			letters = append(letters, "3")
		case *pgproto3.RowDescription:
			letters = append(letters, fmt.Sprint("T", len(m.Fields)))
		case *pgproto3.DataRow:
			letters = append(letters, "D")
		case *pgproto3.CommandComplete:
			letters = append(letters, "C")
		case *pgproto3.ErrorResponse:
			letters = append(letters, "E"+m.Code)
		case *pgproto3.ReadyForQuery:
			return strings.Join(append(letters, "Z"), " ")
		case *pgproto3.ParameterStatus, *pgproto3.NoticeResponse:
		default:
			letters = append(letters, fmt.Sprintf("%T", m))
		}
	}
}
