package drivers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock/penstock/integration"
	"github.com/penstock/penstock/internal/pgtest"
)

// one is the cluster of this test run.
var one struct {
	sync.Once
	house *integration.House
	err   error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if one.house != nil {
		if err := one.house.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// house starts the cluster, with what the suites say that they need.
func house(t *testing.T) *integration.House {
	t.Helper()
	one.Do(func() {
		one.house, one.err = integration.Start(context.Background(), pgtest.Options{TLS: true})
		for _, s := range []struct{ database, sql string }{
			{"postgres", `CREATE ROLE pgx_md5 SUPERUSER LOGIN PASSWORD 'secret'`},
			{"postgres", `CREATE ROLE " tricky, ' } "" \\ test user " SUPERUSER LOGIN PASSWORD 'secret'`},
			{"postgres", `CREATE DATABASE pgx_test`},
			{"pgx_test", `CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE DOMAIN uint64 AS numeric(20,0)`},
			{"postgres", `CREATE ROLE pqgo SUPERUSER LOGIN; CREATE ROLE pqgossl LOGIN; CREATE ROLE pqgosslcert LOGIN;
				CREATE ROLE pqgopassword LOGIN PASSWORD 'wordpass'; CREATE ROLE pqgoscram LOGIN PASSWORD 'wordpass';
				CREATE ROLE pqgomd5 LOGIN PASSWORD 'wordpass'`},
			{"postgres", `CREATE DATABASE pqgo OWNER pqgo`},
		} {
			if one.err == nil {
				one.err = one.house.Cluster.Primary.Exec(context.Background(), s.database, s.sql)
			}
		}
		for _, database := range []string{"pgx_test", "pqgo"} {
			if one.err == nil {
				one.err = one.house.Prepare(context.Background(), database)
			}
		}
	})
	if one.err != nil {
		t.Fatalf("%v; make setup installs PostgreSQL", one.err)
	}
	return one.house
}

// place is where a suite finds its database.
type place struct{ host, port, socketDir string }

// modes are the two that carry whole sessions, with a size of pool that suites
// need: those in session mode keep dozens of connections open.
var modes = []struct {
	name string
	size int
}{{"transaction", 10}, {"session", 60}}

// compare runs a suite directly and through each mode.
func compare(t *testing.T, s *suite, database, user, extra string, env func(place) []string) {
	if testing.Short() {
		t.Skip("minutes")
	}
	h := house(t)
	s.fetch(t)
	failures := readKnown(t)
	logs := os.Getenv("PENSTOCK_SUITE_LOGS") // a folder to keep the output of failed tests
	if logs == "" {
		logs = t.TempDir()
	}
	began := time.Now()
	primary := h.Cluster.Primary
	direct := s.play(t, env(place{"127.0.0.1", fmt.Sprint(primary.Port), primary.SocketDir}), nil, filepath.Join(logs, s.name+"-direct.log"))
	table := fmt.Sprintf("\n%-12s %6s %6s %6s %8s %8s\n%-12s %6d %6d %6d %8s %8s\n", s.name, "pass", "fail", "skip", "of direct", "time",
		"direct", direct.count("pass"), direct.count("fail"), direct.count("skip"), "", time.Since(began).Round(time.Second))
	if direct.count("pass") == 0 {
		t.Fatal("no test passes directly")
	}
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			began := time.Now()
			o := through(t, h, s, database, user, extra, mode.name, mode.size, env, failures.skips(s.name, mode.name), logs)
			lost := o.lost(direct)
			n := direct.count("pass")
			table += fmt.Sprintf("%-12s %6d %6d %6d %8.2f%% %8s\n", mode.name, o.count("pass"), o.count("fail"), o.count("skip"),
				100*float64(n-len(lost))/float64(n), time.Since(began).Round(time.Second))
			for _, test := range lost {
				if reason, ok := failures.reason(s.name, mode.name, test); ok {
					table += fmt.Sprintf("  known: %s: %s\n", test, reason)
				} else {
					t.Errorf("passes directly and not through Penstock: %s %s %s", s.name, mode.name, test)
				}
			}
			if os.Getenv("PENSTOCK_SUITE_RUN") == "" {
				for _, name := range failures.unmet(s.name, mode.name) {
					t.Errorf("listed in known_failures.txt, and passes: %s", name)
				}
			}
		})
	}
	t.Log(table)
}

