package routing

import (
	"context"
	"testing"
)

// TestReadsGoToReplicas is the way of statements as a client sees it.
func TestReadsGoToReplicas(t *testing.T) {
	c := servers(t, 2, nil)
	if err := c.Primary.Exec(t.Context(), "postgres", `create table t (n int); insert into t values (1);
		create function standby() returns bool stable language sql as 'select pg_is_in_recovery()'`); err != nil {
		t.Fatal(err)
	}
	p := start(t, c, "trust_hints = true\ncausal_wait = \"1s\"", "")
	p.ready(t)
	ctx := context.Background()
	t.Cleanup(func() { t.Log(p.routes()) })
	for _, mode := range []string{"simple_protocol", "cache_statement", "exec", "describe_exec", "cache_describe"} {
		conn := p.connect(t, "default_query_exec_mode="+mode)
		for i := range 5 {
			if !standby(t, conn) {
				t.Errorf("%s: a read with a hint ran on the primary", mode)
			}
			if _, err := conn.Exec(ctx, "update t set n = n + 1"); err != nil {
				t.Fatal(err)
			}
			var n, m int
			if err := conn.QueryRow(ctx, "select n from t").Scan(&n); err != nil {
				t.Fatal(err)
			}
			if err := conn.QueryRow(ctx, "/* penstock: primary */ select n from t").Scan(&m); err != nil || n != m {
				t.Errorf("%s, round %d: read %d, is %d, %v", mode, i, n, m, err)
			}
			tx, err := conn.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(ctx, "update t set n = n + 1"); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
}
