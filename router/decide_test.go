package router_test

import (
	"strings"
	"testing"
	"testing/quick"

	"github.com/penstock/penstock/internal/catalog"
	"github.com/penstock/penstock/internal/sqlscan"
	"github.com/penstock/penstock/router"
)

// shop is a small database.
func shop() *catalog.Snapshot {
	return catalog.Build(&catalog.Rows{
		Functions: []catalog.Function{
			{OID: 1, Schema: "pg_catalog", Name: "lower", Volatile: 'i', Kind: 'f'},
			{OID: 2, Schema: "pg_catalog", Name: "nextval", Volatile: 'v', Kind: 'f'},
			{OID: 3, Schema: "pg_catalog", Name: "pg_backend_pid", Volatile: 's', Kind: 'f'},
			{OID: 16400, Schema: "public", Name: "op", Volatile: 'v', Kind: 'f', Language: "sql"},
		},
		Operators: []catalog.Operator{{Name: "="}, {Name: "+"}, {Name: "===", Function: 16400}},
		Relations: []catalog.Relation{
			{OID: 16500, Schema: "public", Name: "orders", Kind: 'r', Persistence: 'p'},
			{OID: 16501, Schema: "public", Name: "numbered", Kind: 'v', Persistence: 'p', Text: "SELECT nextval('s')"},
			{OID: 16502, Schema: "public", Name: "s", Kind: 'S', Persistence: 'p'},
			{OID: 16503, Schema: "public", Name: "lost", Kind: 'r', Persistence: 'u'},
			{OID: 16504, Schema: "public", Name: "mine", Kind: 'r', Persistence: 't'},
			{OID: 16505, Schema: "public", Name: "far", Kind: 'f', Persistence: 'p'},
			{OID: 1259, Schema: "pg_catalog", Name: "pg_class", Kind: 'r', Persistence: 'p'},
			{OID: 16506, Schema: "public", Name: "guarded", Kind: 'r', Persistence: 'p', RowSecurity: true},
		},
		Types:      []catalog.Type{{OID: 16600, Name: "odd", Kind: 'd', Functions: []uint32{16400}}},
		Expression: []catalog.Expression{{Relation: 16506, Text: "SELECT nextval('s') > 0"}},
	})
}

func classify(t testing.TB, sql string, rules *router.Rules) *router.Class {
	t.Helper()
	var s sqlscan.Scanner
	c := router.Classify(s.Scan(sql, sqlscan.Options{}), shop(), rules)
	return &c
}

func TestClassify(t *testing.T) {
	for sql, want := range map[string]string{
		"SELECT 1": "safe-read",
		"select lower(a) from orders where a = $1": "safe-read",
		"VALUES (1), (2)":                          "safe-read",
		"TABLE orders":                             "safe-read",
		"SELECT 1; SELECT 2":                       "safe-read",
		"-- nothing":                               "safe-read",
		"WITH a AS (SELECT 1) SELECT * FROM a":     "safe-read",
		"BEGIN READ ONLY":                          "read-only-transaction",
		"START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY": "read-only-transaction",
		"BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY":                 "transaction",
		"BEGIN":                           "transaction",
		"COMMIT":                          "transaction",
		"SAVEPOINT a":                     "transaction",
		"SET TRANSACTION READ ONLY":       "transaction",
		"BEGIN; SELECT 1; COMMIT":         "multi-statement",
		"BEGIN READ ONLY; SELECT 1":       "multi-statement",
		"SELECT 1; DELETE FROM orders":    "write",
		"SELECT 1; SELECT nextval('s')":   "unsafe-function",
		"SELECT nextval('s')":             "unsafe-function",
		"SELECT unheard_of(1)":            "unknown-name",
		"SELECT pg_backend_pid()":         "server-local",
		"SELECT relname FROM pg_class":    "system-catalog",
		"SELECT * FROM numbered":          "view",
		"SELECT * FROM s":                 "sequence",
		"SELECT * FROM lost":              "unlogged",
		"SELECT * FROM mine":              "temporary",
		"SELECT * FROM pg_temp.other":     "temporary",
		"SELECT * FROM far":               "foreign",
		"SELECT * FROM guarded":           "row-security",
		"SELECT 1 === 2":                  "unsafe-operator",
		"SELECT '1'::odd":                 "unsafe-type",
		"SELECT * FROM orders FOR UPDATE": "locking",
		"SELECT * FROM orders FOR KEY SHARE OF o SKIP LOCKED": "locking",
		"SELECT 1 INTO other": "into",
		"WITH a AS (DELETE FROM orders RETURNING *) SELECT * FROM a": "data-modifying-with",
		"INSERT INTO orders VALUES (1)":                              "write",
		"UPDATE orders SET a = 1":                                    "write",
		"MERGE INTO orders USING b ON true WHEN MATCHED THEN DELETE": "write",
		"NOTIFY a":                           "write",
		"CREATE TABLE a (b int)":             "ddl",
		"VACUUM":                             "maintenance",
		"LOCK orders":                        "lock",
		"CALL p()":                           "call",
		"DO $$ BEGIN END $$":                 "call",
		"COPY orders TO STDOUT":              "copy",
		"DECLARE c CURSOR FOR SELECT 1":      "cursor",
		"FETCH 1 FROM c":                     "cursor",
		"SET a.b = 1":                        "session-state",
		"LISTEN a":                           "session-state",
		"EXECUTE a":                          "session-state",
		"SHOW all":                           "server-local",
		"EXPLAIN SELECT 1":                   "server-local",
		"EXPLAIN ANALYZE DELETE FROM orders": "write",
		"SELECT 'unfinished":                 "not-understood",
		"":                                   "safe-read",
	} {
		got := classify(t, sql, nil).Reason.String()
		if sql == "SELECT 1 INTO other" && got == "into" || got == want {
			continue
		}
		t.Errorf("%s: %s, want %s", sql, got, want)
	}
	var s sqlscan.Scanner
	if got := router.Classify(s.Scan("SELECT 1", sqlscan.Options{}), nil, nil); got.Reason != router.ReasonNoCatalog {
		t.Errorf("without a catalog: %v", got.Reason)
	}
}

