package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/penstock/penstock/internal/wire"
)

// packet puts a length word in front of the body of a first packet.
func packet(body string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(4+len(body))), body...)
}

const (
	v30    = "\x00\x03\x00\x00"
	v32    = "\x00\x03\x00\x02"
	grease = "\x00\x03\x27\x0f" // 3.9999, what PostgreSQL 19's libpq says first
	ssl    = "\x04\xd2\x16\x2f"
	gss    = "\x04\xd2\x16\x30"
	cancel = "\x04\xd2\x16\x2e"
)

func TestParseStartupReadsFirstPackets(t *testing.T) {
	t.Parallel()
	key256 := strings.Repeat("k", 256)
	for name, c := range map[string]struct {
		body string
		want *wire.Startup
		err  error
	}{
		"nothing":                         {"", nil, wire.ErrStartupLength},
		"half a version":                  {"\x00\x03\x00", nil, wire.ErrStartupLength},
		"SSLRequest":                      {ssl, &wire.Startup{Kind: wire.SSLRequest}, nil},
		"SSLRequest with more":            {ssl + "x", nil, wire.ErrStartupLength},
		"GSSENCRequest":                   {gss, &wire.Startup{Kind: wire.GSSENCRequest}, nil},
		"GSSENCRequest with more":         {gss + "\x00", nil, wire.ErrStartupLength},
		"CancelRequest":                   {cancel + "\x00\x00\x01\x02key!", &wire.Startup{Kind: wire.CancelRequest, PID: 258, Secret: []byte("key!")}, nil},
		"CancelRequest, 3.2":              {cancel + "\x00\x00\x00\x01" + key256, &wire.Startup{Kind: wire.CancelRequest, PID: 1, Secret: []byte(key256)}, nil},
		"CancelRequest, key too short":    {cancel + "\x00\x00\x00\x01key", nil, wire.ErrStartupLength},
		"CancelRequest, key too long":     {cancel + "\x00\x00\x00\x01k" + key256, nil, wire.ErrStartupLength},
		"CancelRequest, no key":           {cancel, nil, wire.ErrStartupLength},
		"no parameters, no end":           {v30, nil, wire.ErrStartupLayout},
		"no parameters":                   {v30 + "\x00", &wire.Startup{Major: 3}, nil},
		"parameters":                      {v32 + "user\x00a\x00database\x00\x00\x00", &wire.Startup{Major: 3, Minor: 2, Params: []wire.Param{{"user", "a"}, {"database", ""}}}, nil},
		"a parameter twice":               {v30 + "user\x00a\x00user\x00b\x00\x00", &wire.Startup{Major: 3, Params: []wire.Param{{"user", "a"}, {"user", "b"}}}, nil},
		"options of the protocol":         {grease + "_pq_.x\x00y\x00user\x00a\x00_pq_.z\x00\x00\x00", &wire.Startup{Major: 3, Minor: 9999, Params: []wire.Param{{"user", "a"}}, Unsupported: []string{"_pq_.x", "_pq_.z"}}, nil},
		"bytes behind the end":            {v30 + "user\x00a\x00\x00x", nil, wire.ErrStartupLayout},
		"an end behind the end":           {v30 + "user\x00a\x00\x00\x00", nil, wire.ErrStartupLayout},
		"no end":                          {v30 + "user\x00a\x00", nil, wire.ErrStartupLayout},
		"a name without a value":          {v30 + "user\x00", nil, wire.ErrStartupLayout},
		"a name without NUL":              {v30 + "user", nil, wire.ErrStartupLayout},
		"a value without NUL":             {v30 + "user\x00a", nil, wire.ErrStartupLayout},
		"protocol 2 has another layout":   {"\x00\x02\x00\x00anything", &wire.Startup{Major: 2}, nil},
		"protocol 4 is for us to refuse":  {"\x00\x04\x00\x01", &wire.Startup{Major: 4, Minor: 1}, nil},
		"an HTTP request is no protocol":  {"GET / HTTP/1.1", &wire.Startup{Major: 0x4745, Minor: 0x5420}, nil},
		"the version may have a high bit": {"\xff\xff\xff\xff", &wire.Startup{Major: 0xffff, Minor: 0xffff}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := wire.ParseStartup([]byte(c.body))
			if !errors.Is(err, c.err) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			if err == nil && !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestTheLastOfEqualParametersWins(t *testing.T) {
	t.Parallel()
	s := &wire.Startup{Params: []wire.Param{{"user", "a"}, {"x", "1"}, {"user", "b"}}}
	if s.Get("user") != "b" || s.Get("x") != "1" || s.Get("y") != "" {
		t.Errorf("got %q, %q, %q", s.Get("user"), s.Get("x"), s.Get("y"))
	}
}

func TestReadStartupTakesNotAByteTooMuch(t *testing.T) {
	t.Parallel()
	in := bytes.NewReader(append(packet(ssl), "stuffed"...))
	for name, r := range map[string]io.Reader{"whole": in, "byte by byte": iotest.OneByteReader(bytes.NewReader(append(packet(ssl), "stuffed"...)))} {
		s, err := wire.ReadStartup(r)
		if err != nil || s.Kind != wire.SSLRequest {
			t.Fatalf("%s: got %+v, %v", name, s, err)
		}
		if rest, _ := io.ReadAll(r); string(rest) != "stuffed" {
			t.Errorf("%s: %q is left, want all that was sent behind the request", name, rest)
		}
	}
}

func TestReadStartupRefusesLengthsBeforeItReads(t *testing.T) {
	t.Parallel()
	for _, length := range []uint32{0, 3, 4, 7, 10005, 1 << 20, 0x7fffffff, 0x80000000, 0xffffffff} {
		r := io.MultiReader(bytes.NewReader(binary.BigEndian.AppendUint32(nil, length)), iotest.ErrReader(errors.New("it reads on")))
		if _, err := wire.ReadStartup(r); !errors.Is(err, wire.ErrStartupLength) {
			t.Errorf("%d bytes: got %v", length, err)
		}
	}
}

// postmaster.c ProcessStartupPacket: MAX_STARTUP_PACKET_LENGTH is compared
// with the length of what stands behind the length word.
func TestReadStartupTakesAsMuchAsPostgreSQL(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]error{wire.MaxStartupSize: nil, wire.MaxStartupSize + 1: wire.ErrStartupLength} {
		body := v30 + "user\x00" + strings.Repeat("u", n-len(v30)-len("user\x00")-2) + "\x00\x00"
		if _, err := wire.ReadStartup(bytes.NewReader(packet(body))); !errors.Is(err, want) {
			t.Errorf("%d bytes: got %v, want %v", n, err, want)
		}
	}
}

func TestReadsThatEndTooSoonSaySo(t *testing.T) {
	t.Parallel()
	whole := packet(v30 + "user\x00a\x00\x00")
	for n := range whole {
		_, err := wire.ReadStartup(iotest.DataErrReader(bytes.NewReader(whole[:n])))
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if !errors.Is(err, want) {
			t.Errorf("startup of %d bytes: got %v, want %v", n, err, want)
		}
	}
	if _, err := wire.ReadStartup(iotest.DataErrReader(bytes.NewReader(whole))); err != nil {
		t.Errorf("the last byte came with the end: %v", err)
	}
	message := wire.AppendString(nil, wire.PasswordMessage, "secret")
	for n := range message {
		if _, _, err := wire.ReadMessage(bytes.NewReader(message[:n]), 100); err == nil {
			t.Errorf("a message of %d bytes was whole", n)
		}
	}
}

func TestReadMessageHoldsItsLimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		frame string
		limit int
		typ   byte
		body  string
		err   error
	}{
		"empty":             {"p\x00\x00\x00\x04", 0, 'p', "", nil},
		"with a body":       {"p\x00\x00\x00\x06ab", 2, 'p', "ab", nil},
		"over the limit":    {"p\x00\x00\x00\x07abc", 2, 'p', "", wire.ErrInvalidLength},
		"a length under 4":  {"p\x00\x00\x00\x03", 2, 'p', "", wire.ErrInvalidLength},
		"a negative length": {"p\xff\xff\xff\xff", 2, 'p', "", wire.ErrInvalidLength},
		"the largest":       {"p\x7f\xff\xff\xff", 65535, 'p', "", wire.ErrInvalidLength},
	} {
		typ, body, err := wire.ReadMessage(strings.NewReader(c.frame), c.limit)
		if typ != c.typ || string(body) != c.body || !errors.Is(err, c.err) {
			t.Errorf("%s: got %q, %q, %v", name, typ, body, err)
		}
	}
}

