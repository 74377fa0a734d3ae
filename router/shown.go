package router

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A standby shows a transaction before its replay position has passed the
// commit record: the position is raised when the record is done with
// (xlogrecovery.c, ApplyWalRecord), and the record of a commit may have files to
// drop. And it may show one before the primary does, where the committing process
// has flushed and not yet told the others, above all while it waits for a
// synchronous standby. A session must be sent back behind neither.

// replayed takes the position of a standby for the numbers of the reads that
// were answered before its probe was sent. It covers what they have seen if no
// record was in progress then: nothing was left to replay, or the position has
// moved since another probe that was sent after them.
func (m *monitor) replayed(at Position) {
	asked := m.asked.Asked()
	switch {
	case m.caught:
		m.asked.Done(m.id, at)
	case m.before.Comparable(at) && at.LSN > m.before.LSN && m.covers > 0:
		m.asked.DoneUpTo(m.id, m.covers, at)
	default:
		m.asked.Failed(m.id)
	}
	m.before, m.covers = at, asked
}

// compare finds out whether the primary shows everything that this standby showed
// before: none of the transactions in progress there is committed here.
func (m *monitor) compare(ctx context.Context) {
	id, _ := m.shown.Begin(time.Now())
	if id == 0 {
		return
	}
	open, err := m.openOnPrimary(ctx)
	if err != nil {
		m.hangUp()
		m.shown.Failed(id)
		return
	}
	if open != "" {
		committed, err := value(ctx, m.conn, strings.ReplaceAll(committedSQL, "XIDS", open))
		if err != nil || committed != "0" {
			m.shown.Failed(id)
			return
		}
	}
	m.shown.Done(id, Position{LSN: 1})
}

const openSQL = `SELECT pg_catalog.array_to_string(pg_catalog.array_agg(x), ',') FROM pg_catalog.pg_snapshot_xip(pg_catalog.pg_current_snapshot()) x`

// committedSQL counts which of the transactions XIDS are committed. Those that a
// standby has not heard of yet are not.
const committedSQL = `SELECT pg_catalog.count(*) FROM pg_catalog.unnest('{XIDS}'::pg_catalog.xid8[]) x
 WHERE CASE WHEN x < pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot()) THEN pg_catalog.pg_xact_status(x) = 'committed' END`

// openOnPrimary returns the transactions in progress on the primary, with commas.
func (m *monitor) openOnPrimary(ctx context.Context) (string, error) {
	primary := m.cluster.view.Load().Primary
	if primary < 0 {
		return "", errNotOne
	}
	if m.primary != primary {
		m.hangUp()
		m.primary = primary
	}
	if m.toPrimary == nil {
		conn, err := m.cluster.hosts[primary].host.Connect(ctx)
		if err != nil {
			return "", err
		}
		m.toPrimary = conn
	}
	return value(ctx, m.toPrimary, openSQL)
}

// hangUp closes the connection to the primary: it may be another one now.
func (m *monitor) hangUp() {
	if m.toPrimary == nil {
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer stop()
	_ = m.toPrimary.Close(ctx)
	m.toPrimary = nil
}

// value is the only value of a query's answer.
func value(ctx context.Context, conn *pgconn.PgConn, sql string) (string, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	switch {
	case err != nil:
		return "", err
	case len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 1:
		return "", errNotOne
	}
	return string(results[0].Rows[0][0]), nil
}

// verified tells those who wait that a standby has been compared with the
// primary. Where the primary is behind they ask again.
func (c *Cluster) verified() {
	c.mu.Lock()
	c.tellProbed()
	c.mu.Unlock()
}
