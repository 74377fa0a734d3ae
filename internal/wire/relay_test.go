package wire_test

import (
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/penstock/penstock/internal/wire"
)

// relay joins a client and a server as the proxy does, without looking at what
// passes, and returns their own ends.
func relay(t testing.TB, clientNetwork string) (client, server net.Conn) {
	t.Helper()
	front, client := pair(t, clientNetwork)
	back, server := pair(t, "tcp")
	for from, to := range map[*wire.Conn]*wire.Conn{front: back, back: front} {
		go func() {
			_ = from.Pump(receiverFunc(func(b *wire.Buffer) error {
				_, err := to.Write(b.Bytes())
				b.Consume(b.Len())
				return err
			}))
			to.Kill()
		}()
	}
	return client, server
}

// exchange sends a message from one end to the other and back.
func exchange(t testing.TB, client, server net.Conn, message, room []byte) {
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		if _, err := way[0].Write(message); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(way[1], room[:len(message)]); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRelayedMessageAllocatesNothing(t *testing.T) {
	if racing {
		t.Skip("the race detector allocates")
	}
	client, server := relay(t, "tcp")
	message, room := make([]byte, 200), make([]byte, 200)
	exchange(t, client, server, message, room)
	if n := testing.AllocsPerRun(500, func() { exchange(t, client, server, message, room) }); n != 0 {
		t.Errorf("%v allocations per message and answer, want 0", n)
	}
}

func BenchmarkRelay(b *testing.B) {
	for _, network := range []string{"tcp", "unix", "tls"} {
		for _, size := range []int{64, 4096} {
			b.Run(fmt.Sprintf("client=%s/bytes=%d", network, size), func(b *testing.B) {
				client, server := relay(b, network)
				message, room := make([]byte, size), make([]byte, size)
				b.ReportAllocs()
				for b.Loop() {
					exchange(b, client, server, message, room)
				}
			})
		}
	}
}
