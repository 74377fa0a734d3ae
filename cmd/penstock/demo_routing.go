package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/penstock/penstock/internal/pgtest"
)

const (
	demoCrowdSize = 20
	demoRounds    = 20                     // writes of each client of readBack
	demoLag       = 300 * time.Millisecond // of the replica in readBack
	demoUpkeep    = 15 * time.Second       // within it Penstock uses a replica that is up
)

const (
	demoReadSQL  = "SELECT abalance FROM pgbench_accounts WHERE aid = $1"
	demoWriteSQL = "INSERT INTO notes VALUES ($1, $2)"
	demoOwnSQL   = "SELECT count(*) FROM notes WHERE client = $1 AND n = $2"
)

// routingPlan is the act about reads, writes and a changing cluster. Nobody
// counts server connections here: clients are few.
func (d *demo) routingPlan() []demoStep {
	return []demoStep{
		{"Routing: where the queries above went", d.spread},
		{fmt.Sprintf("Own writes read at once; the replica is %d ms behind", demoLag.Milliseconds()), d.readBack},
		{fmt.Sprintf("The replica is stopped while %d clients read", demoCrowdSize), d.stopReplica},
		{fmt.Sprintf("Switchover while %d clients write and %d read", demoCrowdSize, demoCrowdSize), d.switchOver},
	}
}

// spread shows the console's counts, and PostgreSQL's own, which do not come
// from Penstock. PostgreSQL counts with a delay, so only the share is compared.
func (d *demo) spread(ctx context.Context) (string, error) {
	routes, err := d.psql(ctx, "penstock", "--csv", "-c", "SHOW ROUTES")
	if err != nil {
		return "", err
	}
	shown, err := pick(routes, nil, "reason", "primary", "replica")
	if err != nil {
		return routes, err
	}
	var counted [2]float64
	for i, server := range []*pgtest.Instance{d.cluster.Primary, d.cluster.Replicas[0]} {
		rows, err := server.Query(ctx, "demo", "SELECT coalesce(sum(idx_scan), 0) FROM pg_stat_user_tables WHERE relname = 'pgbench_accounts'")
		if err != nil {
			return shown, err
		}
		counted[i], _ = strconv.ParseFloat(rows[0][0], 64)
	}
	share := counted[1] / max(1, counted[0]+counted[1])
	shown += fmt.Sprintf("By PostgreSQL's own statistics the replica did %.1f %% of the lookups in pgbench_accounts.", 100*share)
	if share < 0.9 {
		err = fmt.Errorf("the replica did %.0f of %.0f lookups, fewer than 90 %%", counted[1], counted[0]+counted[1])
	}
	return "$ psql " + d.dsn("penstock") + " -c 'SHOW ROUTES'\n" + shown, err
}