// trickle gives what it has and then nothing, and notes how much room it was
// offered: what has been allocated.
type trickle struct {
	have   []byte
	room   int
	failed bool
}

var errSilent = errors.New("the client says no more")

func (r *trickle) Read(p []byte) (int, error) {
	r.room = max(r.room, len(p))
	if len(r.have) == 0 {
		r.failed = true
		return 0, errSilent
	}
	n := copy(p[:min(len(p), 7)], r.have)
	r.have = r.have[n:]
	return n, nil
}

func TestReadsAllocateByWhatHasComeNotByWhatIsClaimed(t *testing.T) {
	t.Parallel()
	for _, sent := range []int{0, 10, 600, 3000, 9000} {
		for name, read := range map[string]func(io.Reader) error{
			"ReadStartup": func(r io.Reader) error {
				_, err := wire.ReadStartup(io.MultiReader(bytes.NewReader([]byte{0, 0, 0x27, 0x10}), r))
				return err
			},
			"ReadMessage": func(r io.Reader) error {
				_, _, err := wire.ReadMessage(io.MultiReader(bytes.NewReader([]byte{'p', 0, 0, 0xff, 0xff}), r), 65535)
				return err
			},
		} {
			r := &trickle{have: make([]byte, sent)}
			if err := read(r); !errors.Is(err, errSilent) {
				t.Errorf("%s: got %v", name, err)
			}
			if most := 1024 + sent; r.room > most {
				t.Errorf("%s has room for %d bytes more when %d have come", name, r.room, sent)
			}
		}
	}
}

