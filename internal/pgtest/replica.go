package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// AddReplica makes a streaming replica of the primary from an online backup and
// waits until it streams.
//
// The backup is a copy of the data folder between pg_backup_start and _stop, on
// every version: PostgreSQL bundles without pg_basebackup exist, and a copy by
// the file system is faster than one through a socket.
func (c *Cluster) AddReplica(ctx context.Context) (*Instance, error) {
	c.mu.Lock()
	name := fmt.Sprintf("replica%d", len(c.all))
	c.mu.Unlock()
	r, err := c.newInstance(name, c.Primary)
	if err != nil {
		return nil, err
	}
	if err := c.Primary.backup(ctx, r.DataDir); err != nil {
		return nil, fmt.Errorf("back up %s for %s: %w", c.Primary.Name, name, err)
	}
	if err := r.startFirst(ctx); err != nil {
		return nil, err
	}
	if err := c.waitStreaming(ctx, r); err != nil {
		return nil, err
	}
	c.Replicas = append(c.Replicas, r)
	return r, nil
}

// backup copies the data folder of a running server to dst.
// Manual, Continuous Archiving, Making a Base Backup Using the Low Level API.
func (i *Instance) backup(ctx context.Context, dst string) error {
	conn, err := i.connect(ctx, "postgres") // a backup ends with its session
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))

	start, stop := "pg_backup_start('pgtest', true)", "pg_backup_stop(false)"
	if i.cluster.Version < 15 {
		start, stop = "pg_start_backup('pgtest', true, false)", "pg_stop_backup(false, false)"
	}
	if _, err := conn.Exec(ctx, "SELECT "+start).ReadAll(); err != nil {
		return err
	}
	o := i.cluster.owner
	if _, err := copyTree(ctx, i.DataDir, dst, o, notInBackup); err != nil {
		return err
	}
	label, err := queryValue(ctx, conn, "SELECT labelfile FROM "+stop)
	if err != nil {
		return err
	}
	return o.writeFile(filepath.Join(dst, "backup_label"), []byte(label), 0o600)
}

// notInBackup says which files belong to the running server alone. The replica
// gets its WAL by streaming.
func notInBackup(rel string) bool {
	switch rel {
	case "postmaster.pid", "postmaster.opts", "backup_label", "standby.signal":
		return true
	}
	top, _, below := strings.Cut(rel, string(filepath.Separator))
	return below && slices.Contains([]string{
		"pg_wal", "pg_replslot", "pg_dynshmem", "pg_notify",
		"pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans",
	}, top)
}

func (c *Cluster) waitStreaming(ctx context.Context, r *Instance) error {
	sql := "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = " + quoteLiteral(r.Name)
	if err := c.Primary.waitValue(ctx, sql, "1"); err != nil {
		return fmt.Errorf("%s does not stream: %w\n%s", r.Name, err, lastLines(r.Log(), 15))
	}
	return nil
}

// CatchUp waits until every running replica has replayed all that the primary
// had written when it was called.
func (c *Cluster) CatchUp(ctx context.Context) error {
	rows, err := c.Primary.Query(ctx, "postgres", "SELECT pg_current_wal_lsn()")
	if err != nil {
		return err
	}
	sql := "SELECT pg_last_wal_replay_lsn() >= " + quoteLiteral(rows[0][0])
	for _, r := range c.Replicas {
		if r.Pid() == 0 {
			continue
		}
		if err := r.waitValue(ctx, sql, "t"); err != nil {
			return fmt.Errorf("%s does not catch up: %w", r.Name, err)
		}
	}
	return nil
}

