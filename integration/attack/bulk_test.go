package attack

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgtest"
)

const (
	bulk     = 256 << 20
	bulkMost = 32 << 20
)

func TestBulkDoesNotFillMemory(t *testing.T) {
	for _, c := range []struct {
		name, sql string
		frames    int // of CopyData from the client
	}{
		{"a row", "SELECT repeat('x', 268435456)", 0},
		{"COPY out", "COPY (SELECT repeat('x', 1048575) FROM generate_series(1, 256)) TO STDOUT", 0},
		{"COPY in", "COPY pg_temp.sink FROM STDIN WHERE false", 4096},
		{"COPY in as one message", "COPY pg_temp.sink FROM STDIN WHERE false", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, options{pool: `mode = "session"`})
			client := p.login(t)
			if _, err := query(client, "CREATE TEMP TABLE sink (x text)"); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			grown := p.growth(t, func() {
				if err := client.Send(&pgproto3.Query{String: c.sql}); err != nil {
					t.Fatal(err)
				}
				_ = client.Conn.SetDeadline(began.Add(time.Minute)) // for a busy machine
				in := bufio.NewReaderSize(client.Conn, 1<<16)
				passed, want := 0, bulk
				if c.frames > 0 {
					passed = copyIn(t, client, in, bulk/c.frames, c.frames)
				}
				if passed += readBulk(t, in); passed < want {
					t.Errorf("%d bytes passed, want %d", passed, want)
				}
			})
			t.Logf("%.1f MB more at its highest, in %v", float64(grown)/(1<<20), time.Since(began))
			if grown > bulkMost {
				t.Errorf("memory grew by %d MB, want at most %d", grown>>20, bulkMost>>20)
			}
		})
	}
}

// copyIn sends rows as CopyData and returns how many bytes they were.
func copyIn(t *testing.T, client *pgtest.Client, in *bufio.Reader, size, frames int) int {
	t.Helper()
	if typ, _ := readFrame(t, in); typ != 'G' {
		t.Fatalf("got %c, want CopyInResponse", typ)
	}
	data := make([]byte, size)
	for i := range data {
		data[i] = 'x'
	}
	data[size-1] = '\n'
	data = frame('d', data, 0)
	for range frames {
		if _, err := client.Conn.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Conn.Write(frame('c', nil, 0)); err != nil {
		t.Fatal(err)
	}
	return size * frames
}

// readBulk reads until ReadyForQuery and returns how many bytes of data came.
func readBulk(t *testing.T, in *bufio.Reader) int {
	t.Helper()
	total, complete := 0, false
	for {
		switch typ, n := readFrame(t, in); typ {
		case 'D', 'd':
			total += n
		case 'C':
			complete = true
		case 'E':
			t.Error("an error came")
		case 'Z':
			if !complete {
				t.Error("it was not completed")
			}
			return total
		}
	}
}

// readFrame skips a message; it holds none of it.
func readFrame(t *testing.T, in *bufio.Reader) (typ byte, n int) {
	t.Helper()
	var head [5]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		t.Fatal(err)
	}
	n = int(binary.BigEndian.Uint32(head[1:])) - 4
	if _, err := io.CopyN(io.Discard, in, int64(n)); err != nil {
		t.Fatal(fmt.Errorf("message %c of %d bytes: %w", head[0], n, err))
	}
	return head[0], n
}
