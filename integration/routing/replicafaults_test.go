package routing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock/internal/pgtest"
)

// TestReplicaFaults does to replicas what happens to them, under load. Whoever
// reads outside of a transaction sees nothing of it: the read runs again
// elsewhere. That this was needed, the counts of what was healed tell.
func TestReplicaFaults(t *testing.T) {
	for _, f := range []struct {
		name     string
		settings map[string]string
		prepare  string // SQL
		read     func(ctx context.Context, conn *pgx.Conn, n int) error
		fault    func(t *testing.T, c *pgtest.Cluster, p *penstock, all *crowd)
		heals    bool // it cannot pass without anything being healed
	}{
		{name: "killed", fault: killReplica, heals: true},
		{name: "restarted", fault: restartReplica, heals: true},
		{name: "backends terminated", fault: terminateBackends, heals: true},
		{name: "starting up", fault: replicaStartsUp},
		{name: "lag spike", fault: lagSpike},
		{
			name:     "vacuum conflicts",
			settings: map[string]string{"max_standby_streaming_delay": "0", "hot_standby_feedback": "off"},
			prepare:  "create table hot (id int primary key, n int); insert into hot select g, 0 from generate_series(1, 200) g",
			read:     readSlowly, fault: updateAndVacuum, heals: true,
		},
		{name: "DDL lag", fault: ddlLag, heals: true},
	} {
		t.Run(f.name, func(t *testing.T) {
			c := failoverServers(t, f.settings)
			if f.prepare != "" {
				if err := errors.Join(c.Primary.Exec(t.Context(), "postgres", f.prepare), c.CatchUp(t.Context())); err != nil {
					t.Fatal(err)
				}
			}
			p := start(t, c, failoverRouting, `query_wait_timeout = "20s"`)
			p.ready(t)
			all := &crowd{p: p, writers: 12, readers: 36, think: 20 * time.Millisecond, read: f.read}
			all.gather(t)
			time.Sleep(300 * time.Millisecond)
			rounds := trials(t, 1, 20)
			for range rounds {
				f.fault(t, c, p, all)
				if t.Failed() {
					break
				}
			}
			all.disperse()
			healed := p.healed()
			complain(t, "a client saw", all.since(time.Time{}, "connect", "read", "write", "begin", "in-transaction", "commit"))
			l := all.audit(t, c.Primary, time.Time{})
			_, slowest := all.reads.seen()
			t.Logf("%d rounds: %d statements, %d healed, slowest read %v, %v; errors: %s",
				rounds, all.statements.Load(), healed, slowest, l, all.summary())
			t.Log(p.routes())
			if f.heals && healed == 0 {
				t.Error("nothing was healed: the fault has hit nobody")
			}
		})
	}
}

