package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// cancel sends a CancelRequest for a connection and waits until it is taken.
func cancel(conn *pgconn.PgConn) error {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	return conn.CancelRequest(ctx)
}

// start runs a query in the background.
func start(conn *pgconn.PgConn, sql string) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := try(conn, sql)
		done <- err
	}()
	return done
}

// wait returns the outcome of start.
func wait(t testing.TB, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatal("waited in vain for the end of a query")
		return nil
	}
}

// running waits until PostgreSQL runs a query with this text.
func running(t testing.TB, h *House, text string) {
	t.Helper()
	eventually(t, "the server to run "+text, func() bool {
		rows, err := h.Cluster.Primary.Query(t.Context(), "postgres",
			"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = $$"+text+"$$")
		return err == nil && rows[0][0] != "0"
	})
}

func TestCancelEndsARunningQuery(t *testing.T) {
	h := house(t)
	p := open(t, h.Config())
	noise(t, p.DSN("tx"), 4)
	noise(t, p.DSN("sess"), 4)
	for _, database := range []string{"tx", "sess", "stmt"} {
		t.Run(database, func(t *testing.T) {
			conn := connect(t, p.DSN(database))
			for i := range 5 {
				sql := fmt.Sprintf("SELECT pg_sleep(30) /* %s %d */", database, i)
				done := start(conn, sql)
				running(t, h, sql)
				if err := cancel(conn); err != nil {
					t.Fatal(err)
				}
				refused(t, wait(t, done), "ERROR", "57014")
				expect(t, conn, "SELECT 1", "1")
			}
		})
	}
}

func TestCancelEndsTheWaitForAConnection(t *testing.T) {
	h := house(t)
	p := open(t, trust+pool(h, "one", "size = 1"))
	holder := connect(t, p.DSN("one"))
	query(t, holder, "BEGIN")
	conn := connect(t, p.DSN("one"))
	var times []time.Duration
	for range 21 {
		done := start(conn, "SELECT 'never'")
		eventually(t, "a client in the queue", func() bool { return waiting(t, p, "one") == "1" })
		began := time.Now()
		if err := cancel(conn); err != nil {
			t.Fatal(err)
		}
		refused(t, wait(t, done), "ERROR", "57014")
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	if median := times[len(times)/2]; median > 10*time.Millisecond {
		t.Errorf("57014 after %v (median), want at most 10ms", median)
	}
	expect(t, holder, "SELECT 'here'", "here")
	query(t, holder, "COMMIT")
	expect(t, conn, "SELECT 'next'", "next")
}

// waiting is the number of clients in a pool's queue, as SHOW POOLS tells it.
func waiting(t testing.TB, p *Penstock, database string) string {
	t.Helper()
	return column(t, console(t, p), "SHOW POOLS", database, "cl_waiting")
}

// column returns a column of the row of a SHOW whose database is the one named.
func column(t testing.TB, conn *pgconn.PgConn, show, database, name string) string {
	t.Helper()
	results, err := conn.Exec(t.Context(), show).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(results[0].FieldDescriptions, func(f pgconn.FieldDescription) bool { return f.Name == name })
	key := slices.IndexFunc(results[0].FieldDescriptions, func(f pgconn.FieldDescription) bool { return f.Name == "database" })
	if at < 0 || key < 0 {
		t.Fatalf("%s has no columns database and %s", show, name)
	}
	for _, row := range results[0].Rows {
		if string(row[key]) == database {
			return string(row[at])
		}
	}
	return ""
}

// Cancels that come when their query is over must hit nobody: eight clients on
// two server connections, half of them cancel at any time.
func TestCancelNeverHitsAnothersQuery(t *testing.T) {
	h := house(t)
	p := open(t, trust+pool(h, "two", "size = 2"))
	ctx, stop := context.WithTimeout(t.Context(), 4*time.Second)
	defer stop()
	var clients sync.WaitGroup
	var mu sync.Mutex
	canceled, peaceful := 0, 0
	for i := range 8 {
		conn := connect(t, p.DSN("two"))
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				cancels := i%2 == 0
				done := start(conn, fmt.Sprintf("SELECT pg_sleep(0.00%d)", rand.IntN(5)))
				if cancels {
					time.Sleep(time.Duration(rand.IntN(6000)) * time.Microsecond)
					if err := cancel(conn); err != nil {
						t.Errorf("cancel: %v", err)
						return
					}
				}
				err := wait(t, done)
				var pe *pgconn.PgError
				hit := errors.As(err, &pe) && pe.Code == "57014"
				mu.Lock()
				switch {
				case hit && cancels:
					canceled++
				case err != nil:
					t.Errorf("client %d, query %d: %v", i, n, err)
				default:
					peaceful++
				}
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	if canceled < 20 || peaceful < 20 {
		t.Errorf("%d queries were cancelled and %d ran to their end: too few to prove anything", canceled, peaceful)
	}
	t.Logf("%d queries were cancelled, %d ran to their end", canceled, peaceful)
}

// A key that is not the client's cancels nothing.
func TestCancelNeedsTheKey(t *testing.T) {
	h := house(t)
	p := open(t, h.Config())
	conn := connect(t, p.DSN("tx"))
	sql := "SELECT pg_sleep(0.5) /* key */"
	done := start(conn, sql)
	running(t, h, sql)
	client := raw(t, p.Addr)
	key := append([]byte{0, 0, 0, 16, 4, 210, 22, 46}, byte(conn.PID()>>24), byte(conn.PID()>>16), byte(conn.PID()>>8), byte(conn.PID()), 1, 2, 3, 4)
	if err := client.SendRaw(key); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
}
