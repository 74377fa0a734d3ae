// Package pgerr holds every error a client can receive, with its SQLSTATE.
//
// Callers are the proxy, the pool, auth and the console: whoever decides that
// a client must be told something builds the error here, and the one place
// that writes to the client turns whatever reached it into bytes with From and
// Append. Messages use PostgreSQL's own wording where it has one; numbers go
// into Detail, advice into Hint, and the Hint names the Penstock setting.
// Severity is FATAL if and only if Penstock closes the connection afterwards.
//
// The package never does I/O, never logs, and never shows a client the text of
// an error it does not know: that becomes XX000 with an id, which the caller
// logs beside the real error. Names that come from clients are cut to 63 bytes
// and their control bytes escaped, so an *Error may be logged as it is.
//
// There are no goroutines and no locks. An *Error is immutable once built;
// With and Fatal return changed copies. Any goroutine may use one.
//
//	e := pgerr.From(err)
//	if id := e.ID(); id != "" {
//		log.Error("internal error", "id", id, "error", err)
//	}
//	buf = e.Append(buf[:0])
package pgerr
