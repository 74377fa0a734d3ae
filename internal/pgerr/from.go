package pgerr

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// From turns any error into the one a client receives. An *Error anywhere in
// the chain passes through, an error that a server sent keeps its code and
// texts, a lost connection becomes 08006, a cancelled context 57014. Anything
// else is our bug: XX000 with an id and none of the inner text, to be logged
// by the caller (see ID). From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		if e == nil {
			return Internal("a nil *pgerr.Error was returned as an error")
		}
		return e
	}
	if e := (*pgconn.PgError)(nil); errors.As(err, &e) && e != nil {
		return fromServer(e, err)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return Canceled().With(err)
	case errors.Is(err, context.DeadlineExceeded):
		return newError(SeverityError, QueryCanceled, "canceling statement due to timeout").With(err)
	case isConnectionError(err):
		return &Error{
			Severity: SeverityFatal,
			Code:     ConnectionFailure,
			Message:  "connection lost",
			Detail:   sentence(reason(err)),
			cause:    err,
		}
	}
	return Internal(err)
}

// fromServer keeps what a server said to Penstock, usually at login. Position
// and object fields are about a statement the client did not send.
func fromServer(e *pgconn.PgError, cause error) *Error {
	severity := SeverityFatal
	if e.Severity == string(SeverityError) || e.SeverityUnlocalized == string(SeverityError) {
		severity = SeverityError
	}
	code, message := Code(e.Code), e.Message
	if !code.valid() {
		code = InternalError
	}
	if message == "" {
		message = "server reported an error without a message"
	}
	return &Error{
		Severity: severity, Code: code, Message: message,
		Detail: e.Detail, Hint: e.Hint, cause: cause,
	}
}

// Internal is for what must not happen; v is an error or a recovered panic
// value. The client sees only the id, the log gets the rest.
func Internal(v any) *Error {
	cause, ok := v.(error)
	if !ok {
		cause = fmt.Errorf("panic: %v", v)
	}
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	id := hex.EncodeToString(random[:])
	return &Error{
		Severity: SeverityError,
		Code:     InternalError,
		Message:  "internal error " + id,
		Hint:     "This is a bug in Penstock; its log has the cause under this id.",
		id:       id,
		cause:    cause,
	}
}

func isConnectionError(err error) bool {
	var netErr net.Error
	var errno syscall.Errno
	return errors.As(err, &netErr) || errors.As(err, &errno) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed)
}

// reason names the kind of a connection error in fixed words: no addresses, no
// host names, nothing a client should not learn. Empty means unknown.
func reason(err error) string {
	var netErr net.Error
	var dnsErr *net.DNSError
	switch {
	case errors.As(err, &dnsErr):
		return "host name not found"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ENOENT):
		return "no such socket"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset by peer"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to host"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many open files"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &netErr) && netErr.Timeout():
		return "timed out"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return "connection closed"
	}
	return ""
}
