package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/wire"
)

func TestParseHeaderWaitsForFiveBytes(t *testing.T) {
	t.Parallel()
	frame := []byte{'Q', 0, 0, 1, 2, 'x'}
	for n := range wire.HeaderSize {
		if _, ok := wire.ParseHeader(frame[:n]); ok {
			t.Errorf("a header of %d bytes", n)
		}
	}
	h, ok := wire.ParseHeader(frame[:wire.HeaderSize])
	if !ok || h != (wire.Header{Type: 'Q', Len: 258}) || h.Total() != 259 {
		t.Errorf("got %+v, %t, total %d", h, ok, h.Total())
	}
	if h, _ := wire.ParseHeader([]byte{'Q', 0xff, 0xff, 0xff, 0xff}); h.Len != -1 {
		t.Errorf("the length of PostgreSQL is signed: got %d, want -1", h.Len)
	}
}

// postgres.c SocketBackend chooses the limit by the type, pqcomm.c
// pq_getmessage refuses what is under 4 or over it.
func TestFrontendFramesHaveTheLimitsOfPostgreSQL(t *testing.T) {
	t.Parallel()
	const small, large = 10000, 0x3ffffffe
	limits := map[byte]int{
		'Q': large, 'P': large, 'B': large, 'F': large, 'd': large,
		'D': small, 'E': small, 'C': small, 'H': small, 'S': small, 'c': small, 'f': small, 'X': small,
	}
	for typ := range 256 {
		limit, known := limits[byte(typ)]
		for _, length := range []int{math.MinInt32, -1, 0, 3, 4, small, small + 1, large, large + 1, math.MaxInt32} {
			var want error
			switch {
			case !known:
				want = wire.ErrUnknownType
			case length < 4 || length > limit:
				want = wire.ErrInvalidLength
			}
			if got := (wire.Header{Type: byte(typ), Len: length}).CheckFrontend(); !errors.Is(got, want) {
				t.Errorf("type %q of %d bytes: got %v, want %v", byte(typ), length, got, want)
			}
		}
	}
}

func TestBackendFramesNeedALengthThatCanBe(t *testing.T) {
	t.Parallel()
	for length, want := range map[int]error{
		math.MinInt32: wire.ErrInvalidLength, -1: wire.ErrInvalidLength, 0: wire.ErrInvalidLength, 3: wire.ErrInvalidLength,
		4: nil, 1 << 30: nil, math.MaxInt32: nil, // a row has no limit of ours
	} {
		if got := (wire.Header{Type: 'D', Len: length}).CheckBackend(); !errors.Is(got, want) {
			t.Errorf("%d bytes: got %v, want %v", length, got, want)
		}
	}
}

func TestCStringCutsAtTheFirstNUL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		s, rest string
		ok      bool
	}{
		"":             {"", "", false},
		"abc":          {"", "", false},
		"\x00":         {"", "", true},
		"abc\x00":      {"abc", "", true},
		"a\x00b\x00":   {"a", "b\x00", true},
		"\x00\x00rest": {"", "\x00rest", true},
	} {
		s, rest, ok := wire.CString([]byte(in))
		if string(s) != want.s || string(rest) != want.rest || ok != want.ok {
			t.Errorf("%q: got %q, %q, %t", in, s, rest, ok)
		}
	}
}

func TestAppendedFramesAreThoseOfTheManual(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"frame":           {wire.AppendFrame(nil, 'x', []byte("ab"), nil, []byte("c")), "x\x00\x00\x00\x07abc"},
		"frame, no body":  {wire.AppendFrame([]byte("before"), 'x'), "beforex\x00\x00\x00\x04"},
		"string":          {wire.AppendString(nil, 'Q', "select"), "Q\x00\x00\x00\x0bselect\x00"},
		"ready":           {wire.AppendReady(nil, 'T'), "Z\x00\x00\x00\x05T"},
		"empty":           {wire.AppendEmpty(nil, wire.Sync), "S\x00\x00\x00\x04"},
		"parameter":       {wire.AppendParameterStatus(nil, "a", ""), "S\x00\x00\x00\x07a\x00\x00"},
		"close":           {wire.AppendClose(nil, "ab"), "C\x00\x00\x00\x08Sab\x00"},
		"close, unnamed":  {wire.AppendClose(nil, ""), "C\x00\x00\x00\x06S\x00"},
		"a length over 1": {wire.AppendFrame(nil, 'x', make([]byte, 0x010203-4))[:5], "x\x00\x01\x02\x03"},
	} {
		if string(c.got) != c.want {
			t.Errorf("%s: got %q, want %q", name, c.got, c.want)
		}
	}
}

func TestBufferRefusesToConsumeWhatHasNotCome(t *testing.T) {
	t.Parallel()
	for _, n := range []int{-1, 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			defer func() {
				if v := recover(); v == nil || !strings.HasPrefix(fmt.Sprint(v), "bug: ") {
					t.Errorf("got %v, want a panic that says bug", v)
				}
			}()
			new(wire.Buffer).Consume(n)
		})
	}
}

// FuzzFrames walks over bytes as the proxy does. Each frame lies within what
// has come, and put together again it is the same bytes.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("Q\x00\x00\x00\x0eSELECT 1;\x00S\x00\x00\x00\x04"))                                        // two whole frames
	f.Add([]byte("P\x00\x00\x00\x10a\x00SELECT\x00\x00\x00B\x00\x00\x00\x0c\x00a\x00\x00\x00\x00\x00\x00")) // and a part of one
	f.Add([]byte("d\x3f\xff\xff\xfex"))                                                                     // the largest that PostgreSQL takes
	f.Add([]byte("Q\xff\xff\xff\xff"))                                                                      // a negative length
	f.Add([]byte("S\x00\x00\x27\x10"))                                                                      // a Sync that claims a body
	f.Fuzz(func(t *testing.T, in []byte) {
		p := in
		for {
			h, ok := wire.ParseHeader(p)
			if !ok {
				return
			}
			front, back := h.CheckFrontend(), h.CheckBackend()
			if front == nil && back != nil {
				t.Fatalf("%+v may come from a client and not from a server", h)
			}
			if back != nil || h.Total() > len(p) {
				return
			}
			frame := p[:h.Total()]
			if again := wire.AppendFrame(nil, h.Type, frame[wire.HeaderSize:]); !bytes.Equal(again, frame) {
				t.Fatalf("%q was put together as %q", frame, again)
			}
			for body := frame[wire.HeaderSize:]; ; {
				s, rest, ok := wire.CString(body)
				if !ok {
					break
				}
				if len(s)+1+len(rest) != len(body) {
					t.Fatalf("%q was cut into %q and %q", body, s, rest)
				}
				body = rest
			}
			p = p[h.Total():]
		}
	})
}
