package wire

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
)

// MaxStartupSize is PostgreSQL's MAX_STARTUP_PACKET_LENGTH: what a stranger
// may make us remember, in bytes.
const MaxStartupSize = 10000

// Codes in the first packet of a connection. Manual, Message Formats.
const (
	cancelRequestCode = 80877102
	sslRequestCode    = 80877103
	gssEncRequestCode = 80877104
)

// Errors of ReadStartup and ParseStartup.
var (
	ErrStartupLength = errors.New("invalid length of startup packet")
	ErrStartupLayout = errors.New("invalid startup packet layout: expected terminator as last byte")
	ErrNoUser        = errors.New("no PostgreSQL user name specified in startup packet")
)

// StartupKind tells what the first packet of a connection asks for.
type StartupKind int

// The kinds of first packets.
const (
	StartupMessage StartupKind = iota
	SSLRequest
	GSSENCRequest
	CancelRequest
)

// Param is a startup parameter; order and duplicates are kept, the last wins.
type Param struct{ Name, Value string }

// Startup is the first packet of a connection, decoded. It owns its memory.
type Startup struct {
	Kind         StartupKind
	Major, Minor int
	Params       []Param // without _pq_.* options
	Unsupported  []string
	PID          uint32 // of a CancelRequest
	Secret       []byte // of a CancelRequest
}

// Get returns the last value given for a parameter.
func (s *Startup) Get(name string) string {
	for _, v := range slices.Backward(s.Params) {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}

// Code is the second half of the request code in a packet that is no startup
// message: 5679 for an SSLRequest.
func (s *Startup) Code() uint16 {
	switch s.Kind {
	case SSLRequest:
		return sslRequestCode & 0xffff
	case GSSENCRequest:
		return gssEncRequestCode & 0xffff
	case CancelRequest:
		return cancelRequestCode & 0xffff
	case StartupMessage:
	}
	return uint16(s.Minor)
}

// ReadStartup reads exactly one startup packet: not a byte behind it, so that
// nothing of what follows an SSLRequest is taken for plain text. It allocates
// by what has come, not by what the length word claims.
func ReadStartup(r io.Reader) (*Startup, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int(int32(binary.BigEndian.Uint32(head[:]))) - 4
	if n < 4 || n > MaxStartupSize {
		return nil, ErrStartupLength
	}
	body, err := readGrowing(r, n)
	if err != nil {
		return nil, err
	}
	return ParseStartup(body)
}

// ReadMessage reads one typed frame during the login and returns its body. It
// refuses bodies over limit and allocates by what has come.
func ReadMessage(r io.Reader, limit int) (typ byte, body []byte, err error) {
	var head [HeaderSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	h, _ := ParseHeader(head[:])
	if h.Len < 4 || h.Len-4 > limit {
		return h.Type, nil, ErrInvalidLength
	}
	body, err = readGrowing(r, h.Len-4)
	return h.Type, body, err
}

// readGrowing reads n bytes into a slice that grows with what arrives.
func readGrowing(r io.Reader, n int) ([]byte, error) {
	const step = 512
	body := make([]byte, 0, min(n, step))
	for len(body) < n {
		if len(body) == cap(body) {
			grown := make([]byte, len(body), min(2*cap(body), n)) // append would overshoot
			copy(grown, body)
			body = grown
		}
		m, err := r.Read(body[len(body):min(n, cap(body))])
		body = body[:len(body)+m]
		if err != nil && len(body) < n {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return body, nil
}

// ParseStartup decodes the body of a first packet, behind the length word.
func ParseStartup(body []byte) (*Startup, error) {
	if len(body) < 4 {
		return nil, ErrStartupLength
	}
	code := binary.BigEndian.Uint32(body)
	rest := body[4:]
	switch code {
	case sslRequestCode, gssEncRequestCode:
		if len(rest) != 0 {
			return nil, ErrStartupLength
		}
		if code == sslRequestCode {
			return &Startup{Kind: SSLRequest}, nil
		}
		return &Startup{Kind: GSSENCRequest}, nil
	case cancelRequestCode:
		// Protocol 3.2: the key has 4 to 256 bytes.
		if len(rest) < 8 || len(rest) > 4+256 {
			return nil, ErrStartupLength
		}
		return &Startup{Kind: CancelRequest, PID: binary.BigEndian.Uint32(rest), Secret: rest[4:]}, nil
	}
	s := &Startup{Kind: StartupMessage, Major: int(code >> 16), Minor: int(code & 0xffff)}
	if s.Major != 3 {
		return s, nil // the caller refuses; what follows has another layout
	}
	return s, s.parseParams(rest)
}

func (s *Startup) parseParams(p []byte) error {
	for {
		name, rest, ok := CString(p)
		if !ok {
			return ErrStartupLayout
		}
		if len(name) == 0 {
			if len(rest) != 0 {
				return ErrStartupLayout
			}
			return nil
		}
		value, rest, ok := CString(rest)
		if !ok {
			return ErrStartupLayout
		}
		p = rest
		if strings.HasPrefix(string(name), "_pq_.") {
			s.Unsupported = append(s.Unsupported, string(name))
			continue
		}
		s.Params = append(s.Params, Param{string(name), string(value)})
	}
}

// MaxMinor is the newest minor version of protocol 3 that we speak.
const MaxMinor = 2

// Negotiated returns the minor version to speak with this client.
func (s *Startup) Negotiated() int {
	switch {
	case s.Minor >= MaxMinor:
		return MaxMinor
	default:
		return 0 // 3.1 was never released; PostgreSQL 18 answers it with 3.0
	}
}

// AppendNegotiate appends a NegotiateProtocolVersion where the client asked
// for a newer minor version or for options that we do not know.
func (s *Startup) AppendNegotiate(dst []byte) []byte {
	if s.Minor == s.Negotiated() && len(s.Unsupported) == 0 {
		return dst
	}
	body := binary.BigEndian.AppendUint32(nil, uint32(3<<16|s.Negotiated()))
	body = binary.BigEndian.AppendUint32(body, uint32(len(s.Unsupported)))
	for _, o := range s.Unsupported {
		body = append(append(body, o...), 0)
	}
	return AppendFrame(dst, 'v', body)
}