func TestEveryReasonHasItsOwnName(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range router.Reasons() {
		if name := r.String(); name == "" || seen[name] || strings.ToLower(name) != name {
			t.Errorf("reason %d is called %q", r, name)
		}
		seen[r.String()] = true
	}
}

func TestDecide(t *testing.T) {
	rules, err := router.NewRules([]router.Rule{
		{User: "writer", Target: router.TargetPrimary},
		{User: "report", Table: "public.orders", Target: router.TargetReplica},
		{ApplicationName: "cron", Target: router.TargetAuto},
		{ApplicationName: "cron", Target: router.TargetPrimary},
	})
	if err != nil {
		t.Fatal(err)
	}
	const (
		read = "SELECT * FROM orders"
		soft = "SELECT pg_backend_pid() FROM orders"
		hard = "INSERT INTO orders VALUES (1)"
	)
	on := router.Options{Enabled: true, Replicas: 2, Rules: rules}
	trusting := on
	trusting.TrustHints = true
	for name, c := range map[string]struct {
		sql     string
		session router.Session
		options router.Options
		target  router.Target
		reason  string
		hazard  string
		user    string
		app     string
	}{
		"off":                               {sql: read, options: router.Options{Replicas: 1}, target: router.TargetPrimary, reason: "disabled"},
		"no replicas":                       {sql: read, options: router.Options{Enabled: true}, target: router.TargetPrimary, reason: "no-replicas"},
		"safe":                              {sql: read, options: on, target: router.TargetReplica, reason: "safe-read"},
		"write":                             {sql: hard, options: on, target: router.TargetPrimary, reason: "write"},
		"soft":                              {sql: soft, options: on, target: router.TargetPrimary, reason: "server-local"},
		"begin":                             {sql: "BEGIN", options: on, target: router.TargetPrimary, reason: "transaction"},
		"begin read only":                   {sql: "BEGIN READ ONLY", options: on, target: router.TargetReplica, reason: "read-only-transaction"},
		"open":                              {sql: read, session: router.Session{InTransaction: true}, options: on, target: router.TargetPrimary, reason: "in-transaction"},
		"open on a replica":                 {sql: read, session: router.Session{InTransaction: true, OnReplica: true, Set: router.TargetPrimary}, options: on, target: router.TargetReplica, reason: "read-only-transaction"},
		"unsafe on a replica":               {sql: hard, session: router.Session{InTransaction: true, OnReplica: true}, options: on, target: router.TargetReplica, reason: "read-only-transaction", hazard: "write"},
		"deferred":                          {sql: read, session: router.Session{Deferred: true}, options: on, target: router.TargetPrimary, reason: "in-transaction"},
		"deferred, wished":                  {sql: read, session: router.Session{Deferred: true, Set: router.TargetReplica}, options: on, target: router.TargetPrimary, reason: "in-transaction"},
		"deferred read only":                {sql: read, session: router.Session{Deferred: true, ReadOnly: true}, options: on, target: router.TargetReplica, reason: "read-only-transaction"},
		"deferred read only, unsafe":        {sql: soft, session: router.Session{Deferred: true, ReadOnly: true}, options: on, target: router.TargetPrimary, reason: "server-local"},
		"deferred read only, serializable":  {sql: read, session: router.Session{Deferred: true, ReadOnly: true, Serializable: true}, options: on, target: router.TargetPrimary, reason: "serializable"},
		"serializable text":                 {sql: "BEGIN READ ONLY, ISOLATION LEVEL SERIALIZABLE", options: on, target: router.TargetPrimary, reason: "serializable"},
		"pinned":                            {sql: read, session: router.Session{Pinned: true, Set: router.TargetReplica}, options: on, target: router.TargetPrimary, reason: "pinned"},
		"settings":                          {sql: read, session: router.Session{ForeignSetting: true}, options: on, target: router.TargetPrimary, reason: "session-settings"},
		"hint primary":                      {sql: "/* penstock: primary */ " + read, session: router.Session{Set: router.TargetReplica}, options: trusting, target: router.TargetPrimary, reason: "hint-primary"},
		"hint replica, not trusted":         {sql: "/* penstock: replica */ " + soft, options: on, target: router.TargetPrimary, reason: "server-local"},
		"hint replica, trusted":             {sql: "/* penstock: replica */ " + soft, session: router.Session{Set: router.TargetPrimary}, options: trusting, target: router.TargetReplica, reason: "hint-replica", hazard: "server-local"},
		"hint replica, trusted, for writes": {sql: "/* penstock: replica */ " + hard, options: trusting, target: router.TargetPrimary, reason: "write", hazard: "write"},
		"set primary":                       {sql: read, session: router.Session{Set: router.TargetPrimary, Startup: router.TargetReplica}, options: on, target: router.TargetPrimary, reason: "set-target"},
		"set replica":                       {sql: soft, session: router.Session{Set: router.TargetReplica}, options: on, target: router.TargetReplica, reason: "set-target", hazard: "server-local"},
		"set auto ends the search":          {sql: read, session: router.Session{Set: router.TargetAuto, Startup: router.TargetPrimary}, user: "writer", options: on, target: router.TargetReplica, reason: "safe-read"},
		"startup":                           {sql: read, session: router.Session{Startup: router.TargetPrimary}, options: on, target: router.TargetPrimary, reason: "startup-target"},
		"rule for primary":                  {sql: read, user: "writer", options: on, target: router.TargetPrimary, reason: "rule"},
		"rule for replica":                  {sql: soft, user: "report", options: on, target: router.TargetReplica, reason: "rule", hazard: "server-local"},
		"rule of another table":             {sql: "SELECT pg_backend_pid()", user: "report", options: on, target: router.TargetPrimary, reason: "server-local"},
		"rule of another schema":            {sql: "SELECT pg_backend_pid() FROM x.orders", user: "report", options: on, target: router.TargetPrimary, reason: "server-local"},
		"the first rule":                    {sql: read, app: "cron", options: on, target: router.TargetReplica, reason: "safe-read"},
	} {
		t.Run(name, func(t *testing.T) {
			c.session.Rules = rules.ForSession(c.user, c.app)
			class := classify(t, c.sql, rules)
			before := *class
			got := router.Decide(router.Input{Class: class, Session: &c.session, Options: &c.options})
			if c.hazard == "" {
				c.hazard = "none"
			}
			if got.Target != c.target || got.Reason.String() != c.reason || got.Hazard.String() != c.hazard {
				t.Errorf("%v %v (%v), want %v %v (%v)", got.Target, got.Reason, got.Hazard, c.target, c.reason, c.hazard)
			}
			if *class != before {
				t.Error("the input was changed")
			}
		})
	}
}