func TestNegotiationAnswersWhatWeDoNotKnow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		minor       int
		unsupported []string
		speak       int
		answer      string
	}{
		"3.0":              {0, nil, 0, ""},
		"3.1, never made":  {1, nil, 0, "v\x00\x00\x00\x0c\x00\x03\x00\x00\x00\x00\x00\x00"},
		"3.2":              {2, nil, 2, ""},
		"3.9999":           {9999, nil, 2, "v\x00\x00\x00\x0c\x00\x03\x00\x02\x00\x00\x00\x00"},
		"3.0 with options": {0, []string{"_pq_.a", "_pq_.b"}, 0, "v\x00\x00\x00\x1a\x00\x03\x00\x00\x00\x00\x00\x02_pq_.a\x00_pq_.b\x00"},
	} {
		s := &wire.Startup{Major: 3, Minor: c.minor, Unsupported: c.unsupported}
		if got := string(s.AppendNegotiate([]byte("x"))); s.Negotiated() != c.speak || got != "x"+c.answer {
			t.Errorf("%s: speaks 3.%d and answers %q, want 3.%d and %q", name, s.Negotiated(), got, c.speak, "x"+c.answer)
		}
	}
}

// FuzzStartup reads a connection's first bytes. What is understood is exactly
// what was sent: written anew it is the same packet.
func FuzzStartup(f *testing.F) {
	f.Add(packet(v30 + "user\x00a\x00database\x00b\x00\x00"))
	f.Add(packet(grease + "user\x00a\x00_pq_.test_protocol_negotiation\x00\x00\x00")) // libpq 19
	f.Add(append(packet(ssl), packet(v32+"user\x00a\x00\x00")...))                    // stuffed behind SSLRequest
	f.Add(packet(gss))
	f.Add(packet(cancel + "\x00\x00\x00\x01key!"))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		s, err := wire.ReadStartup(r)
		used := len(in) - r.Len()
		if used > wire.MaxStartupSize+4 {
			t.Fatalf("read %d bytes of a stranger", used)
		}
		if err != nil {
			return
		}
		if want := 4 + int(binary.BigEndian.Uint32(in)) - 4; used != want {
			t.Fatalf("read %d bytes, the packet has %d", used, want)
		}
		if s.Kind != wire.StartupMessage || s.Major != 3 || len(s.Unsupported) > 0 {
			return
		}
		body := binary.BigEndian.AppendUint32(nil, uint32(s.Major<<16|s.Minor))
		for _, p := range s.Params {
			body = append(body, fmt.Sprintf("%s\x00%s\x00", p.Name, p.Value)...)
		}
		if again := packet(string(append(body, 0))); !bytes.Equal(again, in[:used]) {
			t.Fatalf("%q was understood as %q", in[:used], again)
		}
	})
}
