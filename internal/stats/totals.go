package stats

import "time"

// Totals are the counters PgBouncer shows per database, counted since the
// start. A Totals is also used for averages (see Per): the same fields, then
// meaning events per second and the mean time of one event.
type Totals struct {
	ServerAssignments int64 // times a server connection was linked to a session
	Xacts             int64 // transactions
	Queries           int64 // statements
	Received          int64 // bytes from clients
	Sent              int64 // bytes to clients
	XactTime          time.Duration
	QueryTime         time.Duration
	WaitTime          time.Duration // spent by clients waiting for a server connection
	ClientParses      int64         // prepared statements made by clients
	ServerParses      int64         // prepared statements made by Penstock on servers
	Binds             int64
}

// Add is the sum of t and o, for a database made of several pools.
func (t Totals) Add(o Totals) Totals {
	return Totals{
		ServerAssignments: t.ServerAssignments + o.ServerAssignments,
		Xacts:             t.Xacts + o.Xacts,
		Queries:           t.Queries + o.Queries,
		Received:          t.Received + o.Received,
		Sent:              t.Sent + o.Sent,
		XactTime:          t.XactTime + o.XactTime,
		QueryTime:         t.QueryTime + o.QueryTime,
		WaitTime:          t.WaitTime + o.WaitTime,
		ClientParses:      t.ClientParses + o.ClientParses,
		ServerParses:      t.ServerParses + o.ServerParses,
		Binds:             t.Binds + o.Binds,
	}
}

// Sub is what was counted between o and t.
func (t Totals) Sub(o Totals) Totals {
	return t.Add(Totals{
		ServerAssignments: -o.ServerAssignments,
		Xacts:             -o.Xacts,
		Queries:           -o.Queries,
		Received:          -o.Received,
		Sent:              -o.Sent,
		XactTime:          -o.XactTime,
		QueryTime:         -o.QueryTime,
		WaitTime:          -o.WaitTime,
		ClientParses:      -o.ClientParses,
		ServerParses:      -o.ServerParses,
		Binds:             -o.Binds,
	})
}

// Per turns what was counted during period into PgBouncer's averages: counts
// per second; XactTime the mean length of a transaction, QueryTime of a
// statement, WaitTime of the wait for one server connection. Fractions are cut
// off. A period that is not positive gives zeros.
func (t Totals) Per(period time.Duration) Totals {
	if period <= 0 {
		return Totals{}
	}
	rate := func(n int64) int64 { return int64(float64(n) / period.Seconds()) }
	return Totals{
		ServerAssignments: rate(t.ServerAssignments),
		Xacts:             rate(t.Xacts),
		Queries:           rate(t.Queries),
		Received:          rate(t.Received),
		Sent:              rate(t.Sent),
		XactTime:          mean(t.XactTime, t.Xacts),
		QueryTime:         mean(t.QueryTime, t.Queries),
		WaitTime:          mean(t.WaitTime, t.ServerAssignments),
		ClientParses:      rate(t.ClientParses),
		ServerParses:      rate(t.ServerParses),
		Binds:             rate(t.Binds),
	}
}

func mean(sum time.Duration, n int64) time.Duration {
	if n <= 0 {
		return 0
	}
	return sum / time.Duration(n)
}

// Values are the eleven numbers in the order of PgBouncer's SHOW STATS, times
// in microseconds.
func (t Totals) Values() []any {
	return []any{
		t.ServerAssignments, t.Xacts, t.Queries, t.Received, t.Sent,
		t.XactTime.Microseconds(), t.QueryTime.Microseconds(), t.WaitTime.Microseconds(),
		t.ClientParses, t.ServerParses, t.Binds,
	}
}

// negative reports whether some counter of a difference went backwards, which
// happens when a database is removed and configured again.
func (t Totals) negative() bool {
	return min(t.ServerAssignments, t.Xacts, t.Queries, t.Received, t.Sent,
		int64(t.XactTime), int64(t.QueryTime), int64(t.WaitTime),
		t.ClientParses, t.ServerParses, t.Binds) < 0
}
