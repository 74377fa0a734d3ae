package proxy

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/pool"
	"github.com/penstock/penstock/router"
)

// clusters are those of the databases that have replicas, made when the first
// client comes.
type clusters struct {
	// mu guards the map. Nothing waits under it but for the making of a cluster.
	mu    sync.Mutex
	known map[string]*clusterOf
}

type clusterOf struct {
	*router.Cluster
	hosts string // what it was made of
}

func newClusters() *clusters { return &clusters{known: map[string]*clusterOf{}} }

// cluster returns the cluster of a database, nil where there is nothing to
// choose.
func (s *Server) cluster(database string) (*router.Cluster, error) {
	d := s.database(database)
	if d == nil || !d.Routing.Enabled || len(d.Replicas) == 0 || modeOf(d.Pool.Mode) == modeSession {
		return nil, nil
	}
	c := s.clusters
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.known[database]; known != nil {
		return known.Cluster, nil
	}
	set, err := routingSettings(&d.Routing)
	if err != nil {
		return nil, err
	}
	o := router.ClusterOptions{
		Settings: set, Log: s.log.With("db", database),
		Changed: func(primary int) { s.fence(database, primary) },
		Busy:    func(host int) (open, running int) { return s.busyOn(database, host) },
		Back:    func(host int) { s.retryHost(database, host) },
		End:     func(host int) { s.endOn(database, host) },
	}
	for host := range 1 + len(d.Replicas) {
		cfg, err := monitorLogin(d, database, host)
		if err != nil {
			return nil, fmt.Errorf("host %d of database %q: %w", host, database, err)
		}
		o.Hosts = append(o.Hosts, router.Host{
			Name: hostName(cfg), Weight: weightOf(d, host),
			Connect: func(ctx context.Context) (*pgconn.PgConn, error) { return pgconn.ConnectConfig(ctx, cfg.Copy()) },
		})
	}
	made := &clusterOf{router.NewCluster(o), hostsOf(d)}
	c.known[database] = made
	return made.Cluster, nil
}

// applyClusters gives the clusters their new settings, and closes those whose
// hosts are others now: sessions find the new ones.
func (s *Server) applyClusters() {
	c := s.clusters
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, known := range c.known {
		d := s.database(name)
		if d == nil || !d.Routing.Enabled || hostsOf(d) != known.hosts {
			delete(c.known, name)
			go s.retire(known.Cluster)
			continue
		}
		if set, err := routingSettings(&d.Routing); err == nil {
			known.Apply(set)
		}
	}
}

// retire closes a cluster that has been replaced.
func (s *Server) retire(c *router.Cluster) { c.Close() }

func (s *Server) closeClusters() {
	for _, c := range s.allClusters() {
		c.Close()
	}
}

// allClusters returns the clusters by the names of their databases.
func (s *Server) allClusters() map[string]*router.Cluster {
	s.clusters.mu.Lock()
	defer s.clusters.mu.Unlock()
	all := map[string]*router.Cluster{}
	for name, c := range s.clusters.known {
		all[name] = c.Cluster
	}
	return all
}

// routingSettings turns the configuration into what a cluster goes by.
func routingSettings(r *config.Routing) (router.Settings, error) {
	var list []router.Rule
	for _, rule := range r.Rules {
		target, err := router.ParseTarget(rule.Target)
		if err != nil {
			return router.Settings{}, err
		}
		list = append(list, router.Rule{
			User: rule.Match.User, ApplicationName: rule.Match.ApplicationName,
			Table: rule.Match.Table, Fingerprint: rule.Match.Fingerprint, Target: target,
		})
	}
	rules, err := router.NewRules(list)
	if err != nil {
		return router.Settings{}, err
	}
	return router.Settings{
		Consistency: router.ParseConsistency(r.Consistency), MaxLag: r.MaxLag, CausalWait: r.CausalWait,
		Rules: rules, TrustHints: r.TrustHints, Shadow: r.Shadow,
	}, nil
}

// dsnOf returns the connection string of a host: the primary as configured is
// the first.
func dsnOf(d *config.Database, host int) string {
	if host == 0 {
		return d.Primary
	}
	return d.Replicas[host-1]
}

// weightOf is a host's share of the reads while it is a replica.
func weightOf(d *config.Database, host int) float64 {
	if host == 0 || host > len(d.Weights) {
		return 1
	}
	return float64(d.Weights[host-1])
}

func hostsOf(d *config.Database) string {
	return fmt.Sprintf("%q %q %v %q", d.Primary, d.Replicas, d.Weights, d.Monitor)
}

func hostName(cfg *pgconn.Config) string {
	return net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
}

// monitorLogin is how a host is probed: as the user of monitor, or that of the
// host's connection string.
func monitorLogin(d *config.Database, database string, host int) (*pgconn.Config, error) {
	cfg, err := pgconn.ParseConfig(dsnOf(d, host))
	if err != nil {
		return nil, err
	}
	if !dsnNames(dsnOf(d, host), "dbname") {
		cfg.Database = database
	}
	if d.Monitor != "" {
		m, err := pgconn.ParseConfig(d.Monitor)
		if err != nil {
			return nil, err
		}
		cfg.User, cfg.Password = m.User, m.Password
		if dsnNames(d.Monitor, "dbname") {
			cfg.Database = m.Database
		}
	}
	cfg.RuntimeParams = map[string]string{"application_name": "penstock monitor"}
	return cfg, nil
}

