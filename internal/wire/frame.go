package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// HeaderSize is the size of a frame's type byte and length word.
const HeaderSize = 5

// Types of frames that clients send. Manual, Message Formats.
const (
	Query           = 'Q'
	Parse           = 'P'
	Bind            = 'B'
	Describe        = 'D'
	Execute         = 'E'
	Close           = 'C'
	Flush           = 'H'
	Sync            = 'S'
	FunctionCall    = 'F'
	CopyData        = 'd'
	CopyDone        = 'c'
	CopyFail        = 'f'
	Terminate       = 'X'
	PasswordMessage = 'p'
)

// Types of frames that servers send.
const (
	Authentication       = 'R'
	BackendKeyData       = 'K'
	ParameterStatus      = 'S'
	ReadyForQuery        = 'Z'
	RowDescription       = 'T'
	DataRow              = 'D'
	CommandComplete      = 'C'
	EmptyQueryResponse   = 'I'
	ErrorResponse        = 'E'
	NoticeResponse       = 'N'
	NotificationResponse = 'A'
	ParseComplete        = '1'
	BindComplete         = '2'
	CloseComplete        = '3'
	NoData               = 'n'
	PortalSuspended      = 's'
	ParameterDescription = 't'
	FunctionCallResponse = 'V'
	CopyInResponse       = 'G'
	CopyOutResponse      = 'H'
	CopyBothResponse     = 'W'
)

// Limits of PostgreSQL itself: postgres.c SocketBackend, pqcomm.h
// PQ_SMALL_MESSAGE_LIMIT and PQ_LARGE_MESSAGE_LIMIT (MaxAllocSize).
const (
	smallMessageLimit = 10000
	largeMessageLimit = 0x3fffffff - 1
)

// Errors of CheckFrontend.
var (
	ErrUnknownType   = errors.New("invalid frontend message type")
	ErrInvalidLength = errors.New("invalid message length")
)

// Header is the head of a frame.
type Header struct {
	Type byte
	Len  int // the length word: itself and the body, not the type byte
}

// Total is the size of the whole frame in bytes.
func (h Header) Total() int { return 1 + h.Len }

// ParseHeader reads a header from the front of p; ok is false while p is too
// short to hold one.
func ParseHeader(p []byte) (h Header, ok bool) {
	if len(p) < HeaderSize {
		return Header{}, false
	}
	return Header{Type: p[0], Len: int(int32(binary.BigEndian.Uint32(p[1:5])))}, true
}

// CheckFrontend says whether a client may send such a frame after its login,
// by the same limits that PostgreSQL applies before it reads the body.
func (h Header) CheckFrontend() error {
	limit := smallMessageLimit
	switch h.Type {
	case Query, Parse, Bind, FunctionCall, CopyData:
		limit = largeMessageLimit
	case Describe, Execute, Close, Flush, Sync, CopyDone, CopyFail, Terminate:
	default:
		return ErrUnknownType
	}
	if h.Len < 4 || h.Len > limit {
		return ErrInvalidLength
	}
	return nil
}

// CheckBackend says whether the length of a server's frame can be true.
func (h Header) CheckBackend() error {
	if h.Len < 4 {
		return ErrInvalidLength
	}
	return nil
}

// CString cuts a NUL-terminated string from the front of p. The slices point
// into p; ok is false where there is no NUL.
func CString(p []byte) (s, rest []byte, ok bool) {
	before, after, ok := bytes.Cut(p, []byte{0})
	if !ok {
		return nil, nil, false
	}
	return before, after, true
}

// AppendFrame appends a frame of the given type with that body.
func AppendFrame(dst []byte, typ byte, body ...[]byte) []byte {
	n := 4
	for _, b := range body {
		n += len(b)
	}
	dst = append(dst, typ)
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	for _, b := range body {
		dst = append(dst, b...)
	}
	return dst
}

// AppendString appends a frame whose body is one NUL-terminated string.
func AppendString(dst []byte, typ byte, s string) []byte {
	dst = append(dst, typ)
	dst = binary.BigEndian.AppendUint32(dst, uint32(4+len(s)+1))
	dst = append(dst, s...)
	return append(dst, 0)
}

// AppendReady appends a ReadyForQuery with the transaction status I, T or E.
func AppendReady(dst []byte, txStatus byte) []byte {
	return append(dst, ReadyForQuery, 0, 0, 0, 5, txStatus)
}

// AppendEmpty appends a frame without a body.
func AppendEmpty(dst []byte, typ byte) []byte { return append(dst, typ, 0, 0, 0, 4) }

// AppendParameterStatus appends a ParameterStatus.
func AppendParameterStatus(dst []byte, name, value string) []byte {
	dst = append(dst, ParameterStatus)
	dst = binary.BigEndian.AppendUint32(dst, uint32(4+len(name)+1+len(value)+1))
	dst = append(dst, name...)
	dst = append(dst, 0)
	dst = append(dst, value...)
	return append(dst, 0)
}

// AppendClose appends a Close of a prepared statement of that name.
func AppendClose(dst []byte, statement string) []byte {
	dst = append(dst, Close)
	dst = binary.BigEndian.AppendUint32(dst, uint32(4+1+len(statement)+1))
	dst = append(dst, 'S')
	dst = append(dst, statement...)
	return append(dst, 0)
}
