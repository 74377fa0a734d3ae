package router

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// monitor watches one host, in a goroutine of its own, over a connection of its
// own. It asks when somebody wants to know, at most once in a millisecond, and
// otherwise now and then.
type monitor struct {
	// Immutable after newMonitor.
	cluster *Cluster
	index   int
	host    Host
	prober  *Prober // of a replica: numbers of reads become positions
	wake    chan struct{}
	shown   *Prober // of a replica: numbers of reads that the primary shows as well

	verify    atomic.Bool   // somebody waits for shown
	epoch     atomic.Uint64 // raised with each connection: the server may be another since
	suspected atomic.Bool
	last      atomic.Int64 // when the last answer was asked for, Unix nanoseconds

	// Owned by watch.
	identity Position // system and timeline
	conn     *pgconn.PgConn
	failures int
	asked    *Prober // whose probe the one under way is
	id       uint64
	flushed  LSN // of a primary
	page     uint64
	segment  uint64

	caught    bool           // nothing was left to replay, so nothing was half replayed
	before    Position       // of the probe before the last that had numbers to cover
	covers    uint64         // by that one
	toPrimary *pgconn.PgConn // of the host primary
	primary   int
}

func newMonitor(c *Cluster, index int, h Host) *monitor {
	return &monitor{cluster: c, index: index, host: h, prober: NewProber(time.Millisecond), shown: NewProber(0), wake: make(chan struct{}, 1)}
}

// How often a host is asked.
const (
	probeIdle    = 500 * time.Millisecond // nobody cares
	probeActive  = 20 * time.Millisecond  // somebody did within the last second
	probeWaiting = time.Millisecond       // somebody waits
	probeSuspect = 50 * time.Millisecond  // it does not answer
	probeLimit   = time.Second            // of one probe
)

// kick has the host asked as soon as that is allowed. Any goroutine may call it.
func (m *monitor) kick() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *monitor) suspect() {
	m.suspected.Store(true)
	m.kick()
}

// fresh says whether the host's position is young enough to rely on.
func (m *monitor) fresh(now time.Time) bool {
	return now.UnixNano()-m.last.Load() < int64(freshEnough)
}

// watch asks until ctx ends.
func (m *monitor) watch(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		kicked := false
		select {
		case <-ctx.Done():
			m.disconnect()
			return
		case <-m.wake:
			kicked = true
		case <-timer.C:
		}
		now := time.Now()
		if since := now.UnixNano() - m.last.Load(); kicked && since < int64(probeWaiting) {
			timer.Reset(probeWaiting - time.Duration(since))
			continue
		}
		m.ask(ctx, now)
		timer.Reset(m.pause(time.Now()))
	}
}

// pause is the time until the next probe that nobody asks for.
func (m *monitor) pause(now time.Time) time.Duration {
	switch {
	case m.failures > 20:
		return probeIdle
	case m.failures > 0:
		return probeSuspect
	case m.cluster.waiting.Load() > 0:
		return probeWaiting
	case now.UnixNano()-m.cluster.active.Load() < int64(time.Second):
		return probeActive
	}
	return probeIdle
}

// ask asks the host once and tells the cluster what it has said.
func (m *monitor) ask(ctx context.Context, now time.Time) {
	ctx, stop := context.WithTimeout(ctx, probeLimit)
	defer stop()
	m.suspected.Store(false)
	o, err := m.probe(ctx, now)
	if err != nil {
		m.disconnect()
		if m.id != 0 {
			m.asked.Failed(m.id)
			m.id = 0
		}
		m.failures++
		if m.failures == 1 {
			m.cluster.log.Warn("host does not answer", "host", m.host.Name, "error", err)
		}
		m.cluster.unanswered(m, err)
		return
	}
	if m.failures > 0 {
		m.cluster.log.Info("host answers again", "host", m.host.Name)
		m.failures = 0
		m.cluster.back(m.index)
	}
	m.cluster.answered(m, o)
	if m.verify.Swap(false) && o.InRecovery {
		m.compare(ctx)
		m.cluster.verified()
	}
}

