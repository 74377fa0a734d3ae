package stats_test

import (
	"testing"
	"time"

	"github.com/penstock/penstock/internal/stats"
)

func TestTypesAreKnownByNameAndSize(t *testing.T) {
	t.Parallel()
	rows := []struct {
		kind stats.Type
		oid  uint32
		name string
		size int16
	}{
		{stats.Bool, 16, "bool", 1},
		{stats.Bytea, 17, "bytea", -1},
		{stats.Int8, 20, "int8", 8},
		{stats.Int4, 23, "int4", 4},
		{stats.Text, 25, "text", -1},
		{stats.Numeric, 1700, "numeric", -1},
		{stats.Type(99), 99, "unknown", -1},
	}
	for _, row := range rows {
		if uint32(row.kind) != row.oid || row.kind.String() != row.name || row.kind.Size() != row.size {
			t.Errorf("%s: OID %d, size %d", row.kind, row.kind, row.kind.Size())
		}
	}
}

func TestAppendAddsARow(t *testing.T) {
	t.Parallel()
	var table stats.Table
	table.Append("shop", int64(1))
	table.Append("blog", nil)
	if len(table.Rows) != 2 || table.Rows[0][1] != int64(1) || table.Rows[1][1] != nil {
		t.Errorf("got %v", table.Rows)
	}
}

func TestTimeIsWrittenAsPgBouncerWritesIt(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("CET", 3600)
	if got := stats.FormatTime(time.Date(2026, 1, 2, 3, 4, 5, 678e6, zone)); got != "2026-01-02 03:04:05 CET" {
		t.Errorf("got %q", got)
	}
}
