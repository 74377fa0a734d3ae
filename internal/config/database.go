package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// databases reads [databases] into c, whose Pool is complete.
func (r *reader) databases(p path, value any, c *Config) {
	t, _ := r.table(p, value)
	for _, name := range slices.Sorted(maps.Keys(t)) {
		at := p.key(name)
		if complaint := databaseName(name); complaint != "" {
			r.problem(at, "%s", complaint)
		}
		if keys, ok := r.table(at, t[name]); ok {
			c.Databases[name] = r.database(at, keys, defaultDatabase(name, c.Pool))
		}
	}
	if value == nil || t != nil && len(t) == 0 {
		r.problem(p, `there is no database; the shortest file is [databases."*"] with primary = "host=..."`)
	}
}

func databaseName(name string) string {
	switch {
	case name == "penstock" || name == "pgbouncer":
		return "this name is the console's; use another and dbname= in primary"
	case !isName(name):
		return "a database's name has 1 to 63 bytes and no control characters"
	}
	return ""
}

// database reads one [databases.NAME] over d.
func (r *reader) database(p path, t map[string]any, d *Database) *Database {
	if t["primary"] == nil {
		r.problem(p.key("primary"), `is missing; write primary = "host=... port=5432"`)
	}
	r.rows(p, t, nil, d, special{
		// Read below in this order, since each depends on the one before.
		"primary":  func(path, any) {},
		"replicas": func(path, any) {},
		"routing":  func(path, any) {},

		"monitor": func(p path, v any) { r.monitor(p, v, d) },
		"pool": func(p path, v any) {
			if keys, ok := r.table(p, v); ok {
				r.rows(p, keys, poolRows(), &d.Pool, nil)
				r.checkPool(p, keys, &d.Pool)
			}
		},
		"cache": func(p path, v any) {
			if keys, ok := r.table(p, v); ok {
				r.rows(p, keys, without(cacheRows(), "rules"), &d.Cache, special{"rules": r.cacheRules(&d.Cache)})
				r.checkCache(p, &d.Cache)
			}
		},
		"slow_log": func(p path, v any) {
			if keys, ok := r.table(p, v); ok {
				r.rows(p, keys, slowLogRows(), &d.SlowLog, nil)
				r.checkSlowLog(p, &d.SlowLog)
			}
		},
	})
	r.servers(p, t, d)
	r.routing(p.key("routing"), t["routing"], d)
	return d
}

// without returns rows except the one called name.
func without(rows []row, name string) []row {
	return slices.DeleteFunc(rows, func(row row) bool { return row.name == name })
}

// servers reads primary and replicas.
func (r *reader) servers(p path, t map[string]any, d *Database) {
	var primary dsn
	if value := t["primary"]; value != nil {
		primary = r.server(p.key("primary"), value)
		if primary["weight"] != "" {
			r.problem(p.key("primary"), "weight: is for replicas")
			delete(primary, "weight")
		}
		primary = primary.withDefaults(d.Name)
		d.Primary = primary.String()
	}
	at := p.key("replicas")
	if t["replicas"] == nil {
		return
	}
	items, ok := t["replicas"].([]any)
	if !ok {
		r.problem(at, `must be a list such as ["host=a", "host=b"]`)
		return
	}
	for i, item := range items {
		replica := r.server(at.item(i), item).inherit(primary).withDefaults(d.Name)
		weight := 1
		if n, err := strconv.Atoi(replica["weight"]); err == nil {
			weight = n
		}
		delete(replica, "weight")
		d.Replicas = append(d.Replicas, replica.String())
		d.Weights = append(d.Weights, weight)
	}
}

// server reads the connection string of one host.
func (r *reader) server(p path, value any) dsn {
	d, errs := r.readDSN(value)
	if len(errs) == 0 && d["host"] == "" {
		errs = append(errs, errors.New("host: is missing; for the server's unix socket write its folder, such as host=/run/postgresql"))
	}
	for _, err := range errs {
		r.problem(p, "%v", err)
	}
	return d
}

