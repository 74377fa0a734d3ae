// Command penstock is the whole program: flags, configuration, wiring and
// signals. It is the only place that knows every room.
//
// Goroutines: one per listener (proxy.Server.serve), one that runs the demo's
// workload; everything else is started by the rooms. Locks: none.
package main
