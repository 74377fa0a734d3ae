package proxy

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/stats"
	"github.com/penstock/penstock/router"
)

// hostRows are the rows of SHOW HOSTS.
func (t tables) hostRows() [][]any {
	var rows [][]any
	all := t.allClusters()
	for _, name := range sortedNames(all) {
		c, d := all[name], t.database(name)
		view := c.View()
		for host := range c.Hosts() {
			o, h := c.HostState(host)
			var weight any
			if d != nil {
				weight = int(weightOf(d, host))
			}
			rows = append(rows, hostRow(name, c.HostName(host), host, weight, view, &o, &h))
		}
	}
	return rows
}

// hostRow is one host in the columns of SHOW HOSTS. What nobody knows is NULL:
// above all the lag of a primary.
func hostRow(database, name string, host int, weight any, view *router.View, o *router.Observation, h *router.HostState) []any {
	role := roleOf(view, host, o)
	var timeline, lsn, lag, bytes any
	if o.Timeline != 0 {
		timeline = int64(o.Timeline)
	}
	if o.LSN != 0 {
		lsn = o.LSN.String()
	}
	if h.LagKnown {
		lag, bytes = h.Lag.Microseconds(), int64(min(h.LagBytes, math.MaxInt64))
	}
	return []any{
		database, name, role, h.Up || role == rolePrimary && o.OK, h.Ejected, weight, timeline, lsn, lag, bytes,
		h.InFlight, h.Latency.Microseconds(), view.Ruling.Alarm.String(), view.Switch.String(),
	}
}

// The roles of SHOW HOSTS.
const (
	rolePrimary = "primary"
	roleReplica = "replica"
	roleDown    = "down"    // it does not answer
	roleFenced  = "fenced"  // it would take writes and must not
	roleForeign = "foreign" // it belongs to another cluster
)

// roleOf says what a host is. A primary that does not answer stays the primary
// until another is found.
func roleOf(view *router.View, host int, o *router.Observation) string {
	system := view.Ruling.Position.System // 0 without a primary
	switch {
	case host == view.Primary:
		return rolePrimary
	case !o.OK:
		return roleDown
	case view.Ruling.Fenced&(1<<host) == 0:
		return roleReplica
	case o.InRecovery, system != 0 && o.System != system:
		return roleForeign // of its own system a standby is never fenced
	}
	return roleFenced
}

// routeRows are the rows of SHOW ROUTES.
func (t tables) routeRows() [][]any {
	var rows [][]any
	all := t.allClusters()
	for _, name := range sortedNames(all) {
		c := all[name]
		for _, reason := range router.Reasons() {
			if primary, replica := c.Counts(reason); primary+replica > 0 {
				rows = append(rows, []any{name, reason.String(), primary, replica})
			}
		}
		for _, action := range []router.RetryAction{router.RetrySameReplica, router.RetryOtherReplica, router.RetryPrimary} {
			if n := c.Healed(action); n > 0 {
				rows = append(rows, healedRow(name, action, n))
			}
		}
	}
	return rows
}

// healedRow is how many statements were run again in a way, in the columns of
// SHOW ROUTES.
func healedRow(database string, action router.RetryAction, n int64) []any {
	row := []any{database, "healed-" + action.String(), int64(0), n}
	if action == router.RetryPrimary {
		row[2], row[3] = n, int64(0)
	}
	return row
}

// ExplainRoute decides for a fresh session where a text would run. It is the
// console's EXPLAIN ROUTE.
func (t tables) ExplainRoute(db, text string) (stats.Table, error) {
	if db == "" {
		names := sortedNames(t.allClusters())
		if len(names) != 1 {
			return stats.Table{}, needsDatabase(names)
		}
		db = names[0]
	}
	c, err := t.clusterNamed(db)
	if err != nil {
		return stats.Table{}, err
	}
	class := c.Classify(text)
	decision := c.Decide(&class, &router.Session{Rules: c.RulesFor("", "")})
	var hazard, name any
	if decision.Hazard != router.ReasonNone {
		hazard = decision.Hazard.String()
	}
	if class.Name != "" {
		name = class.Name
	}
	var table stats.Table
	table.Append(decision.Target.String(), decision.Reason.String(), hazard, name,
		fmt.Sprintf("%016x", class.Fingerprint), candidates(c, decision.Target))
	return table, nil
}

