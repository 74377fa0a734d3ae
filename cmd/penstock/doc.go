// Command penstock is the whole program: flags, configuration, wiring and
// signals. It is the only place that knows every room.
//
// Goroutines: one per listener (proxy.Server.serve), those of the demo,
// which has clients of its own; everything else is started by the rooms. Locks: none.
package main
