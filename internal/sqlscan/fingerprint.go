package sqlscan

import "math/bits"

// The fingerprint is a chain over the tokens of a text: each token is folded
// into the hash by multiplying the 128-bit product of (hash xor what it is) and
// an odd constant, and xoring its halves, as wyhash does. Words count in lower
// case, quoted names as decoded and cut, operators as they stand; a constant or
// parameter counts as one and the same token. It must never change: counters
// and verdicts that users keep are stored by it.
//
// The verdict about a text may be kept by its fingerprint only where a wrong
// one errs to the primary: a fingerprint says nothing about constants, hints or
// settings, and whoever wants two texts to share one can find them. "This was
// refused on a replica" may be kept by it; "this is safe on a replica" may not:
// that belongs to the whole text (see Cache).
type fingerprint struct {
	hash  uint64
	saved uint64 // what a list will count as, however long it is
	list  listState
	depth int // of the row of VALUES that is being read
}

// listState is where we are in a list whose length shall not count.
type listState uint8

const (
	listNone   listState = iota
	listOpened           // behind IN ( or ARRAY [
	listGoing            // behind the first constant of such a list
	rowGoing             // in a row of VALUES
	rowEnded             // behind one
	rowComma             // behind the comma after one
	rowAgain             // in a further row, of constants so far
)

const (
	hashSeed  = 0x9e3779b97f4a7c15
	hashPrime = 0xd6e8feb86659fd93
	hashTag   = 0xa0761d6478bd642f
)

func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

// add folds in a token without text of its own.
func (f *fingerprint) add(sym symbol) {
	f.hash = mix(f.hash^uint64(sym), hashPrime)
}

// addText folds in a token with its text.
func (f *fingerprint) addText(sym symbol, s string) {
	h := f.hash ^ uint64(sym) ^ uint64(len(s))<<8
	for len(s) >= 8 {
		h = mix(h^load(s), hashPrime)
		s = s[8:]
	}
	var tail uint64
	for i := range len(s) {
		tail = tail<<8 | uint64(s[i])
	}
	f.hash = mix(h^tail, hashTag)
}

// load reads eight bytes, the first as the lowest.
func load(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// before sees each token before it is folded in, with the token before it and
// the depth of parentheses outside it.
func (f *fingerprint) before(sym, prev symbol, depth int) {
	switch {
	case sym == '(' && prev == wordValues:
		f.list, f.depth = rowGoing, depth
	case sym == '(' && prev == wordIn, sym == '[' && prev == wordArray:
		f.list = listOpened
	case f.list == listNone:
	case f.list == rowGoing:
	case f.list == rowEnded && sym == ',':
		f.list = rowComma
	case f.list == rowComma && sym == '(':
		f.list = rowAgain
	case f.list == rowAgain && plain(sym):
	case f.list == rowAgain && sym == ')':
	case f.list == rowAgain:
		f.list = rowGoing
	case (f.list == listOpened || f.list == listGoing) && plain(sym):
	case f.list == listGoing && (sym == ')' || sym == ']'):
		f.hash = f.saved
		f.list = listNone
	default:
		f.list = listNone
	}
}

// after sees each token when it is folded in.
func (f *fingerprint) after(sym symbol, depth int) {
	switch f.list {
	case listOpened:
		if sym != ',' && plain(sym) {
			f.saved = f.hash
			f.list = listGoing
		}
	case rowGoing:
		if sym == ')' && depth == f.depth {
			f.saved = f.hash
			f.list = rowEnded
		}
	case rowAgain:
		if sym == ')' {
			f.hash = f.saved
			f.list = rowEnded
		}
	default:
	}
}

// plain says whether a token may stand in a list of constants.
func plain(sym symbol) bool {
	switch sym {
	case symLiteral, ',', wordConstant:
		return true
	default:
		return false
	}
}
