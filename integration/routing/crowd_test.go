package routing

import (
	"context"
	"sync"
	"testing"
	"time"
)

// TestManyClientsOnFewConnections has many more clients than server connections
// read at once, from the first moment on. Their settings are not those of the new
// connections, which are given back until the replica was asked: that must leave
// nothing behind.
func TestManyClientsOnFewConnections(t *testing.T) {
	c := servers(t, 1, nil)
	p := start(t, c, "trust_hints = true", "")
	p.connect(t, "")            // has the cluster made
	time.Sleep(2 * time.Second) // for the catalog and the hosts, so that all come to an empty pool of the replica
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	var all sync.WaitGroup
	for range 150 {
		conn := p.connect(t, "application_name=crowd&default_query_exec_mode=simple_protocol")
		all.Go(func() {
			for range 50 {
				var n int
				if err := conn.QueryRow(ctx, "select 1").Scan(&n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	t.Log(p.routes())
}
