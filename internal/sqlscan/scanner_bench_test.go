package sqlscan_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/sqlscan"
)

// typical is a SELECT of 200 bytes.
const typical = "SELECT o.id, o.placed_at, c.name, sum(i.price * i.amount) AS total FROM orders o JOIN customers c ON c.id = o.customer_id JOIN items i ON i.order_id = o.id WHERE o.id = $1 AND c.region IN (1, 2) LIMIT 10"

func BenchmarkScan(b *testing.B) {
	var insert strings.Builder
	insert.WriteString("INSERT INTO t (a, b, c) VALUES ")
	for i := range 100 {
		if i > 0 {
			insert.WriteString(", ")
		}
		insert.WriteString("(" + strconv.Itoa(i) + ", 'some text', $1)")
	}
	for _, c := range []struct{ name, text string }{
		{"pgbench", "SELECT abalance FROM pgbench_accounts WHERE aid = 17"},
		{"typical", typical},
		{"lower", strings.ToLower(typical)},
		{"insert", insert.String()},
		{"sum64000", "SELECT 1" + strings.Repeat("+1", 63999)},
	} {
		b.Run(c.name, func(b *testing.B) {
			var s sqlscan.Scanner
			b.ReportAllocs()
			b.SetBytes(int64(len(c.text)))
			for b.Loop() {
				s.Scan(c.text, sqlscan.Options{})
			}
		})
	}
}

func BenchmarkNormalized(b *testing.B) {
	var s sqlscan.Scanner
	s.Scan(typical, sqlscan.Options{})
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		s.Normalized(buf)
	}
}

func BenchmarkCacheHit(b *testing.B) {
	c := sqlscan.NewCache[*int](1 << 20)
	for i := range 1000 {
		c.Store(typical+strconv.Itoa(i), 1, new(int))
	}
	text := strings.Clone(typical + "7")
	b.Run("serial", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := c.Lookup(text, 1); !ok {
				b.Fatal("missed")
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				c.Lookup(text, 1)
			}
		})
	})
}

func BenchmarkMarks(b *testing.B) {
	m := sqlscan.NewMarks[bool](1000)
	m.Store(1, true)
	for b.Loop() {
		m.Lookup(1)
	}
}
