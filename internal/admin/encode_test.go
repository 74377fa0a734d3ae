package admin

import (
	"math"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/penstock/penstock/internal/stats"
)

func TestNumbersArriveInTextAndBinary(t *testing.T) {
	t.Parallel()
	types := pgtype.NewMap()
	numbers := []int64{
		0, 1, -1, 9, 10, 9999, 10000, 10001, 99999999, 100000000, 120000, -120000, 1 << 31, math.MaxInt32, math.MinInt32,
		math.MaxInt64, math.MinInt64, 1e18, 10000000000000000,
	}
	for _, kind := range []stats.Type{stats.Int4, stats.Int8, stats.Numeric} {
		for _, format := range []int16{textFormat, binaryFormat} {
			for _, n := range numbers {
				want := n
				if kind == stats.Int4 {
					want = min(max(n, math.MinInt32), math.MaxInt32)
				}
				raw, err := encode(kind, format, n)
				if err != nil {
					t.Fatal(err)
				}
				var got int64
				if err := types.Scan(uint32(kind), format, raw, &got); err != nil || got != want {
					t.Errorf("%s in format %d: %d arrives as %d, %v", kind, format, n, got, err)
				}
			}
		}
	}
}

func TestNumericIsWhatPostgreSQLSends(t *testing.T) {
	t.Parallel()
	// SELECT numeric_send(n), PostgreSQL 15.
	rows := map[int64]string{
		0:         "\x00\x00\x00\x00\x00\x00\x00\x00",
		1:         "\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01",
		-1:        "\x00\x01\x00\x00\x40\x00\x00\x00\x00\x01",
		10000:     "\x00\x01\x00\x01\x00\x00\x00\x00\x00\x01",
		123456789: "\x00\x03\x00\x02\x00\x00\x00\x00\x00\x01\x09\x29\x1a\x85",
	}
	for n, want := range rows {
		if got := string(encodeNumeric(n)); got != want {
			t.Errorf("%d: %x, want %x", n, got, want)
		}
	}
}

func TestOtherValues(t *testing.T) {
	t.Parallel()
	moment := time.Date(2026, 11, 22, 12, 0, 1, 0, time.UTC)
	rows := []struct {
		name   string
		kind   stats.Type
		format int16
		value  any
		want   string // "NULL" if nil
	}{
		{"NULL", stats.Int4, binaryFormat, nil, "NULL"},
		{"text", stats.Text, binaryFormat, "é", "é"},
		{"empty text is not NULL", stats.Text, textFormat, "", ""},
		{"an int", stats.Int4, textFormat, 5, "5"},
		{"a time", stats.Text, textFormat, moment, "2026-11-22 12:00:01 UTC"},
		{"a time in binary", stats.Text, binaryFormat, moment, "2026-11-22 12:00:01 UTC"},
		{"no time", stats.Text, textFormat, time.Time{}, "NULL"},
		{"true", stats.Bool, textFormat, true, "t"},
		{"false", stats.Bool, textFormat, false, "f"},
		{"true in binary", stats.Bool, binaryFormat, true, "\x01"},
		{"false in binary", stats.Bool, binaryFormat, false, "\x00"},
		{"true as a number", stats.Int4, textFormat, true, "1"},
		{"false as a number", stats.Int4, binaryFormat, false, "\x00\x00\x00\x00"},
		{"bytes", stats.Bytea, textFormat, []byte{0, 0xab}, `\x00ab`},
		{"bytes in binary", stats.Bytea, binaryFormat, []byte{0, 0xab}, "\x00\xab"},
	}
	for _, row := range rows {
		raw, err := encode(row.kind, row.format, row.value)
		got := string(raw)
		if raw == nil {
			got = "NULL"
		}
		if err != nil || got != row.want {
			t.Errorf("%s: %q, %v", row.name, got, err)
		}
	}
}

func TestValuesThatDoNotFitTheirColumnAreErrors(t *testing.T) {
	t.Parallel()
	rows := []struct {
		kind  stats.Type
		value any
	}{
		{stats.Int4, "5"},
		{stats.Text, 5},
		{stats.Text, true},
		{stats.Int8, time.Now()},
		{stats.Text, []byte("x")},
		{stats.Bool, int64(1)},
		{stats.Numeric, 1.5},
	}
	for _, row := range rows {
		if raw, err := encode(row.kind, textFormat, row.value); err == nil {
			t.Errorf("%T as %s became %q", row.value, row.kind, raw)
		}
	}
	if _, err := dataRow(columns(stats.Text, "a", "b"), nil, []any{"x"}); err == nil {
		t.Error("a row that is too short was sent")
	}
}
