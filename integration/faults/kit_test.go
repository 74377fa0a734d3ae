package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/integration"
	"github.com/penstock/penstock/internal/pgtest"
)

// hangTime is how long an answer may take before a test calls it a hang.
const hangTime = 5 * time.Second

// shared is the cluster of this test run.
var shared struct {
	once  sync.Once
	house *integration.House
	err   error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.house != nil {
		if err := shared.house.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// postgres starts the cluster at the first test that needs it, and returns its
// primary. The role aborter is for server connections that are counted.
func postgres(t *testing.T) *pgtest.Instance {
	t.Helper()
	shared.once.Do(func() {
		ctx := context.Background()
		shared.house, shared.err = integration.Start(ctx, pgtest.Options{Settings: map[string]string{
			"synchronous_commit": "off", "autovacuum": "off", "log_connections": "on",
		}})
		if shared.err == nil {
			shared.err = shared.house.Cluster.Primary.Exec(ctx, "postgres", `
				CREATE ROLE aborter LOGIN SUPERUSER;
				CREATE UNLOGGED TABLE aborted (id bigint, kind text);
				CREATE UNLOGGED TABLE kept (id text)`)
		}
	})
	if shared.err != nil {
		t.Fatalf("%v; make setup installs PostgreSQL", shared.err)
	}
	return shared.house.Cluster.Primary
}

// open starts a Penstock with one pool in transaction mode, in front of the
// PostgreSQL at addr.
func open(addr, user string, size int) (*integration.Penstock, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return integration.Open(fmt.Sprintf(`
[databases.postgres]
primary = "host=%s port=%s user=%s dbname=postgres sslmode=disable"
pool = { mode = "transaction", size = %d, connect_timeout = "3s" }
[auth]
method = "trust"
[admin]
users = ["admin"]
`, host, port, user, size))
}

// dial logs an ordinary client in.
func dial(ctx context.Context, addr string) (*pgtest.Client, error) {
	return pgtest.Dial(ctx, addr, map[string]string{"user": "postgres", "database": "postgres"})
}

// answer is what came up to a ReadyForQuery.
type answer struct {
	names  []string
	rows   [][]string
	status byte
}

// ask runs a simple query.
func ask(c *pgtest.Client, sql string) (answer, error) {
	if err := c.Send(&pgproto3.Query{String: sql}); err != nil {
		return answer{}, err
	}
	return hear(c)
}

// hear reads up to ReadyForQuery.
func hear(c *pgtest.Client) (answer, error) {
	var a answer
	var failed error
	for {
		msg, err := c.Receive(hangTime)
		if err != nil {
			return a, errors.Join(failed, err)
		}
		switch msg := msg.(type) {
		case *pgproto3.RowDescription:
			for _, f := range msg.Fields {
				a.names = append(a.names, string(f.Name))
			}
		case *pgproto3.DataRow:
			var row []string
			for _, v := range msg.Values {
				row = append(row, string(v))
			}
			a.rows = append(a.rows, row)
		case *pgproto3.ErrorResponse:
			failed = fmt.Errorf("%s %s: %s", msg.Severity, msg.Code, msg.Message)
		case *pgproto3.ReadyForQuery:
			a.status = msg.TxStatus
			return a, failed
		}
	}
}

// checkClean waits until no server connection is in use and nobody waits, and
// returns how long that took.
func checkClean(p *integration.Penstock) (time.Duration, error) {
	c, err := pgtest.Dial(context.Background(), p.Addr, map[string]string{"user": "admin", "database": "penstock"})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		a, err := ask(c, "SHOW POOLS")
		if err != nil {
			return 0, err
		}
		busy := 0
		for _, row := range a.rows {
			for i, name := range a.names {
				switch name {
				case "cl_waiting", "sv_active", "sv_active_cancel", "sv_being_canceled":
					n, err := strconv.Atoi(row[i])
					if err != nil {
						return 0, err
					}
					busy += n
				}
			}
		}
		took := time.Since(began)
		if busy == 0 {
			return took, nil
		}
		if took > hangTime {
			return took, fmt.Errorf("server connections stay in use: %v %v", a.names, a.rows)
		}
	}
}

// goroutines are counted when a test begins, and compared at its end.
type goroutines int

func (before goroutines) check(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(hangTime); runtime.NumGoroutine() > int(before); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			buf := make([]byte, 4<<20)
			t.Errorf("%d goroutines are left behind:\n%s", runtime.NumGoroutine()-int(before), buf[:runtime.Stack(buf, true)])
			return
		}
	}
}

// number runs a query for one number on the server itself.
func number(ctx context.Context, pg *pgtest.Instance, sql string) (int, error) {
	rows, err := pg.Query(ctx, "postgres", sql)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(rows[0][0])
}

// tail returns the last lines of a log that are not about every day.
func tail(log string) string {
	var lines []string
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "level=DEBUG") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-20):], "")
}
