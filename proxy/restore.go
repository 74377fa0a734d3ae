package proxy

import (
	"strings"

	"github.com/penstock/penstock/internal/sqlscan"
	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/pool"
)

// RESET, RESET ALL, DISCARD ALL and SET TO DEFAULT go back to what a session
// was started with: on PostgreSQL the startup packet's values. Our server
// connections were started with other values than the client's, so behind such
// a statement we set the client's again, before it hears ReadyForQuery. It is
// done in the same transaction, and falls with it.

// restore says what is to be set again at the next ReadyForQuery.
type restore struct {
	names   pool.Settings // what to set, from the session's startup values
	held    bool          // ReadyForQuery is held back until it is set
	running bool          // it is being set
}

func (r *restore) pending() bool { return r.names != pool.Settings{} }

// noteReset notes what a statement has reset that the client had given at
// startup. mu is held.
func (s *session) noteReset(l *link, r *reply, tag []byte) {
	if s.start == (pool.Settings{}) || s.phase == phaseGone {
		return
	}
	switch {
	case string(tag) == "DISCARD ALL", string(tag) == "RESET" && r.effect == sqlscan.ResetAll:
		l.restore.names = s.start
	case r.effect == sqlscan.Reset && (string(tag) == "RESET" || string(tag) == "SET"):
		if value, ok := s.start.Get(r.name); ok {
			l.restore.names = l.restore.names.With(r.name, value)
		}
	}
}

// holds says whether a ReadyForQuery is to wait until the startup values are
// back. mu is held.
func (d *digester) holds() bool {
	l := d.l
	l.restore.held = l.restore.pending() && l.replies.len() == 0 && !l.open && l.conn.TxStatus != 'E'
	return l.restore.held
}

// letGo tells the client ReadyForQuery after all: it has sent more before the
// restoring could begin. The rest is done at the next occasion.
func (d *digester) letGo() {
	d.flush()
	d.out = wire.AppendReady(d.out, d.l.conn.TxStatus)
	d.l.restore.held = false
}

// restoreNow sets the startup values again, on a server that waits for a
// query. mu is held.
func (s *session) restoreNow(l *link) {
	var calls []string
	for name, value := range l.restore.names.All {
		calls = append(calls, setConfig(name, value))
		if extra, unreported := s.startExtra.Get(name); unreported {
			s.extra = s.extra.With(name, extra)
			l.conn.Extra = l.conn.Extra.With(name, extra)
		}
	}
	l.restore = restore{running: true}
	s.inject(l, "SELECT "+strings.Join(calls, ","))
}

// restored tells the client what is different now, and that it may go on.
func (d *digester) restored() {
	s, l := d.s, d.l
	l.restore.running = false
	d.flush()
	for name, have := range l.conn.Vars.All {
		if known, ok := s.vars.Get(name); !ok || known != have {
			s.vars = s.vars.With(name, have)
			d.out = wire.AppendParameterStatus(d.out, name, have)
		}
	}
	d.out = wire.AppendReady(d.out, l.conn.TxStatus)
}