// killReplica kills one and brings it back.
func killReplica(t *testing.T, c *pgtest.Cluster, p *penstock, _ *crowd) {
	t.Helper()
	for _, r := range c.Replicas {
		if err := r.Kill(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		if err := r.Restart(context.Background()); err != nil {
			t.Fatal(err)
		}
		p.replicasUp(t, 2)
		time.Sleep(200 * time.Millisecond)
	}
}

func restartReplica(t *testing.T, c *pgtest.Cluster, p *penstock, _ *crowd) {
	t.Helper()
	for _, r := range c.Replicas {
		if err := r.Restart(context.Background()); err != nil {
			t.Fatal(err)
		}
		p.replicasUp(t, 2)
		time.Sleep(200 * time.Millisecond)
	}
}

// terminateBackends ends the connections and not the server: its monitor may
// find nothing wrong, and it must get reads again.
func terminateBackends(t *testing.T, c *pgtest.Cluster, p *penstock, _ *crowd) {
	t.Helper()
	for range 3 {
		for _, r := range c.Replicas {
			if err := r.Exec(context.Background(), "postgres", `select pg_terminate_backend(pid) from pg_stat_activity
				where pid <> pg_backend_pid() and backend_type = 'client backend' and application_name <> 'penstock monitor'`); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	p.replicasUp(t, 2)
}

// replicaStartsUp restarts a replica so that it refuses everybody with 57P03 for
// a while, as during recovery.
func replicaStartsUp(t *testing.T, c *pgtest.Cluster, p *penstock, _ *crowd) {
	t.Helper()
	r := c.Replicas[0]
	conf := filepath.Join(r.DataDir, "postgresql.auto.conf")
	before, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text []byte) {
		f, err := os.OpenFile(conf, os.O_WRONLY|os.O_TRUNC, 0) // its owner stays
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(text); errors.Join(err, f.Close()) != nil {
			t.Fatal(err)
		}
	}
	write(append(bytes.Clone(before), "\nhot_standby = off\n"...))
	ctx, stop := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer stop()
	if err := r.Restart(ctx); err == nil {
		t.Fatal("a server that takes no connections has taken one")
	}
	write(before)
	if err := r.Restart(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.replicasUp(t, 2)
}

// lagSpike stops the replay of both replicas for two seconds.
func lagSpike(t *testing.T, c *pgtest.Cluster, p *penstock, _ *crowd) {
	t.Helper()
	replay(t, c, "pause")
	time.Sleep(2 * time.Second)
	replay(t, c, "resume")
	p.replicasUp(t, 2)
	time.Sleep(200 * time.Millisecond)
}

func replay(t *testing.T, c *pgtest.Cluster, what string) {
	t.Helper()
	for _, r := range c.Replicas {
		if err := r.Exec(context.Background(), "postgres", "select pg_wal_replay_"+what+"()"); err != nil {
			t.Fatal(err)
		}
	}
}

// readSlowly holds a snapshot long enough to stand in the way of a vacuum.
func readSlowly(ctx context.Context, conn *pgx.Conn, n int) error {
	var rows int
	err := conn.QueryRow(ctx, "/* penstock: replica */ select count(*) from hot, (select pg_sleep(0.05)) s where id > $1", n%100).Scan(&rows)
	if err == nil && rows != 200-n%100 {
		return fmt.Errorf("%d rows of %d", rows, 200-n%100)
	}
	return err
}

// updateAndVacuum makes dead rows and removes them, which ends the reads on
// replicas that might still see them.
func updateAndVacuum(t *testing.T, c *pgtest.Cluster, _ *penstock, _ *crowd) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		for _, sql := range []string{"update hot set n = n + 1", "vacuum hot"} {
			if err := c.Primary.Exec(context.Background(), "postgres", sql); err != nil {
				t.Fatal(err)
			}
		}
	}
}

var ddlRound atomic.Int64

// ddlLag changes the schema through Penstock while the replicas do not follow,
// and uses what is new at once: in the same session and in others.
func ddlLag(t *testing.T, c *pgtest.Cluster, p *penstock, _ *crowd) {
	t.Helper()
	ctx := context.Background()
	n := ddlRound.Add(1)
	var conns []*pgx.Conn
	for _, way := range ways {
		conns = append(conns, p.connect(t, "default_query_exec_mode="+way))
	}
	replay(t, c, "pause")
	for _, step := range []struct{ ddl, use string }{
		{"create table ddl%[1]d (a int)", "select count(*) from ddl%[1]d"},
		{"alter table ddl%[1]d add column b int default 7", "select count(b) from ddl%[1]d"},
		{"create function f%[1]d() returns bigint immutable language sql as 'select 0::bigint'", "select f%[1]d()"},
		{"create schema s%[1]d create view v as select 0::bigint as z", "select z from s%[1]d.v"},
		{"create type e%[1]d as enum ('x')", "select count(*) from ddl%[1]d where a is null and 'x'::e%[1]d <> 'x'::e%[1]d"},
	} {
		for i, conn := range conns {
			if i == 0 {
				if _, err := conn.Exec(ctx, fmt.Sprintf(step.ddl, n)); err != nil {
					t.Fatal(err)
				}
			}
			var got int64
			if err := conn.QueryRow(ctx, fmt.Sprintf(step.use, n)).Scan(&got); err != nil || got != 0 {
				t.Errorf("%s: %q right after %q: %d, %v", ways[i], fmt.Sprintf(step.use, n), fmt.Sprintf(step.ddl, n), got, err)
			}
		}
		for i, conn := range conns { // and once more: prepared by now, perhaps
			var got int64
			if err := conn.QueryRow(ctx, fmt.Sprintf(step.use, n)).Scan(&got); err != nil || got != 0 {
				t.Errorf("%s: %q again: %d, %v", ways[i], fmt.Sprintf(step.use, n), got, err)
			}
		}
	}
	replay(t, c, "resume")
	time.Sleep(100 * time.Millisecond)
}
