package proxy

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/admin"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/stats"
	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/pool"
)

// tables is the console's view of a Server: the rows of each SHOW, in the
// order of the columns in internal/admin/columns.go.
type tables struct{ *Server }

// Table returns the rows of SHOW name.
func (t tables) Table(name string) (stats.Table, error) {
	var rows [][]any
	switch name {
	case "pools":
		rows = t.poolRows()
	case "clients":
		rows = t.clientRows(false)
	case "servers":
		rows = t.serverRows(false)
	case "sockets", "active_sockets":
		rows = append(t.clientRows(true), t.serverRows(true)...)
	case "databases":
		rows = t.databaseRows()
	case "users":
		rows = t.userRows()
	case "stats", "stats_totals", "stats_averages":
		rows = t.statsRows(name)
	case "totals":
		all := t.totals()
		rows = admin.TotalsRows(sum(all), t.averages.OfAll(time.Now(), all))
	case "lists":
		rows = t.listRows()
	case "config":
		rows = t.configRows()
	case "state":
		rows = t.stateRows()
	case "mem":
		rows = memRows()
	case "pins":
		rows = t.pinRows()
	case "hosts":
		rows = t.hostRows()
	case "routes":
		rows = t.routeRows()
	case "penstock":
		rows = [][]any{
			{"version", t.version},
			{"go", runtime.Version()},
			{"pid", strconv.Itoa(os.Getpid())},
			{"uptime", t.clock().Truncate(time.Second).String()},
			{"statements", strconv.Itoa(t.statements.len())},
			{"goroutines", strconv.Itoa(runtime.NumGoroutine())},
		}
	case "peers", "peer_pools", "dns_hosts", "dns_zones", "fds":
	default:
		return stats.Table{}, pgerr.UnknownObject("table", name)
	}
	return stats.Table{Rows: rows}, nil
}

func (s *Server) totals() map[string]stats.Totals {
	all := map[string]stats.Totals{}
	for _, p := range s.pools.All() {
		all[p.Key().Database] = all[p.Key().Database].Add(p.Totals())
	}
	return all
}

func sum(all map[string]stats.Totals) stats.Totals {
	var t stats.Totals
	for _, v := range all {
		t = t.Add(v)
	}
	return t
}

func (t tables) statsRows(name string) [][]any {
	all := t.totals()
	names := make([]string, 0, len(all))
	for db := range all {
		names = append(names, db)
	}
	sort.Strings(names)
	now := time.Now()
	var rows [][]any
	for _, db := range names {
		average := t.averages.Of(now, db, all[db])
		switch name {
		case "stats":
			rows = append(rows, admin.StatsRow(db, all[db], average))
		case "stats_totals":
			rows = append(rows, admin.StatsTotalsRow(db, all[db]))
		default:
			rows = append(rows, admin.StatsTotalsRow(db, average))
		}
	}
	return rows
}

func (t tables) poolRows() [][]any {
	type counts struct{ active, waiting int }
	clients := map[*pool.Pool]counts{}
	for _, s := range t.all() {
		s.mu.Lock()
		n := clients[s.pool]
		if s.phase == phaseWaiting {
			n.waiting++
		} else {
			n.active++
		}
		clients[s.pool] = n
		s.mu.Unlock()
	}
	var rows [][]any
	for _, p := range t.pools.All() {
		v, n := p.Snapshot(), clients[p]
		rows = append(rows, []any{
			v.Key.Database, v.Key.User, n.active, n.waiting, v.ActiveCancel, 0,
			v.Active, v.ActiveCancel, v.BeingCanceled, v.Idle, 0, 0, v.Login,
			int(v.MaxWait / time.Second), int(v.MaxWait % time.Second / time.Microsecond), v.Config.Mode, nil,
		})
	}
	return rows
}

// split returns the address and port of a socket's end.
func split(a net.Addr) (string, int) {
	if a == nil {
		return "", 0
	}
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.IP.String(), tcp.Port
	}
	return "unix", 0
}

// tlsName is the column tls: the version and cipher suite, "" for plain text.
func tlsName(c *wire.Conn) string {
	state, ok := c.TLS()
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s/%s", tlsVersion(state.Version), tlsCipher(state.CipherSuite))
}