// Promote makes a replica the primary, waits until it takes writes, and points
// the other replicas to it. The old primary is left as it is, running or not,
// and belongs to the cluster only for Stop, Rejoin and Rebuild.
func (c *Cluster) Promote(ctx context.Context, i *Instance) error {
	n := slices.Index(c.Replicas, i)
	if n < 0 {
		return fmt.Errorf("promote %s: not a replica of this cluster", i.Name)
	}
	if err := i.Exec(ctx, "postgres", "SELECT pg_promote(true, 60)"); err != nil {
		return err
	}
	if err := i.waitValue(ctx, "SELECT pg_is_in_recovery()", "f"); err != nil {
		return fmt.Errorf("promote %s: %w\n%s", i.Name, err, lastLines(i.Log(), 15))
	}
	i.upstream = nil
	c.Primary = i
	c.Replicas = slices.Delete(slices.Clone(c.Replicas), n, n+1)

	for _, r := range c.Replicas {
		r.upstream = i
		if err := errors.Join(r.writeConfig(), r.Reload()); err != nil {
			return err
		}
		if r.Pid() == 0 {
			continue
		}
		if err := c.waitStreaming(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// Rejoin makes a server that was left behind by Promote a standby of the
// present primary, on its old port, and waits until it streams. Its data must be
// a prefix of the primary's, as after a shutdown that all replicas have seen
// (Fast, before Promote); Rebuild does without that. It is shut down first if it
// runs.
func (c *Cluster) Rejoin(ctx context.Context, i *Instance) error {
	if err := c.canFollow(i); err != nil {
		return err
	}
	if err := i.Stop(Fast); err != nil {
		return err
	}
	return c.follow(ctx, i)
}

// Rebuild makes a server a standby of the present primary, on its old port, with
// a new copy of the primary's data in place of its own: that may have gone
// another way, or the server may have been killed.
func (c *Cluster) Rebuild(ctx context.Context, i *Instance) error {
	if err := c.canFollow(i); err != nil {
		return err
	}
	if err := i.Kill(); err != nil {
		return err
	}
	removeSharedMemory(i.DataDir)
	if err := os.RemoveAll(i.DataDir); err != nil {
		return err
	}
	if err := c.Primary.backup(ctx, i.DataDir); err != nil {
		return fmt.Errorf("back up %s for %s: %w", c.Primary.Name, i.Name, err)
	}
	return c.follow(ctx, i)
}

func (c *Cluster) canFollow(i *Instance) error {
	if i == c.Primary || !slices.Contains(c.instances(), i) {
		return fmt.Errorf("%s cannot follow %s", i.Name, c.Primary.Name)
	}
	return nil
}

// follow starts a server that is down as a standby of the primary.
func (c *Cluster) follow(ctx context.Context, i *Instance) error {
	i.upstream = c.Primary
	if err := errors.Join(i.writeConfig(), i.start(ctx)); err != nil {
		return err
	}
	if err := c.waitStreaming(ctx, i); err != nil {
		return err
	}
	if !slices.Contains(c.Replicas, i) {
		c.Replicas = append(slices.Clone(c.Replicas), i)
	}
	return nil
}

// Demote restarts the primary as a standby of its first replica. Until Promote
// there is nobody who takes writes: Primary is still the one that was, and one
// of Replicas, too.
func (c *Cluster) Demote(ctx context.Context) error {
	old := c.Primary
	if len(c.Replicas) == 0 || slices.Contains(c.Replicas, old) {
		return fmt.Errorf("demote %s: it has nobody to follow", old.Name)
	}
	if err := old.Stop(Fast); err != nil {
		return err
	}
	old.upstream = c.Replicas[0]
	if err := errors.Join(old.writeConfig(), old.start(ctx)); err != nil {
		return err
	}
	c.Replicas = append(slices.Clone(c.Replicas), old)
	return nil
}

// waitValue waits until sql answers want.
func (i *Instance) waitValue(ctx context.Context, sql, want string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	conn, err := i.connect(ctx, "postgres")
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := queryValue(ctx, conn, sql)
		if err != nil {
			return err
		}
		if got == want {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w; %s still answers %q", context.Cause(ctx), sql, got)
		}
	}
}

// queryValue returns the first column of the first row.
func queryValue(ctx context.Context, conn *pgconn.PgConn, sql string) (string, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", err
	}
	if len(results) == 0 || len(results[0].Rows) == 0 {
		return "", fmt.Errorf("%s: no rows", sql)
	}
	return string(results[0].Rows[0][0]), nil
}
