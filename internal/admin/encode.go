package admin

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/stats"
)

// Format codes of the protocol.
const (
	textFormat   int16 = pgproto3.TextFormat
	binaryFormat int16 = pgproto3.BinaryFormat
)

// formatOf is the format code of a column: none given means text, one means it
// for all. Manual, Message Formats, Bind.
func formatOf(formats []int16, column int) int16 {
	switch len(formats) {
	case 0:
		return textFormat
	case 1:
		return formats[0]
	}
	return formats[column]
}

// rowDescription describes columns. Table, attribute number and type modifier
// say that no table is behind them.
func rowDescription(columns []stats.Column, formats []int16) *pgproto3.RowDescription {
	m := &pgproto3.RowDescription{Fields: make([]pgproto3.FieldDescription, len(columns))}
	for i, c := range columns {
		m.Fields[i] = pgproto3.FieldDescription{
			Name:         []byte(c.Name),
			DataTypeOID:  uint32(c.Type),
			DataTypeSize: c.Type.Size(),
			TypeModifier: -1,
			Format:       formatOf(formats, i),
		}
	}
	return m
}

// dataRow encodes one row. A row that does not fit its columns is a bug of
// whoever made it.
func dataRow(columns []stats.Column, formats []int16, row []any) (*pgproto3.DataRow, error) {
	if len(row) != len(columns) {
		return nil, fmt.Errorf("row of %d values for %d columns", len(row), len(columns))
	}
	m := &pgproto3.DataRow{Values: make([][]byte, len(row))}
	for i, v := range row {
		value, err := encode(columns[i].Type, formatOf(formats, i), v)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", columns[i].Name, err)
		}
		m.Values[i] = value
	}
	return m, nil
}

// encode returns the bytes of one value, nil for NULL.
func encode(t stats.Type, format int16, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		if t == stats.Text {
			return []byte(v), nil
		}
	case time.Time:
		if t == stats.Text && v.IsZero() {
			return nil, nil
		}
		if t == stats.Text {
			return []byte(stats.FormatTime(v)), nil
		}
	case []byte:
		if t == stats.Bytea {
			return encodeBytea(format, v), nil
		}
	case bool:
		return encodeBool(t, format, v)
	case int:
		return encodeInteger(t, format, int64(v))
	case int64:
		return encodeInteger(t, format, v)
	}
	return nil, fmt.Errorf("%T in a column of type %s", v, t)
}

func encodeBytea(format int16, v []byte) []byte {
	if format == binaryFormat {
		return append([]byte{}, v...)
	}
	return append([]byte(`\x`), hex.EncodeToString(v)...)
}

func encodeBool(t stats.Type, format int16, v bool) ([]byte, error) {
	var n int64
	if v {
		n = 1
	}
	switch {
	case t != stats.Bool:
		return encodeInteger(t, format, n)
	case format == binaryFormat:
		return []byte{byte(n)}, nil
	case v:
		return []byte("t"), nil
	}
	return []byte("f"), nil
}

// encodeInteger writes a number. What is too large for an int4 column becomes
// its largest value: a wrong sign would be worse, and a tool that stops at the
// row worse still.
func encodeInteger(t stats.Type, format int16, n int64) ([]byte, error) {
	switch t {
	case stats.Int4:
		n = min(max(n, math.MinInt32), math.MaxInt32)
	case stats.Int8, stats.Numeric:
	default:
		return nil, fmt.Errorf("number in a column of type %s", t)
	}
	if format == textFormat {
		return strconv.AppendInt(nil, n, 10), nil
	}
	switch t {
	case stats.Int4:
		return binary.BigEndian.AppendUint32(nil, uint32(int32(n))), nil
	case stats.Int8:
		return binary.BigEndian.AppendUint64(nil, uint64(n)), nil
	default:
		return encodeNumeric(n), nil
	}
}

// encodeNumeric is PostgreSQL's numeric_send for whole numbers
// (src/backend/utils/adt/numeric.c): count of digits to the base of 10,000,
// weight of the first, sign, digits behind the point, the digits without
// trailing zeros.
func encodeNumeric(n int64) []byte {
	const base, positive, negative = 10000, 0x0000, 0x4000
	sign, rest := uint16(positive), uint64(n)
	if n < 0 {
		sign, rest = negative, -uint64(n)
	}
	var digits []uint16 // the last first
	for ; rest > 0; rest /= base {
		digits = append(digits, uint16(rest%base))
	}
	weight := uint16(max(len(digits)-1, 0))
	for len(digits) > 0 && digits[0] == 0 {
		digits = digits[1:]
	}
	out := binary.BigEndian.AppendUint16(nil, uint16(len(digits)))
	out = binary.BigEndian.AppendUint16(out, weight)
	out = binary.BigEndian.AppendUint16(out, sign)
	out = binary.BigEndian.AppendUint16(out, 0)
	for _, digit := range slices.Backward(digits) {
		out = binary.BigEndian.AppendUint16(out, digit)
	}
	return out
}