func buffersRow(detailed bool, row []any) []any {
	if detailed {
		row = append(row, 0, 0, 0, 0, 0, 0, 0)
	}
	return row
}

func (t tables) clientRows(detailed bool) [][]any {
	now := t.clock()
	list := t.all()
	slices.SortFunc(list, func(a, b *session) int { return int(a.id - b.id) })
	rows := make([][]any, 0, len(list))
	for _, s := range list {
		addr, port := split(s.client.RemoteAddr())
		local, localPort := split(s.client.LocalAddr())
		s.mu.Lock()
		var wait time.Duration
		if s.phase == phaseWaiting {
			wait = now - s.since
		}
		link, pid := "", 0
		if s.link != nil {
			link, pid = fmt.Sprintf("s%d", s.link.conn.ID), int(s.link.conn.PID)
		}
		name, _ := s.vars.Get("application_name")
		state, prepared, since := s.phase.String(), len(s.statements), t.epoch.Add(s.since)
		ending := s.ending != nil
		s.mu.Unlock()
		rows = append(rows, buffersRow(detailed, []any{
			"C", s.user, s.database, "none", state, addr, port, local, localPort,
			s.connectedAt, since, int(wait / time.Second), int(wait % time.Second / time.Microsecond), ending,
			fmt.Sprintf("c%d", s.id), link, pid, tlsName(s.client), name, prepared, s.id,
		}))
	}
	return rows
}

func (t tables) serverRows(detailed bool) [][]any {
	links := map[*pool.Conn]*session{}
	prepared := map[*pool.Conn]int{}
	for _, s := range t.all() {
		s.mu.Lock()
		if s.link != nil {
			links[s.link.conn] = s
			prepared[s.link.conn] = s.link.prepared.len()
		}
		s.mu.Unlock()
	}
	var rows [][]any
	for _, p := range t.pools.All() {
		infos := p.Info()
		slices.SortFunc(infos, func(a, b pool.Info) int { return int(a.Conn.ID) - int(b.Conn.ID) })
		for _, i := range infos {
			c := i.Conn
			addr, port := split(c.Wire().RemoteAddr())
			local, localPort := split(c.Wire().LocalAddr())
			link, name := "", ""
			if s := links[c]; s != nil {
				link = fmt.Sprintf("c%d", s.id)
			}
			rows = append(rows, buffersRow(detailed, []any{
				"S", p.Key().User, p.Key().Database, "none", i.State, addr, port, local, localPort,
				c.ConnectedAt, i.IdleSince, 0, 0, i.Closing, fmt.Sprintf("s%d", c.ID), link, int(c.PID), tlsName(c.Wire()),
				name, prepared[c], int(c.ID),
			}))
		}
	}
	return rows
}

func (t tables) pinRows() [][]any {
	var rows [][]any
	for _, s := range t.all() {
		addr, _ := split(s.client.RemoteAddr())
		s.mu.Lock()
		if s.pinned != "" && s.link != nil {
			rows = append(rows, []any{
				s.id, s.database, s.user, addr, string(s.pinned),
				stats.FormatTime(t.epoch.Add(s.xactSince)), int(s.link.conn.PID),
			})
		}
		s.mu.Unlock()
	}
	return rows
}

func (t tables) databaseRows() [][]any {
	dbs := t.settings.Load().config.Databases
	names := make([]string, 0, len(dbs))
	for name := range dbs {
		names = append(names, name)
	}
	sort.Strings(names)
	var rows [][]any
	for _, name := range names {
		d := dbs[name]
		host, port, dbname, user := serverOf(d)
		servers, _ := t.pools.Count(name, "")
		clients := 0
		for _, s := range t.all() {
			if s.database == name {
				clients++
			}
		}
		rows = append(rows, []any{
			name, host, port, dbname, user, d.Pool.Size, d.Pool.MinSize, d.Pool.ReserveSize,
			int(d.Pool.Lifetime / time.Second), d.Pool.Mode, nil, d.Pool.MaxDBConnections, servers, 0, clients,
			t.isPaused(name), t.isDisabled(name),
		})
	}
	return rows
}