func (m *monitor) disconnect() {
	m.hangUp()
	if m.conn == nil {
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer stop()
	_ = m.conn.Close(ctx)
	m.conn = nil
}

// probe asks. The numbers of commits and reads that it covers are those given
// before it is sent.
func (m *monitor) probe(ctx context.Context, now time.Time) (Observation, error) {
	if m.conn == nil {
		if err := m.connect(ctx); err != nil {
			return Observation{}, err
		}
	}
	m.asked = m.prober
	if m.cluster.view.Load().Primary == m.index {
		m.asked = m.cluster.prober
	}
	m.id, _ = m.asked.Begin(now)
	r := m.conn.ExecPrepared(ctx, probeName, nil, nil, nil).Read()
	if r.Err != nil {
		return Observation{}, r.Err
	}
	if len(r.Rows) != 1 || len(r.Rows[0]) != 6 {
		return Observation{}, errors.New("not one row in answer to a probe")
	}
	m.last.Store(now.UnixNano())
	lsn, err := ParseLSN(string(r.Rows[0][1]))
	if err != nil {
		return Observation{}, err
	}
	if m.flushed, err = ParseLSN(string(r.Rows[0][3])); err != nil {
		return Observation{}, err
	}
	lsn, m.flushed = lsn.End(m.page, m.segment), m.flushed.End(m.page, m.segment)
	received, err := ParseLSN(string(r.Rows[0][4]))
	if err != nil {
		return Observation{}, err
	}
	m.caught = string(r.Rows[0][5]) == "t" && received > 0 && lsn >= received
	o := Observation{Host: m.index, OK: true, System: m.identity.System, InRecovery: string(r.Rows[0][0]) == "t", LSN: lsn, At: now}
	if timeline, err := strconv.ParseUint(string(r.Rows[0][2]), 16, 32); err == nil && timeline > 0 {
		m.identity.Timeline = uint32(timeline)
	}
	o.Timeline = m.identity.Timeline
	return o, nil
}

const probeName = "penstock_probe"

// probeSQL: whether it is a standby; how far it is; on what timeline, in
// hexadecimal, that of a standby being what it receives; and how far a primary
// has flushed, since what it has only inserted may wait there for seconds until
// it is sent, and is no lag of its replicas; and what a standby had received
// before it was asked for its replay position, and whether it streams.
const probeSQL = `SELECT r, CASE WHEN r THEN coalesce(pg_catalog.pg_last_wal_replay_lsn(), pg_catalog.pg_last_wal_receive_lsn(), '0/0') ELSE pg_catalog.pg_current_wal_insert_lsn() END,
 CASE WHEN r THEN (SELECT pg_catalog.to_hex(w.received_tli) FROM pg_catalog.pg_stat_get_wal_receiver() w WHERE w.received_tli > 0)
 ELSE pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8) END,
 CASE WHEN r THEN '0/0' ELSE pg_catalog.pg_current_wal_flush_lsn() END,
 coalesce(received, '0/0'),
 r AND EXISTS (SELECT FROM pg_catalog.pg_stat_get_wal_receiver() w WHERE w.status = 'streaming')
 FROM (SELECT pg_catalog.pg_is_in_recovery() AS r, pg_catalog.pg_last_wal_receive_lsn() AS received OFFSET 0) s`

const identitySQL = `SELECT s.system_identifier, c.timeline_id, i.wal_block_size, i.bytes_per_wal_segment
 FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c, pg_catalog.pg_control_init() i`

// Sizes of the headers in front of the records of a page of the WAL, and of the
// first page of a segment: xlog_internal.h.
const (
	pageHeader    = 24
	segmentHeader = 40
)

// End returns the end of the last record for the position at which the next one
// is to be inserted: where that is behind the header of an empty page, the end
// of the page before, which is what a standby reports.
func (l LSN) End(page, segment uint64) LSN {
	switch {
	case page == 0 || segment == 0:
		return l
	case uint64(l)%segment == segmentHeader:
		return l - segmentHeader
	case uint64(l)%segment > page && uint64(l)%page == pageHeader:
		return l - pageHeader
	}
	return l
}

// connect opens a connection and asks who it is that answers.
func (m *monitor) connect(ctx context.Context) error {
	conn, err := m.host.Connect(ctx)
	if err != nil {
		return err
	}
	m.conn = conn
	results, err := conn.Exec(ctx, identitySQL).ReadAll()
	if err != nil || len(results) != 1 || len(results[0].Rows) != 1 {
		return fmt.Errorf("ask for the system identifier: %w", errors.Join(err, errNotOne))
	}
	row := results[0].Rows[0]
	system, err := strconv.ParseUint(string(row[0]), 10, 64)
	if err != nil {
		return err
	}
	timeline, err := strconv.ParseUint(string(row[1]), 10, 32)
	if err != nil {
		return err
	}
	if m.page, err = strconv.ParseUint(string(row[2]), 10, 32); err != nil {
		return err
	}
	if m.segment, err = strconv.ParseUint(string(row[3]), 10, 64); err != nil {
		return err
	}
	if _, err := conn.Prepare(ctx, probeName, probeSQL, nil); err != nil {
		return err
	}
	// The checkpoint's timeline is old news on a standby that has followed a promotion.
	if m.identity.System != system || m.identity.Timeline < uint32(timeline) {
		m.identity = Position{System: system, Timeline: uint32(timeline)}
	}
	m.epoch.Add(1)
	m.cluster.balancer.Forget(m.index)
	return nil
}

const errNotOne = probeError("not one row")

type probeError string

func (e probeError) Error() string { return string(e) }