// TestNoWishSendsAHardHazard: whatever the session and the options are, what goes
// to a replica outside of a transaction is safe, or soft and wished.
func TestNoWishSendsAHardHazard(t *testing.T) {
	err := quick.Check(func(reason uint8, bits uint16, set, startup, hint uint8) bool {
		reasons := router.Reasons()
		class := router.Class{Reason: reasons[int(reason)%len(reasons)], Hint: sqlscan.Hint(hint % 3)}
		bit := func(i int) bool { return bits>>i&1 == 1 }
		session := router.Session{
			InTransaction: bit(0), OnReplica: bit(1), Deferred: bit(2), ReadOnly: bit(3), Serializable: bit(4),
			Pinned: bit(5) && bit(6), ForeignSetting: bit(7) && bit(8),
			Set: router.Target(set % 4), Startup: router.Target(startup % 4),
		}
		options := router.Options{Enabled: bit(9) || bit(10), Replicas: int(bits >> 14), TrustHints: bit(11)}
		got := router.Decide(router.Input{Class: &class, Session: &session, Options: &options})
		if got.Target != router.TargetReplica {
			return got.Target == router.TargetPrimary && got.Reason != router.ReasonNone || class.Reason == router.ReasonNone
		}
		if !options.Enabled || options.Replicas == 0 {
			return false
		}
		if session.InTransaction {
			return session.OnReplica
		}
		if session.Pinned || session.ForeignSetting || session.Serializable || class.Hint == sqlscan.HintPrimary || session.Deferred && !session.ReadOnly {
			return false
		}
		safe := class.Reason == router.ReasonSafeRead || class.Reason == router.ReasonReadOnlyTransaction || class.Reason == router.ReasonNone
		return safe || class.Reason.Soft()
	}, &quick.Config{MaxCount: 200_000})
	if err != nil {
		t.Error(err)
	}
}

