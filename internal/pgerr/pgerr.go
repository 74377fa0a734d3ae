package pgerr

import (
	"encoding/binary"
	"strings"
)

// Error is one ErrorResponse to a client. Build it with a constructor of this
// package, so that its names are clean and its code is the documented one.
type Error struct {
	Severity Severity
	Code     Code
	Message  string
	Detail   string
	Hint     string

	id    string // of Internal, to find the cause in the log
	cause error  // for the log only
}

// Error returns SQLSTATE, message and cause: a line for the log, never for a
// client.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Message
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap returns the cause, which clients do not see.
func (e *Error) Unwrap() error { return e.cause }

// ID returns the id that an internal error shows to the client and that must
// be logged with its cause; it is empty for every other error.
func (e *Error) ID() string { return e.id }

// SQLState returns the code as a string, as pgconn.PgError does.
func (e *Error) SQLState() string { return string(e.Code) }

// With returns a copy of e whose cause, for the log only, is cause.
func (e *Error) With(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// Fatal returns a copy of e with severity FATAL, for a caller that closes the
// connection after it.
func (e *Error) Fatal() *Error {
	c := *e
	c.Severity = SeverityFatal
	return &c
}

// Append appends e's ErrorResponse frame to dst and returns the longer slice,
// which the caller owns. A NUL in a text would end the field, so it becomes
// '?'; a code that is none becomes XX000.
func (e *Error) Append(dst []byte) []byte {
	severity, code := string(e.Severity), e.Code
	if severity == "" {
		severity = string(SeverityError)
	}
	if !code.valid() {
		code = InternalError
	}
	return appendFrame(dst, 'E', severity, code, e.Message, e.Detail, e.Hint)
}

// AppendNotice appends a NoticeResponse frame of severity NOTICE to dst and
// returns the longer slice. An empty detail is left out.
func AppendNotice(dst []byte, code Code, message, detail string) []byte {
	return appendFrame(dst, 'N', "NOTICE", code, message, detail, "")
}

// appendFrame writes an ErrorResponse or NoticeResponse. Manual, Error and
// Notice Message Fields: S, V, C and M are always present.
func appendFrame(dst []byte, kind byte, severity string, code Code, message, detail, hint string) []byte {
	dst = append(dst, kind, 0, 0, 0, 0)
	length := len(dst) - 4
	dst = appendField(dst, 'S', severity)
	dst = appendField(dst, 'V', severity)
	dst = appendField(dst, 'C', string(code))
	dst = appendField(dst, 'M', message)
	if detail != "" {
		dst = appendField(dst, 'D', detail)
	}
	if hint != "" {
		dst = appendField(dst, 'H', hint)
	}
	dst = append(dst, 0)
	binary.BigEndian.PutUint32(dst[length:], uint32(len(dst)-length))
	return dst
}

func appendField(dst []byte, kind byte, text string) []byte {
	dst = append(dst, kind)
	if strings.IndexByte(text, 0) >= 0 {
		text = strings.ReplaceAll(text, "\x00", "?")
	}
	dst = append(dst, text...)
	return append(dst, 0)
}