// readBack has clients read what they have just written. Beside it each read
// goes straight to the replica, to show that it would have been stale there.
func (d *demo) readBack(ctx context.Context) (string, error) {
	if _, err := d.psql(ctx, "demo", "-q", "-c", "CREATE TABLE notes (client int, n int)", "-c", "CREATE INDEX ON notes (client, n)"); err != nil {
		return "", err
	}
	replica := d.cluster.Replicas[0]
	if err := errors.Join(d.cluster.CatchUp(ctx), delay(ctx, replica, demoLag)); err != nil {
		return "", err
	}
	direct, err := logIn(ctx, demoDSN(replica.Addr(), "demo"), demoCrowdSize)
	if err != nil {
		return "", err
	}
	defer logOut(ctx, direct)
	var stale, behind atomic.Int64
	crowd, err := gather(ctx, d.dsn("demo"), demoCrowdSize, demoRounds, func(ctx context.Context, c *demoClient) error {
		if _, err := c.query(ctx, demoWriteSQL, c.id, c.round); err != nil {
			return err
		}
		seen, err := c.query(ctx, demoOwnSQL, c.id, c.round)
		if err != nil {
			return err
		}
		if seen != "1" {
			stale.Add(1)
		}
		seen, err = direct[c.id].query(ctx, demoOwnSQL, c.id, c.round)
		if err == nil && seen != "1" {
			behind.Add(1)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	crowd.wait()
	detail := fmt.Sprintf("%d writes, each read back at once by its client: %d stale, %d errors;\n"+
		"the same read, sent past Penstock straight to the replica: %d stale", crowd.count(), stale.Load(), crowd.failed, behind.Load())
	err = errors.Join(crowd.check(), delay(ctx, replica, 0), d.cluster.CatchUp(ctx))
	switch {
	case stale.Load() > 0:
		err = errors.Join(err, fmt.Errorf("%d clients did not see their own write", stale.Load()))
	case behind.Load() == 0:
		err = errors.Join(err, errors.New("the replica was not behind, so this shows nothing"))
	}
	return detail, err
}

// delay has a replica replay commits so much later than they happened.
func delay(ctx context.Context, replica *pgtest.Instance, by time.Duration) error {
	if err := replica.Exec(ctx, "postgres", fmt.Sprintf("ALTER SYSTEM SET recovery_min_apply_delay = %d", by.Milliseconds())); err != nil {
		return err
	}
	return replica.Reload()
}

// readAccount is a reader's work.
func readAccount(ctx context.Context, c *demoClient) error {
	_, err := c.query(ctx, demoReadSQL, 1+(c.id*1000+c.round)%100000)
	return err
}

// writeNote is a writer's work. Clients of earlier crowds have written rows with
// smaller numbers.
func writeNote(ctx context.Context, c *demoClient) error {
	_, err := c.query(ctx, demoWriteSQL, c.id, demoRounds+c.round)
	return err
}

func (d *demo) stopReplica(ctx context.Context) (string, error) {
	readers, err := gather(ctx, d.dsn("demo"), demoCrowdSize, 0, readAccount)
	if err != nil {
		return "", err
	}
	defer readers.stop()
	replica := d.cluster.Replicas[0]
	for _, step := range []func() error{
		func() error { return readers.await(ctx, 1000) },
		func() error { return replica.Stop(pgtest.Immediate) },
		func() error { return readers.await(ctx, 1000) }, // at the primary
		func() error { return replica.Restart(ctx) },
		func() error { return d.awaitReplica(ctx) },
		func() error { return readers.await(ctx, 1000) },
	} {
		if err := step(); err != nil {
			return readers.tell("read"), err
		}
	}
	readers.stop()
	detail := fmt.Sprintf("the replica on port %d: pg_ctl stop -m immediate, and a moment later started again;\n%s",
		replica.Port, readers.tell("read"))
	return detail, readers.check()
}

// switchOver changes the primary as an operator does, and at the end counts on
// the new primary what the clients were told is there.
func (d *demo) switchOver(ctx context.Context) (string, error) {
	begin, err := d.notes(ctx)
	if err != nil {
		return "", err
	}
	writers, err := gather(ctx, d.dsn("demo"), demoCrowdSize, 0, writeNote)
	if err != nil {
		return "", err
	}
	defer writers.stop()
	readers, err := gather(ctx, d.dsn("demo"), demoCrowdSize, 0, readAccount)
	if err != nil {
		return "", err
	}
	defer readers.stop()
	old, next := d.cluster.Primary, d.cluster.Replicas[0]
	var took []string
	timed := func(what string, do func() error) func() error {
		return func() error {
			began := time.Now()
			err := do()
			took = append(took, fmt.Sprintf("%s %d ms", what, time.Since(began).Milliseconds()))
			return err
		}
	}
	for _, step := range []func() error{
		func() error { return errors.Join(writers.await(ctx, 500), readers.await(ctx, 500)) },
		timed("SWITCHOVER", func() error { _, err := d.psql(ctx, "penstock", "-c", "SWITCHOVER demo"); return err }),
		timed("stop", func() error { return old.Stop(pgtest.Fast) }),
		timed("promote", func() error { return d.cluster.Promote(ctx, next) }),
		func() error { return writers.await(ctx, 500) },
		timed("rejoin", func() error { return d.cluster.Rejoin(ctx, old) }),
		func() error { return d.awaitReplica(ctx) },
		func() error { return errors.Join(writers.await(ctx, 500), readers.await(ctx, 500)) },
	} {
		if err := step(); err != nil {
			return strings.Join(took, ", "), errors.Join(err, writers.check(), readers.check())
		}
	}
	writers.stop()
	readers.stop()
	return d.switchedOver(ctx, begin, writers, readers, took)
}

// switchedOver is what came of the switchover.
func (d *demo) switchedOver(ctx context.Context, begin [2]int, writers, readers *demoCrowd, took []string) (string, error) {
	end, err := d.notes(ctx)
	if err != nil {
		return "", err
	}
	hosts, err := d.hosts(ctx)
	if err != nil {
		return "", err
	}
	rows, distinct := end[0]-begin[0], end[1]-begin[1]
	detail := fmt.Sprintf("$ psql %s -c 'SWITCHOVER demo'\n"+
		"then: stop the primary, promote the replica, let the old primary follow it; took\n%s\n%s\n%s\nThe new primary has %d of %d acknowledged writes, %d of them twice.\n%s",
		d.dsn("penstock"), strings.Join(took, ", "), writers.tell("write"), readers.tell("read"),
		distinct, writers.count(), rows-distinct, hosts)
	err = errors.Join(writers.check(), readers.check())
	if rows != writers.count() || distinct != rows {
		err = errors.Join(err, fmt.Errorf("%d writes were acknowledged, %d rows came, %d of them distinct", writers.count(), rows, distinct))
	}
	return detail, err
}

// notes counts, on the primary itself, the rows and the distinct rows.
func (d *demo) notes(ctx context.Context) (counts [2]int, err error) {
	rows, err := d.cluster.Primary.Query(ctx, "demo", "SELECT count(*), count(DISTINCT (client, n)) FROM notes")
	if err != nil {
		return counts, err
	}
	for i := range counts {
		counts[i], _ = strconv.Atoi(rows[0][i])
	}
	return counts, nil
}

// hosts is SHOW HOSTS, as far as it is of interest here.
func (d *demo) hosts(ctx context.Context) (string, error) {
	out, err := d.psql(ctx, "penstock", "--csv", "-c", "SHOW HOSTS")
	if err != nil {
		return "", err
	}
	return pick(out, nil, "host", "role", "up", "timeline", "lag_bytes", "state")
}

// awaitReplica waits until Penstock reads from a replica.
func (d *demo) awaitReplica(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, demoUpkeep)
	defer stop()
	for {
		out, err := d.psql(ctx, "penstock", "--csv", "-c", "SHOW HOSTS")
		if err != nil {
			return err
		}
		up := map[string]string{"role": "replica", "up": "t"}
		if _, err := pick(out, up, "host"); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("penstock does not use the replica:\n%s", out)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