// needsDatabase is the error of EXPLAIN ROUTE without ON where that is not enough.
func needsDatabase(names []string) error {
	e := &pgerr.Error{
		Code: pgerr.SyntaxError, Message: "EXPLAIN ROUTE needs ON and the name of a database",
		Hint: "No client has come to a database with replicas yet.",
	}
	if len(names) > 0 {
		for i := range names {
			names[i] = pgerr.Name(names[i])
		}
		e.Hint = "Databases with replicas: " + strings.Join(names, ", ") + "."
	}
	return e
}

// candidates are the hosts that a decision leaves, for people: the primary, or
// all others, with what the choice among them goes by.
func candidates(c *router.Cluster, target router.Target) string {
	view := c.View()
	var list []string
	for host := range c.Hosts() {
		if (target == router.TargetReplica) == (host == view.Primary) {
			continue
		}
		o, h := c.HostState(host)
		list = append(list, candidate(c.HostName(host), roleOf(view, host, &o), &o, &h))
	}
	return strings.Join(list, "; ")
}

// candidate is one of them. The score is the expected time of one more
// statement over the host's share, in microseconds: the lower the better.
func candidate(name, role string, o *router.Observation, h *router.HostState) string {
	if role == rolePrimary {
		if o.OK {
			return name + " up"
		}
		return name + " " + roleDown
	}
	state := role
	switch {
	case h.Ejected:
		state = "ejected"
	case h.Up:
		state = "up"
	case role == roleReplica:
		state = roleDown // it was, a moment ago, and is suspected
	}
	lag := "unknown"
	if h.LagKnown {
		lag = fmt.Sprintf("%dB", h.LagBytes)
	}
	return fmt.Sprintf("%s score=%.1f lag=%s %s", name, h.Score/float64(time.Microsecond), lag, state)
}

// clusterNamed returns the cluster of a database that a user of the console has
// named. That of a database in the configuration is made if need be; one that
// only "*" serves must have had a client, so that a slip of the pen watches no
// hosts.
func (s *Server) clusterNamed(db string) (*router.Cluster, error) {
	if c := s.allClusters()[db]; c != nil {
		return c, nil
	}
	if s.database(db) == nil {
		return nil, pgerr.UnknownObject("database", db)
	}
	if s.settings.Load().config.Databases[db] != nil && db != config.Fallback {
		if c, err := s.cluster(db); c != nil || err != nil {
			return c, err
		}
	}
	e := pgerr.NotNow(fmt.Sprintf("database \"%s\" is not routed", pgerr.Name(db)))
	e.Hint = "Routing needs replicas, routing.enabled, and another pool.mode than session."
	return nil, e
}

// SwitchOver holds what would write to a database and returns when nothing runs
// on its primary any more. It is the console's SWITCHOVER.
func (c control) SwitchOver(ctx context.Context, db string) error {
	cluster, err := c.clusterNamed(db)
	if err != nil {
		return err
	}
	var steps []router.SwitchoverState
	outcome := cluster.SwitchOver(ctx, func(state router.SwitchoverState) {
		steps = append(steps, state)
		c.log.Info("switchover", "db", db, "state", state.String())
	})
	return switchedOver(db, steps, outcome)
}

// switchedOver turns the end of [router.Cluster.SwitchOver] into what the
// administrator is told; steps are the states that it went through. No error
// means that the old primary may be stopped now.
func switchedOver(db string, steps []router.SwitchoverState, outcome router.SwitchoverOutcome) error {
	e := pgerr.NotNow(fmt.Sprintf("no switchover of database \"%s\" can be started", pgerr.Name(db)))
	switch {
	case outcome == router.SwitchoverPending && slices.Contains(steps, router.SwitchoverWaiting):
		return nil
	case outcome == router.SwitchoverPending: // SwitchOver was told to wait no longer
		e = pgerr.Canceled()
		e.Detail = "The switchover goes on. SHOW HOSTS tells its state."
	case outcome == router.SwitchoverDone:
		e.Message = "another primary was found before the old one was drained"
		e.Hint = "Writes go to the new primary already: promote no other."
	case len(steps) > 0:
		e.Message = fmt.Sprintf("the switchover of database \"%s\" was given up", pgerr.Name(db))
		e.Hint = "SHOW HOSTS tells who is the primary now."
	default:
		e.Hint = "Either one is under way or there is no primary. SHOW HOSTS tells which."
	}
	return e
}