// serverOf names the server of a database as SHOW DATABASES does.
func serverOf(d *config.Database) (host string, port int, dbname, user any) {
	cfg, err := pgconn.ParseConfig(d.Primary)
	if err != nil {
		return "", 0, nil, nil
	}
	dbname = d.Name
	if dsnNames(d.Primary, "dbname") {
		dbname = cfg.Database
	}
	if dsnNames(d.Primary, "user") {
		user = cfg.User
	}
	return cfg.Host, int(cfg.Port), dbname, user
}

func (t tables) userRows() [][]any {
	clients := map[string]int{}
	users := t.settings.Load().users.Names()
	for _, s := range t.all() {
		clients[s.user]++
		if !slices.Contains(users, s.user) {
			users = append(users, s.user)
		}
	}
	sort.Strings(users)
	cfg := t.settings.Load().config.Pool
	var rows [][]any
	for _, u := range users {
		_, servers := t.pools.Count("", u)
		rows = append(rows, []any{u, nil, nil, nil, cfg.MaxUserConnections, servers, 0, clients[u]})
	}
	return rows
}

func (t tables) listRows() [][]any {
	idle, used := 0, 0
	pools := t.pools.All()
	for _, p := range pools {
		v := p.Snapshot()
		idle += v.Idle
		used += v.Total - v.Idle
	}
	cfg := t.settings.Load()
	return [][]any{
		{"databases", len(cfg.config.Databases)},
		{"users", len(cfg.users.Names())},
		{"peers", 0},
		{"pools", len(pools)},
		{"peer_pools", 0},
		{"free_clients", 0},
		{"used_clients", t.Clients()},
		{"login_clients", t.logins.len()},
		{"free_servers", idle},
		{"used_servers", used},
		{"dns_names", 0},
		{"dns_zones", 0},
		{"dns_queries", 0},
		{"dns_pending", 0},
	}
}

// configRows are the settings, and behind them those of PgBouncer's names that
// monitors look for.
func (t tables) configRows() [][]any {
	cfg := t.settings.Load().config
	var rows [][]any
	for _, s := range cfg.Settings() {
		changeable := "yes"
		if s.Effect == config.Restart {
			changeable = "no"
		}
		rows = append(rows, []any{s.Key, s.Value, s.Default, changeable})
	}
	seconds := func(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
	def := config.Default()
	for _, s := range [][3]string{
		{"max_client_conn", strconv.Itoa(cfg.Listen.MaxClients), strconv.Itoa(def.Listen.MaxClients)},
		{"default_pool_size", strconv.Itoa(cfg.Pool.Size), strconv.Itoa(def.Pool.Size)},
		{"min_pool_size", strconv.Itoa(cfg.Pool.MinSize), strconv.Itoa(def.Pool.MinSize)},
		{"reserve_pool_size", strconv.Itoa(cfg.Pool.ReserveSize), strconv.Itoa(def.Pool.ReserveSize)},
		{"max_db_connections", strconv.Itoa(cfg.Pool.MaxDBConnections), "0"},
		{"max_user_connections", strconv.Itoa(cfg.Pool.MaxUserConnections), "0"},
		{"pool_mode", cfg.Pool.Mode, def.Pool.Mode},
		{"query_wait_timeout", seconds(cfg.Pool.QueryWaitTimeout), seconds(def.Pool.QueryWaitTimeout)},
		{"log_pooler_errors", "1", "1"},
	} {
		rows = append(rows, []any{s[0], s[1], s[2], "yes"})
	}
	return rows
}

func (t tables) stateRows() [][]any {
	yes := map[bool]string{true: "yes", false: "no"}
	paused := t.isPaused("")
	t.mu.Lock()
	suspended := t.suspended
	t.mu.Unlock()
	return [][]any{{"active", yes[!paused && !suspended]}, {"paused", yes[paused]}, {"suspended", yes[suspended]}}
}

func memRows() [][]any {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return [][]any{
		{"heap", 1, int(m.HeapInuse), int(m.HeapIdle), int(m.HeapSys)},
		{"stacks", 1, int(m.StackInuse), int(m.StackSys - m.StackInuse), int(m.StackSys)},
	}
}
