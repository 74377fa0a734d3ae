package pgtest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgtest"
)

// binDirEnv names the bin folder of another PostgreSQL version, for make
// test-versions.
const binDirEnv = "PGTEST_BIN_DIR"

func options(o pgtest.Options) pgtest.Options {
	o.BinDir = os.Getenv(binDirEnv)
	return o
}

// ownTempDir gives the test a temporary folder of its own, without templates,
// that the user who runs the servers may enter.
func ownTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	return dir
}

func exec(t *testing.T, i *pgtest.Instance, sql string) {
	t.Helper()
	if err := i.Exec(t.Context(), "postgres", sql); err != nil {
		t.Fatal(err)
	}
}

func queryOne(t *testing.T, i *pgtest.Instance, sql string) string {
	t.Helper()
	rows, err := i.Query(t.Context(), "postgres", sql)
	if err != nil {
		t.Fatal(err)
	}
	return rows[0][0]
}

// The life of a cluster is one test, because each start costs.
func TestClusterLife(t *testing.T) {
	t.Parallel()
	c := pgtest.StartT(t, options(pgtest.Options{Replicas: 2, Settings: map[string]string{"work_mem": "7MB"}}))
	old, first, second := c.Primary, c.Replicas[0], c.Replicas[1]

	t.Run("SettingsReachTheServer", func(t *testing.T) {
		if got := queryOne(t, old, "SHOW work_mem"); got != "7MB" {
			t.Errorf("work_mem = %s", got)
		}
	})
	t.Run("ReplicasFollow", func(t *testing.T) {
		exec(t, old, "CREATE TABLE life (id int); INSERT INTO life VALUES (1)")
		if err := c.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, r := range c.Replicas {
			if got := queryOne(t, r, "SELECT id FROM life"); got != "1" {
				t.Errorf("%s answers %q", r.Name, got)
			}
			if err := r.Exec(t.Context(), "postgres", "INSERT INTO life VALUES (2)"); !hasCode(err, "25006") {
				t.Errorf("%s takes a write: %v", r.Name, err)
			}
		}
	})
	t.Run("KilledPrimaryComesBack", func(t *testing.T) { killAndRestart(t, old) })
	t.Run("PromotedReplicaLeads", func(t *testing.T) {
		if err := old.Stop(pgtest.Fast); err != nil {
			t.Fatal(err)
		}
		if err := c.Promote(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		exec(t, c.Primary, "INSERT INTO life VALUES (3)")
		if err := c.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c.Primary != first || len(c.Replicas) != 1 || c.Replicas[0] != second {
			t.Error("the cluster's fields do not show the promotion")
		}
		if got := queryOne(t, second, "SELECT max(id) FROM life"); got != "3" {
			t.Errorf("the other replica has %s", got)
		}
	})
	t.Run("LateReplicaFollowsNewPrimary", func(t *testing.T) {
		r, err := c.AddReplica(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := queryOne(t, r, "SELECT count(*) FROM life"); got != "2" {
			t.Errorf("it has %s rows", got)
		}
	})
	t.Run("StoppedPrimaryRejoins", func(t *testing.T) {
		if err := errors.Join(first.Stop(pgtest.Fast), c.Promote(t.Context(), second)); err != nil {
			t.Fatal(err)
		}
		port := first.Port
		if err := c.Rejoin(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		checkFollows(t, c, first, "4")
		if first.Port != port {
			t.Errorf("port %d, was %d", first.Port, port)
		}
	})
	t.Run("DivergedPrimaryIsRebuilt", func(t *testing.T) {
		if err := old.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		exec(t, old, "INSERT INTO life VALUES (100)")
		if err := c.Rebuild(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		checkFollows(t, c, old, "5")
	})
	t.Run("DemotedPrimaryIsAStandby", func(t *testing.T) {
		demoted := c.Primary
		if err := c.Demote(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := demoted.Exec(t.Context(), "postgres", "INSERT INTO life VALUES (6)"); !hasCode(err, "25006") {
			t.Errorf("a demoted primary takes a write: %v", err)
		}
		if err := c.Demote(t.Context()); err == nil {
			t.Error("demoted twice")
		}
		if err := c.Promote(t.Context(), c.Replicas[0]); err != nil {
			t.Fatal(err)
		}
		checkFollows(t, c, demoted, "7")
		if err := c.Rejoin(t.Context(), c.Primary); err == nil {
			t.Error("the primary follows itself")
		}
	})
}

// checkFollows writes a row on the primary and expects it on a replica.
func checkFollows(t *testing.T, c *pgtest.Cluster, replica *pgtest.Instance, id string) {
	t.Helper()
	exec(t, c.Primary, "INSERT INTO life VALUES ("+id+")")
	if err := c.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := queryOne(t, replica, "SELECT max(id) FROM life"); got != id {
		t.Errorf("%s has %s, want %s", replica.Name, got, id)
	}
	if got := queryOne(t, replica, "SELECT pg_is_in_recovery()"); got != "t" {
		t.Errorf("%s is no standby", replica.Name)
	}
	if !slices.Contains(c.Replicas, replica) {
		t.Errorf("%s is not among the replicas", replica.Name)
	}
}

func killAndRestart(t *testing.T, i *pgtest.Instance) {
	t.Helper()
	pid, busy := i.Pid(), dial(t, i.Addr())
	if err := busy.Send(&pgproto3.Query{String: "DO 'BEGIN LOOP END LOOP; END'"}); err != nil {
		t.Fatal(err)
	}
	if err := i.Kill(); err != nil {
		t.Fatal(err)
	}
	if i.Pid() != 0 || syscall.Kill(pid, 0) == nil {
		t.Error("the postmaster lives")
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", busy.ProcessID))
	if err == nil && !strings.Contains(string(stat), ") Z ") {
		t.Errorf("a busy backend lives: %s", stat)
	}
	if err := i.Exec(t.Context(), "postgres", "SELECT 1"); err == nil {
		t.Error("a killed server answers")
	}
	port := i.Port
	if err := i.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if i.Port != port || queryOne(t, i, "SELECT id FROM life") != "1" {
		t.Errorf("port %d, was %d, or row lost", i.Port, port)
	}
	if !strings.Contains(i.Log(), "was interrupted") {
		t.Error("the server did not recover from a crash")
	}
}

func TestFrozenServerIsSilentUntilThawed(t *testing.T) {
	t.Parallel()
	c := pgtest.StartT(t, options(pgtest.Options{}))
	if err := c.Primary.Freeze(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := c.Primary.Exec(ctx, "postgres", "SELECT 1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("frozen server: %v", err)
	}
	if err := c.Primary.Thaw(); err != nil {
		t.Fatal(err)
	}
	exec(t, c.Primary, "SELECT 1")
	if err := c.Primary.Freeze(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := c.Stop(); err != nil || time.Since(begin) > 20*time.Second {
		t.Errorf("stop of a frozen server: %v after %v", err, time.Since(begin))
	}
}

func TestAuthAppliesToTCP(t *testing.T) {
	t.Parallel()
	for _, auth := range []string{"md5", "scram-sha-256"} {
		t.Run(auth, func(t *testing.T) {
			t.Parallel()
			c := pgtest.StartT(t, options(pgtest.Options{Auth: auth, SuperuserPassword: `it's "a\b"`, TLS: true}))
			conn, err := pgconn.Connect(t.Context(), c.Primary.DSN("postgres"))
			if err != nil {
				t.Fatal(err)
			}
			conn.Close(t.Context())
			if _, err := pgconn.Connect(t.Context(), c.Primary.DSN("postgres")+" password=wrong"); !hasCode(err, "28P01") {
				t.Errorf("wrong password: %v", err)
			}
			stored := queryOne(t, c.Primary, "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'")
			if !strings.HasPrefix(strings.ToLower(stored), auth) {
				t.Errorf("the password is stored as %s", stored)
			}
		})
	}
}

func TestCertificateVerifies(t *testing.T) {
	t.Parallel()
	c := pgtest.StartT(t, options(pgtest.Options{TLS: true}))
	dsn := strings.Replace(c.Primary.DSN("postgres"), "sslmode=require", "sslmode=verify-full sslrootcert="+c.CertFile, 1)
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	var verified *x509.Certificate
	config.TLSConfig.VerifyConnection = func(s tls.ConnectionState) error {
		verified = s.PeerCertificates[0]
		return nil
	}
	conn, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if verified == nil {
		t.Error("no TLS")
	}
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	c := pgtest.StartT(t, options(pgtest.Options{Replicas: 1}))
	pids := []int{c.Primary.Pid(), c.Replicas[0].Pid()}
	if err := c.Replicas[0].Kill(); err != nil {
		t.Fatal(err)
	}
	segment := sharedMemoryOf(t, c.Replicas[0])
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadFile("/proc/sysvipc/shm"); err == nil && strings.Contains(string(left), segment) {
		t.Errorf("shared memory segment %sis left", segment)
	}
	for _, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("process %d lives", pid)
		}
	}
	if _, err := os.Stat(c.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folder %s: %v", c.Dir, err)
	}
	if _, err := c.AddReplica(t.Context()); err == nil {
		t.Error("a stopped cluster grows")
	}
}

// sharedMemoryOf returns key and id of the segment of a server that was killed,
// as /proc shows them.
func sharedMemoryOf(t *testing.T, i *pgtest.Instance) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(i.DataDir, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	var key, id int
	if _, err := fmt.Sscan(strings.Split(string(data), "\n")[6], &key, &id); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%10d %10d ", key, id)
}

func TestEndOfContextStopsCluster(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := pgtest.Start(ctx, options(pgtest.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	pid := c.Primary.Pid()
	cancel()
	deadline := time.Now().Add(10 * time.Second)
	for syscall.Kill(pid, 0) == nil && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if c.Primary.Pid() != 0 {
		t.Error("the server lives")
	}
	if err := c.Stop(); err != nil { // waits for the other Stop
		t.Fatal(err)
	}
}

func TestChosenFolderIsKept(t *testing.T) {
	t.Parallel()
	// Too long for a unix socket's address.
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 20))
	c := pgtest.StartT(t, options(pgtest.Options{Dir: dir}))
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "primary", "PG_VERSION")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(c.SocketDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket's own folder %s: %v", c.SocketDir, err)
	}
	if err := os.MkdirAll(c.SocketDir, 0o777); err != nil { // nothing else shall prevent it
		t.Fatal(err)
	}
	if err := c.Primary.Restart(t.Context()); err == nil || !strings.Contains(err.Error(), "the cluster is stopped") {
		t.Errorf("start of an instance of a stopped cluster: %v", err)
	}
	if err := os.Remove(c.SocketDir); err != nil {
		t.Fatal(err)
	}
}

func TestStartWithoutProgramsSaysSo(t *testing.T) {
	t.Parallel()
	_, err := pgtest.Start(t.Context(), pgtest.Options{BinDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "postgres") {
		t.Errorf("error %v", err)
	}
}

func TestBadSettingShowsServersComplaint(t *testing.T) {
	t.Parallel()
	_, err := pgtest.Start(t.Context(), options(pgtest.Options{Settings: map[string]string{"no_such_setting": "1"}}))
	if err == nil || !strings.Contains(err.Error(), `unrecognized configuration parameter "no_such_setting"`) {
		t.Errorf("error %v", err)
	}
}

func hasCode(err error, code string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == code
}