// monitor reads a connection string without a host.
func (r *reader) monitor(p path, value any, d *Database) {
	if value == "" {
		return
	}
	m, errs := r.readDSN(value)
	for _, name := range []string{"host", "port", "weight"} {
		if m[name] != "" {
			errs = append(errs, fmt.Errorf("%s: does not belong here, the hosts are those of primary and replicas", name))
		}
	}
	if len(errs) == 0 && m["user"] == "" {
		errs = append(errs, errors.New("user: is missing"))
	}
	for _, err := range errs {
		r.problem(p, "%v", err)
	}
	d.Monitor = m.String()
}

// readDSN takes apart a connection string and fetches what its files hold.
func (r *reader) readDSN(value any) (dsn, []error) {
	text, ok := value.(string)
	if !ok {
		return dsn{}, []error{errors.New("must be a connection string in quotes")}
	}
	d, errs := parseDSN(text, r.env)
	if d == nil {
		d = dsn{}
	}
	for _, k := range keywords() {
		name := d[k.name]
		if !k.file || name == "" || k.name == "sslrootcert" && name == "system" {
			continue
		}
		d[k.name] = resolve(r.dir, name)
		if err := readable(d[k.name]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", k.name, err))
		} else if k.name == "password_file" {
			password, err := readPassword(d[k.name])
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", k.name, err))
			}
			d["password"] = password
		}
	}
	delete(d, "password_file")
	return d, errs
}

// routing reads [databases.NAME.routing]; d's replicas are known.
func (r *reader) routing(p path, value any, d *Database) {
	d.Routing.Enabled = len(d.Replicas) > 0
	asked := false
	if t, ok := r.table(p, value); ok {
		asked = t["enabled"] != nil
		r.rows(p, t, without(routingRows(), "rules"), &d.Routing, special{"rules": r.routingRules(&d.Routing)})
		if d.Routing.Enabled && len(d.Replicas) == 0 {
			r.problem(p.key("enabled"), "there are no replicas to send reads to")
		}
	}
	if !d.Routing.Enabled || d.Monitor != "" || strings.Contains(d.Primary, "user=") || len(d.Replicas) == 0 {
		return
	}
	const why = "the hosts are to be probed, and neither monitor nor primary names a user to do it as"
	if asked {
		r.problem(p.key("enabled"), "%s", why)
		return
	}
	d.Routing.Enabled = false
	r.notice(p[:len(p)-1].key("replicas"), "reads are not routed: %s", why)
}

func (r *reader) routingRules(routing *Routing) func(path, any) {
	return func(p path, value any) {
		r.eachTable(p, value, func(p path, t map[string]any) {
			rule := defaultRoutingRule()
			r.rows(p, t, without(routingRuleRows(), "match"), &rule, special{"match": r.match(&rule.Match)})
			routing.Rules = append(routing.Rules, rule)
		})
	}
}

func (r *reader) cacheRules(cache *Cache) func(path, any) {
	return func(p path, value any) {
		r.eachTable(p, value, func(p path, t map[string]any) {
			rule := defaultCacheRule()
			r.rows(p, t, without(cacheRuleRows(), "match"), &rule, special{"match": r.match(&rule.Match)})
			cache.Rules = append(cache.Rules, rule)
		})
	}
}

func (r *reader) match(m *Match) func(path, any) {
	return func(p path, value any) {
		if t, ok := r.table(p, value); ok {
			r.rows(p, t, matchRows(), m, nil)
		}
	}
}

// eachTable calls read for each element of a list of tables, written as
// [[header]] or inline.
func (r *reader) eachTable(p path, value any, read func(path, map[string]any)) {
	var items []any
	switch v := value.(type) {
	case []map[string]any:
		for _, t := range v {
			items = append(items, t)
		}
	case []any:
		items = v
	default:
		r.problem(p, "must be a list of tables")
	}
	for i, item := range items {
		if t, ok := r.table(p.item(i), item); ok {
			read(p.item(i), t)
		}
	}
}

func list(words []string) string { return strings.Join(words, ", ") }
