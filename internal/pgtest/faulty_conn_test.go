package pgtest

import (
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// What is encrypted may look like messages and is not counted as such.
func TestEncryptedBytesAreNoFrames(t *testing.T) {
	t.Parallel()
	ask, err := (&pgproto3.SSLRequest{}).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	for answer, want := range map[byte][2]int{'S': {1, 1}, 'G': {1, 1}, 'N': {2, 2}} {
		c := newFaultyConn(nil, nil)
		c.advance(ToServer, ask)
		c.advance(ToClient, []byte{answer})
		c.advance(ToServer, ask)
		c.advance(ToClient, []byte{'N'})
		if got := c.traffic(); got.Frames != want || got.Bytes != [2]int64{16, 2} {
			t.Errorf("after %c: %+v, want frames %v", answer, got, want)
		}
	}
}

// Messages are found in whatever pieces they come.
func TestFramesInPieces(t *testing.T) {
	t.Parallel()
	data, err := (&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "u"}}).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, msg := range []pgproto3.FrontendMessage{&pgproto3.Query{String: "SELECT 1"}, &pgproto3.Sync{}, &pgproto3.Terminate{}} {
		if data, err = msg.Encode(data); err != nil {
			t.Fatal(err)
		}
	}
	for size := 1; size <= len(data); size++ {
		c := newFaultyConn(nil, nil)
		for rest := data; len(rest) > 0; {
			n := min(size, len(rest))
			if got := c.advance(ToServer, rest[:n]); got != n {
				t.Fatalf("pieces of %d: %d bytes taken", size, got)
			}
			rest = rest[n:]
		}
		if got := c.traffic(); got.Frames[ToServer] != 4 || !c.frames[ToServer].atBoundary() {
			t.Errorf("pieces of %d: %+v", size, got)
		}
	}
}
