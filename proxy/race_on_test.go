//go:build race

package proxy

// racing says that the race detector is on: it makes sync.Pool forgetful, so
// that nothing can be said about allocations.
const racing = true
