package config

func databaseRows() []row {
	return []row{
		{name: "primary", effect: NewConnections, dsn: true, doc: "Connection string of the server: keyword/value or postgres:// URL, one host. Must name a host; port is 5432 and dbname the database's own name unless given. Without a user, clients' own names are used. The password may stand in `password_file=/path` or `password=${VARIABLE}`.", field: of(func(d *Database) any { return &d.Primary })},
		{name: "replicas", effect: NewConnections, dsn: true, doc: "Connection strings of the replicas, in order. What one does not name, except host and port, is taken from `primary`. `weight=2` gives a replica twice the share.", field: of(func(d *Database) any { return replicaList{d} })},
		{name: "monitor", effect: NewConnections, dsn: true, doc: "User and password for Penstock's own probes, as keyword/value without a host; empty = the user in `primary`.", field: of(func(d *Database) any { return &d.Monitor })},
	}
}

func routingRows() []row {
	return []row{
		{name: "enabled", effect: Live, doc: "Send reads to replicas. Default: true when replicas are given.", field: of(func(r *Routing) any { return &r.Enabled })},
		{name: "consistency", effect: Live, values: []string{"eventual", "session", "strong"}, doc: "What a client sees of writes: `session` its own, `strong` everybody's.", field: of(func(r *Routing) any { return &r.Consistency })},
		{name: "max_lag", effect: Live, doc: "A replica further behind is not used.", field: of(func(r *Routing) any { return &r.MaxLag })},
		{name: "causal_wait", effect: Live, doc: "Wait this long for a replica to catch up, then use the primary.", field: of(func(r *Routing) any { return &r.CausalWait })},
		{name: "trust_hints", effect: Live, doc: "Obey `/* penstock: replica */` in a statement. `/* penstock: primary */` is always obeyed.", field: of(func(r *Routing) any { return &r.TrustHints })},
		{name: "shadow", effect: Live, doc: "Decide and count, but send everything to the primary: SHOW ROUTES tells what would be.", field: of(func(r *Routing) any { return &r.Shadow })},
		{name: "rules", effect: Live, doc: "Rules, first match wins.", field: of(func(r *Routing) any { return &r.Rules })},
	}
}

func routingRuleRows() []row {
	return []row{
		{name: "match", effect: Live, doc: "Which statements the rule is for.", field: of(func(r *RoutingRule) any { return &r.Match })},
		{name: "target", effect: Live, values: []string{"primary", "replica", "auto"}, doc: "Where they go.", field: of(func(r *RoutingRule) any { return &r.Target })},
	}
}

func cacheRows() []row {
	return []row{
		{name: "enabled", effect: Live, later: true, doc: "Answer repeated reads from memory.", field: of(func(c *Cache) any { return &c.Enabled })},
		{name: "size", effect: Live, later: true, check: someBytes, doc: "Memory for results.", field: of(func(c *Cache) any { return &c.Size })},
		{name: "consistency", effect: Live, later: true, values: []string{"ttl", "bounded", "session", "linearizable"}, doc: "How fresh an answer must be.", field: of(func(c *Cache) any { return &c.Consistency })},
		{name: "max_staleness", effect: Live, later: true, doc: "For changes made elsewhere; on doubt the cache steps aside.", field: of(func(c *Cache) any { return &c.MaxStaleness })},
		{name: "max_entry", effect: Live, later: true, check: someBytes, doc: "Largest result that is kept.", field: of(func(c *Cache) any { return &c.MaxEntry })},
		{name: "invalidation", effect: Live, later: true, values: []string{"auto", "wal", "wal-messages", "fences-only"}, doc: "How changes are noticed.", field: of(func(c *Cache) any { return &c.Invalidation })},
		{name: "rules", effect: Live, later: true, doc: "Rules, first match wins.", field: of(func(c *Cache) any { return &c.Rules })},
	}
}

func cacheRuleRows() []row {
	return []row{
		{name: "match", effect: Live, later: true, doc: "Which statements the rule is for.", field: of(func(r *CacheRule) any { return &r.Match })},
		{name: "ttl", effect: Live, later: true, doc: "How long results are kept; 0 = until a change is noticed.", field: of(func(r *CacheRule) any { return &r.TTL })},
		{name: "cache", effect: Live, later: true, doc: "Whether results are kept at all.", field: of(func(r *CacheRule) any { return &r.Cache })},
	}
}

func matchRows() []row {
	return []row{
		{name: "user", effect: Live, doc: "The client's user; empty = any.", field: of(func(m *Match) any { return &m.User })},
		{name: "application_name", effect: Live, doc: "The client's application_name; empty = any.", field: of(func(m *Match) any { return &m.ApplicationName })},
		{name: "table", effect: Live, doc: "A table the statement reads or writes; empty = any.", field: of(func(m *Match) any { return &m.Table })},
		{name: "fingerprint", effect: Live, doc: "The statement's fingerprint; empty = any.", field: of(func(m *Match) any { return &m.Fingerprint })},
	}
}

func slowLogRows() []row {
	return []row{
		{name: "threshold", effect: Live, later: true, doc: "Statements that run this long are logged; 0 = none.", field: of(func(s *SlowLog) any { return &s.Threshold })},
		{name: "explain", effect: Live, later: true, doc: "Add the plan.", field: of(func(s *SlowLog) any { return &s.Explain })},
		{name: "sample", effect: Live, later: true, check: share, doc: "Share of slow statements that is logged, 0.0 to 1.0.", field: of(func(s *SlowLog) any { return &s.Sample })},
		{name: "parameters", effect: Live, later: true, values: []string{"redact", "log"}, doc: "Whether parameter values may stand in the log.", field: of(func(s *SlowLog) any { return &s.Parameters })},
		{name: "plans_per_second", effect: Live, later: true, check: between(0, 1000), doc: "Most plans fetched per second.", field: of(func(s *SlowLog) any { return &s.PlansPerSecond })},
		{name: "file", effect: Live, later: true, doc: "File for the entries; empty = the log.", field: of(func(s *SlowLog) any { return &s.File })},
	}
}