func TestRulesAreChecked(t *testing.T) {
	for name, rules := range map[string][]router.Rule{
		"no target":       {{User: "a"}},
		"bad fingerprint": {{Fingerprint: "xyz", Target: router.TargetPrimary}},
		"too many":        make([]router.Rule, router.MostRules+1),
	} {
		if _, err := router.NewRules(rules); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	var s sqlscan.Scanner
	st := s.Scan("SELECT 1", sqlscan.Options{})
	rules, err := router.NewRules([]router.Rule{{Fingerprint: strings.ToUpper(hex(st.Fingerprint)), Target: router.TargetPrimary}})
	if err != nil || rules.ForStatement(st) != 1 || rules.ForStatement(s.Scan("SELECT a", sqlscan.Options{})) != 0 {
		t.Errorf("a rule by fingerprint: %v", err)
	}
}

func hex(n uint64) string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i := range b {
		b[i] = digits[n>>(60-4*i)&15]
	}
	return string(b[:])
}

func TestLearnedStayOnThePrimary(t *testing.T) {
	var l router.Learned
	c := router.Class{Reason: router.ReasonSafeRead, Fingerprint: 7}
	if l.Apply(&c); c.Reason != router.ReasonSafeRead {
		t.Fatal("nothing was learned yet")
	}
	if !l.Add(7) || l.Add(7) {
		t.Error("news is news once")
	}
	for n := range uint64(3000) {
		l.Add(1000 + n)
	}
	if l.Apply(&c); c.Reason != router.ReasonLearned {
		t.Errorf("learned: %v", c.Reason)
	}
	w := router.Class{Reason: router.ReasonWrite, Fingerprint: 7}
	if l.Apply(&w); w.Reason != router.ReasonWrite {
		t.Errorf("a write stays a write: %v", w.Reason)
	}
	l.Forget()
	c.Reason = router.ReasonSafeRead
	if l.Apply(&c); c.Reason != router.ReasonSafeRead {
		t.Error("forgotten")
	}
}

func BenchmarkDecide(b *testing.B) {
	class := classify(b, "SELECT * FROM orders WHERE a = $1", nil)
	session, options := &router.Session{}, &router.Options{Enabled: true, Replicas: 2}
	b.ReportAllocs()
	for b.Loop() {
		if d := router.Decide(router.Input{Class: class, Session: session, Options: options}); d.Target != router.TargetReplica {
			b.Fatal(d)
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	var s sqlscan.Scanner
	st := s.Scan("SELECT o.a, lower(o.b) FROM orders o WHERE o.a = $1 AND o.b + 1 = 3 ORDER BY o.c LIMIT 10", sqlscan.Options{})
	snapshot := shop()
	b.ReportAllocs()
	for b.Loop() {
		if c := router.Classify(st, snapshot, nil); c.Reason != router.ReasonSafeRead {
			b.Fatal(c)
		}
	}
}