// poolOfHost returns the pool of a database and user on one host of several.
func (s *Server) poolOfHost(database, user string, host int) (*pool.Pool, error) {
	key := pool.Key{Database: database, User: user}
	if host > 0 {
		key.Host = strconv.Itoa(host)
	}
	return s.pools.Pool(key, func() (*pool.Config, error) { return s.poolConfig(key) })
}

// hostIndex is the number of the host that a pool leads to.
func hostIndex(k pool.Key) int {
	n, _ := strconv.Atoi(k.Host)
	return n
}

// newRoute returns what a session needs to be routed, nil where nothing is.
func (s *Server) newRoute(database string, start pool.Settings) (*route, error) {
	c, err := s.cluster(database)
	if c == nil || err != nil {
		return nil, err
	}
	if _, ok := start.Get("synchronous_commit"); ok || mentions(start, "options", "synchronous_commit") {
		c.Unflushed()
	}
	r := &route{cluster: c, pools: make([]*pool.Pool, c.Hosts()), failedOn: -1}
	if wish, ok := start.Get("penstock.target"); ok {
		r.startup, _ = router.ParseTarget(wish)
	}
	return r, nil
}

// mentions says whether a startup parameter's value holds a word.
func mentions(start pool.Settings, name, word string) bool {
	value, _ := start.Get(name)
	return strings.Contains(strings.ToLower(value), word)
}

// observe passes on what a server connection reports of its server's role. It
// is called under a pool's lock.
func (s *Server) observe(database string, host int, standby bool) {
	if !s.clusters.mu.TryLock() {
		return // its monitor will see it, too
	}
	c := s.clusters.known[database]
	s.clusters.mu.Unlock()
	if c != nil {
		c.Observe(host, standby)
	}
}

// fence closes what is open for writing on hosts that are not the primary any
// more: nothing of it may reach them.
func (s *Server) fence(database string, primary int) {
	for _, ss := range s.all() {
		ss.mu.Lock()
		l := ss.link
		stale := ss.database == database && ss.route != nil && l != nil && !l.replica && l.host != primary
		waits := ss.database == database && ss.route != nil && l == nil && hostIndex(ss.pool.Key()) != primary
		ss.mu.Unlock()
		if stale {
			l.conn.Wire().Kill()
		}
		if waits {
			ss.stopWait(errMoved)
		}
	}
	for _, p := range s.pools.All() {
		if k := p.Key(); k.Database == database && hostIndex(k) != primary {
			p.Reconnect()
		}
	}
}

// retryHost has connects to a host tried at once that wait for another time.
func (s *Server) retryHost(database string, host int) {
	for _, p := range s.pools.All() {
		if k := p.Key(); k.Database == database && hostIndex(k) == host {
			p.Retry()
		}
	}
}

// busyOn counts the sessions that a host serves as the primary.
func (s *Server) busyOn(database string, host int) (open, running int) {
	for _, ss := range s.all() {
		ss.mu.Lock()
		l := ss.link
		if ss.database == database && ss.route != nil && l != nil && !l.replica && l.host == host {
			if l.conn.TxStatus == 'I' && !l.begun && ss.pinned == "" {
				running++
			} else {
				open++
			}
		}
		ss.mu.Unlock()
	}
	return open, running
}

// endOn ends the sessions whose transactions are open on a host.
func (s *Server) endOn(database string, host int) {
	for _, ss := range s.all() {
		ss.mu.Lock()
		l := ss.link
		open := ss.database == database && ss.route != nil && l != nil && !l.replica && l.host == host
		ss.mu.Unlock()
		if open {
			l.conn.Wire().Kill()
		}
	}
}

// Routes tells the decisions of all clusters by reason, for a report.
func (s *Server) Routes() string {
	var b strings.Builder
	all := s.allClusters()
	for _, name := range sortedNames(all) {
		c := all[name]
		fmt.Fprintf(&b, "%s:", name)
		for _, reason := range router.Reasons() {
			if p, r := c.Counts(reason); p+r > 0 {
				fmt.Fprintf(&b, " %s=%d/%d", reason, p, r)
			}
		}
		for _, a := range []router.RetryAction{router.RetryNone, router.RetrySameReplica, router.RetryOtherReplica, router.RetryPrimary} {
			if n := c.Healed(a); n > 0 {
				fmt.Fprintf(&b, " healed-%s=%d", a, n)
			}
		}
		for i := range c.Hosts() {
			o, h := c.HostState(i)
			fmt.Fprintf(&b, "; host %d: answered=%v standby=%v up=%v ejected=%v timeline=%d lsn=%s lag=%v/%dB in_flight=%d latency=%v",
				i, o.OK, o.InRecovery, h.Up, h.Ejected, o.Timeline, o.LSN, h.Lag, h.LagBytes, h.InFlight, h.Latency)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// sortedNames are the keys of a map in order.
func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