// through runs a suite through a Penstock of its own, with noise.
func through(t *testing.T, h *integration.House, s *suite, database, user, extra, mode string, size int, env func(place) []string, skip map[string][]string, logs string) outcome {
	t.Helper()
	dir := t.TempDir()
	cert, key, err := integration.Certificate(dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := integration.Open(fmt.Sprintf(`%s
[listen]
unix_socket_dir = %q
tls_cert_file = %q
tls_key_file = %q
[databases.%s]
primary = "host=127.0.0.1 port=%d"
pool = { mode = %q, size = %d, query_wait_timeout = "20s" }
`, extra, dir, cert, key, database, h.Cluster.Primary.Port, mode, size))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		p.Close()
		if err := os.WriteFile(filepath.Join(logs, s.name+"-"+mode+"-penstock.log"), []byte(p.Log()), 0o600); err != nil {
			t.Error(err)
		}
	}()
	noise := integration.StartNoise(context.WithoutCancel(t.Context()), p.DSNOf(user, database)+" password=secret", 4, "57P01")
	o := s.play(t, env(place{"127.0.0.1", p.Port(), dir}), skip, filepath.Join(logs, s.name+"-"+mode+".log"))
	rounds, err := noise.Stop()
	if err != nil {
		t.Errorf("the other clients found, in %d rounds: %v", rounds, err)
	}
	if rounds == 0 {
		t.Error("the other clients did nothing")
	}
	return o
}

// pgx v5, as scripts/lib/test_targets.rb of its module has it, but that the
// cluster trusts everybody. Through Penstock the password counts.
func TestPgxSuite(t *testing.T) {
	s := &suite{
		name: "pgx", module: "github.com/jackc/pgx/v5", version: ourPgx(t),
		packages: []string{".", "pgconn", "pgxpool", "pgtype", "stdlib"},
	}
	compare(t, s, "pgx_test", "pgx_md5", `[auth]
method = "scram-sha-256"
users = { pgx_md5 = "secret" }
`, func(p place) []string {
		dsn := func(host string) string {
			return fmt.Sprintf("host=%s port=%s user=pgx_md5 password=secret dbname=pgx_test", host, p.port)
		}
		return []string{
			"PGX_TEST_DATABASE=" + dsn(p.host), "PGX_TEST_TCP_CONN_STRING=" + dsn(p.host),
			"PGX_TEST_UNIX_SOCKET_CONN_STRING=" + dsn(p.socketDir), "PGX_TEST_MD5_PASSWORD_CONN_STRING=" + dsn(p.host),
			"PGX_TEST_SCRAM_PASSWORD_CONN_STRING=" + dsn(p.host) + " channel_binding=disable",
			"PGX_TEST_TLS_CONN_STRING=" + dsn(p.host) + " sslmode=require",
		}
	})
}

// lib/pq, as its README has it.
func TestLibPQSuite(t *testing.T) {
	s := &suite{name: "pq", module: "github.com/lib/pq", version: "v1.12.3", packages: []string{".", "hstore", "pqerror", "oid", "scram"}}
	compare(t, s, "pqgo", "pqgo", "[auth]\nmethod = \"trust\"\n", func(p place) []string {
		return []string{
			"PGHOST=" + p.host, "PGPORT=" + p.port, "PGDATABASE=pqgo", "PGUSER=pqgo", "PGSSLMODE=disable", "PGCONNECT_TIMEOUT=20",
		}
	})
}

// ourPgx is the version of pgx that this module uses.
func ourPgx(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "github.com/jackc/pgx/v5" {
			return f[1]
		}
	}
	t.Fatal("go.mod does not name pgx")
	return ""
}
