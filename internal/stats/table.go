package stats

import "time"

// Type is the OID of a column's PostgreSQL type.
type Type uint32

// The types a table may have. Timestamps are Text (see FormatTime), as in
// PgBouncer.
const (
	Bool    Type = 16
	Bytea   Type = 17
	Int8    Type = 20
	Int4    Type = 23
	Text    Type = 25
	Numeric Type = 1700
)

// Size is the type's length as RowDescription gives it: -1 if it varies.
func (t Type) Size() int16 {
	switch t {
	case Bool:
		return 1
	case Int4:
		return 4
	case Int8:
		return 8
	default:
		return -1
	}
}

// String is the type's name in SQL.
func (t Type) String() string {
	switch t {
	case Bool:
		return "bool"
	case Bytea:
		return "bytea"
	case Int8:
		return "int8"
	case Int4:
		return "int4"
	case Text:
		return "text"
	case Numeric:
		return "numeric"
	}
	return "unknown"
}

// Column is a column's name and type.
type Column struct {
	Name string
	Type Type
}

// Table is rows and what their columns mean. A value is nil (NULL), a string,
// an int or int64, a bool (1 or 0 in a column of numbers), a []byte, or a
// time.Time, whose zero is NULL.
type Table struct {
	Columns []Column
	Rows    [][]any
}

// Append adds a row. The table keeps the slice.
func (t *Table) Append(values ...any) {
	t.Rows = append(t.Rows, values)
}

// FormatTime writes a timestamp as PgBouncer does: in the local zone of tm,
// to the second, the zone's name behind it.
func FormatTime(tm time.Time) string {
	return tm.Format("2006-01-02 15:04:05 MST")
}
