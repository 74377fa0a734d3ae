// Package router decides which host may run a statement, and knows which hosts
// are fit to.
//
// Who calls it: proxy asks [Classify] once per text and [Decide] once per
// statement, then [Balancer.Pick] for one of the replicas and [Floor.Resolve] for
// how far it must have replayed. Whoever polls the hosts feeds [Balancer.Observe],
// [Prober] and [Roles]. The console shows the [Reason] of each decision.
//
// # What decides, first match
//
//  1. routing is off (disabled), or there is no replica (no-replicas): primary
//  2. a transaction is open: where it is (in-transaction, read-only-transaction)
//  3. the session is pinned to its primary connection (pinned): primary
//  4. it has changed what we do not carry over (session-settings): primary
//  5. it would be serializable, which a hot standby refuses (serializable): primary
//  6. the wish of the first who has one: the hint in the text (hint-primary;
//     hint-replica only if trusted), SET penstock.target (set-target), the startup
//     parameter (startup-target), the first rule that matches (rule). The wish
//     auto ends the search.
//  7. wished primary: primary
//  8. the text is a safe read, or begins a read-only transaction: replica
//  9. wished replica, and the hazard is a soft one: replica. Soft are hazards that
//     at worst answer for another server: system-catalog, server-local,
//     unknown-name, view, row-security, sequence. No wish sends a write.
//  10. else primary, with the reason of the class
//
// A string of several statements goes to a replica only if all of them are safe.
//
// # The cluster
//
// [Cluster] is the one part with I/O: it watches the hosts, keeps the catalog's
// snapshot, and lets sessions wait. All that is decided in it, the pure parts
// decide: no I/O, no clock and no chance of their own, time and randomness are
// passed in.
//
// What it never does: it never sends a client's statement, and never looks at a
// text itself, only at what sqlscan said.
//
// Goroutines: one monitor.watch for each host, one Cluster.readCatalog, and two
// that end by themselves (announce, finishOver). Locks: Cluster.mu, under which
// the leaves may be taken: [Balancer], [Prober], [Budget], [Lag] and [Learned] have
// one mutex each. [Roles] and [Switchover] belong to Cluster.mu, a [Trail] to its
// session's lock.
package router
