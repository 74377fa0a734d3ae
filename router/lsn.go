package router

import (
	"fmt"
	"strconv"
	"strings"
)

// LSN is a position in the write-ahead log, in bytes. 0 is none.
type LSN uint64

// ParseLSN reads PostgreSQL's form, as 16/B374D848.
func ParseLSN(s string) (LSN, error) {
	high, low, ok := strings.Cut(s, "/")
	h, err := strconv.ParseUint(high, 16, 32)
	if err != nil || !ok {
		return 0, fmt.Errorf("%q is no LSN", s)
	}
	l, err := strconv.ParseUint(low, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no LSN", s)
	}
	return LSN(h<<32 | l), nil
}

// String returns PostgreSQL's form.
func (l LSN) String() string {
	return string(l.Append(nil))
}

// Append appends PostgreSQL's form to b.
func (l LSN) Append(b []byte) []byte {
	start := len(b)
	b = strconv.AppendUint(b, uint64(l>>32), 16)
	b = append(b, '/')
	b = strconv.AppendUint(b, uint64(l&0xffffffff), 16)
	for i := start; i < len(b); i++ {
		if b[i] >= 'a' {
			b[i] -= 'a' - 'A'
		}
	}
	return b
}

// Behind returns how many bytes l is before other, 0 if it is not.
func (l LSN) Behind(other LSN) uint64 {
	if l >= other {
		return 0
	}
	return uint64(other - l)
}

// Position is a place in the history of one cluster. Positions of different
// systems or timelines cannot be compared: a timeline that was left behind may
// have had LSNs that mean something else on the next.
type Position struct {
	System   uint64 // system_identifier
	Timeline uint32
	LSN      LSN
}

// IsZero says that there is no position.
func (p Position) IsZero() bool { return p.LSN == 0 }

// Comparable says whether the LSNs of two positions can be compared.
func (p Position) Comparable(other Position) bool {
	return p.System == other.System && p.Timeline == other.Timeline
}

// Covers says whether a server that has replayed up to p has what floor asks for.
func (p Position) Covers(floor Position) bool {
	return floor.IsZero() || p.Comparable(floor) && p.LSN >= floor.LSN
}

// Later returns the later of two positions; of two that cannot be compared, next.
func (p Position) Later(next Position) Position {
	if p.Comparable(next) && p.LSN > next.LSN {
		return p
	}
	return next
}
