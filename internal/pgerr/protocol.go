package pgerr

import (
	"fmt"
	"strconv"
	"time"
)

func newError(severity Severity, code Code, message string) *Error {
	return &Error{Severity: severity, Code: code, Message: message}
}

// Violation is FATAL 08P01 for a malformed frame that has no constructor of
// its own. The message must be a constant of the program.
func Violation(message string) *Error {
	return newError(SeverityFatal, ProtocolViolation, message)
}

// InvalidMessageType is FATAL 08P01: a frame type no client may send.
func InvalidMessageType(kind byte) *Error {
	return Violation("invalid frontend message type " + strconv.Itoa(int(kind)))
}

// InvalidMessageLength is FATAL 08P01: a length below 4, or one that does not
// fit the message's own content.
func InvalidMessageLength() *Error {
	return Violation("invalid message length")
}

// InvalidMessageFormat is FATAL 08P01: a body that ends too early or has bytes
// left over.
func InvalidMessageFormat() *Error {
	return Violation("invalid message format")
}

// InvalidStartupLength is FATAL 08P01: a startup packet shorter than its
// header or longer than PostgreSQL's 10 kB.
func InvalidStartupLength() *Error {
	return Violation("invalid length of startup packet")
}

// InvalidStartupLayout is FATAL 08P01: a startup packet whose parameters do
// not end in the terminator.
func InvalidStartupLayout() *Error {
	return Violation("invalid startup packet layout: expected terminator as last byte")
}

// UnexpectedMessage is FATAL 08P01: a frame that exists but may not come now.
// What was expected is a noun: "password", "SASL".
func UnexpectedMessage(expected string, kind byte) *Error {
	return Violation(fmt.Sprintf("expected %s response, got message type %d", Name(expected), kind))
}

// MalformedSCRAM is FATAL 08P01 for a SASL message that breaks RFC 5802. The
// detail must be a constant of the program: nothing the client sent.
func MalformedSCRAM(detail string) *Error {
	e := Violation("malformed SCRAM message")
	e.Detail = detail
	return e
}

// UnsupportedSCRAM is FATAL 0A000, as PostgreSQL says it, for what RFC 5802
// has and PostgreSQL has not. The message must be a constant of the program.
func UnsupportedSCRAM(message string) *Error {
	return newError(SeverityFatal, FeatureNotSupported, message)
}

// StuffedBeforeTLS is FATAL 08P01: bytes lay behind an SSLRequest before the
// handshake (CVE-2021-23214).
func StuffedBeforeTLS() *Error {
	e := Violation("received unencrypted data after SSL request")
	e.Detail = "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack."
	return e
}

// UnsupportedProtocol is FATAL 0A000, as PostgreSQL says it, for a startup
// packet of another major version.
func UnsupportedProtocol(major, minor uint16) *Error {
	return newError(SeverityFatal, FeatureNotSupported,
		fmt.Sprintf("unsupported frontend protocol %d.%d: server supports 3.0 to 3.2", major, minor))
}

// FrameTooLarge is FATAL 54000. The setting is the one that holds limit, empty
// if the limit is fixed.
func FrameTooLarge(size, limit int64, setting string) *Error {
	e := newError(SeverityFatal, ProgramLimitExceeded, "message too large")
	e.Detail = fmt.Sprintf("The message has %d bytes; the limit is %d.", size, limit)
	if setting != "" {
		e.Hint = "Raise " + setting + " if such messages are meant to pass."
	}
	return e
}

// seconds writes a duration for a Detail: milliseconds below a minute, seconds
// above.
func seconds(d time.Duration) string {
	if d < time.Minute {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// plural is "1 thing" or "3 things".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// sentence ends a reason with a full stop and starts it with a capital.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	if c := s[0]; c >= 'a' && c <= 'z' {
		s = string(c-'a'+'A') + s[1:]
	}
	return s + "."
}
