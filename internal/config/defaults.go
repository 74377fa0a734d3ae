package config

import "time"

// Default returns the settings of an empty file. It has no database, so it is
// no working Config.
func Default() *Config {
	return &Config{
		Listen: Listen{
			Address:      []string{"127.0.0.1:6432"},
			MaxClients:   10000,
			TLS:          "prefer",
			LoginTimeout: 60 * time.Second,
			MaxLogins:    1000,
		},
		Auth:      Auth{Method: "scram-sha-256"},
		Admin:     Admin{Users: []string{"penstock"}, Compat: "1.25", HTTP: "127.0.0.1:9632"},
		Log:       Log{Level: "info", Format: "json"},
		Pool:      defaultPool(),
		Databases: map[string]*Database{},
	}
}

func defaultPool() Pool {
	return Pool{
		Mode:               "transaction",
		Size:               20,
		ReserveAfter:       5 * time.Second,
		QueryWaitTimeout:   120 * time.Second,
		IdleTimeout:        600 * time.Second,
		Lifetime:           3600 * time.Second,
		ConnectTimeout:     15 * time.Second,
		CancelWaitTimeout:  10 * time.Second,
		PreparedStatements: 200,
	}
}

// defaultDatabase returns a database without a primary, with pool's settings.
func defaultDatabase(name string, pool Pool) *Database {
	return &Database{
		Name: name,
		Pool: pool,
		Routing: Routing{
			Consistency: "session",
			MaxLag:      time.Second,
			CausalWait:  5 * time.Millisecond,
		},
		Cache: Cache{
			Size:         256 << 20,
			Consistency:  "bounded",
			MaxStaleness: 200 * time.Millisecond,
			MaxEntry:     1 << 20,
			Invalidation: "auto",
		},
		SlowLog: SlowLog{
			Explain:        true,
			Sample:         1,
			Parameters:     "redact",
			PlansPerSecond: 2,
		},
	}
}

func defaultRoutingRule() RoutingRule { return RoutingRule{Target: "auto"} }

func defaultCacheRule() CacheRule { return CacheRule{Cache: true} }
