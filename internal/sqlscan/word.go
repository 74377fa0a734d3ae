package sqlscan

// functionSchema is where the functions are that syntax calls.
const functionSchema = "pg_catalog"

// word notes what a word with a meaning says, wherever it stands.
func (s *Scanner) word(sym symbol) {
	st, p := &s.statement, &s.present
	switch sym {
	case wordInto:
		p.into = true
		if !p.kinds.Has(KindInsert | KindMerge) {
			st.Features |= FeatureInto
		}
	case wordTemp:
		if p.into || p.kinds.Has(KindDDL) {
			st.Features |= FeatureTemporary
		}
	case wordWith:
		st.Features |= FeatureWith
		p.with = true
	case wordInsert, wordDelete, wordMerge, wordUpdate:
		if s.mayBegin() {
			p.pending = sym
		}
		if sym == wordUpdate && s.prev == wordFor {
			st.Features |= FeatureLocking
		}
	case wordShare, wordNo, wordKey:
		if s.prev == wordFor {
			st.Features |= FeatureLocking
		}
	case wordCurrentTime:
		if s.prev != wordAs { // AS current_date is a label
			st.Features |= FeatureCurrentTime
		}
	case wordSessionUser, wordCurrentSchema, wordSystemUser:
		if s.prev != wordAs {
			st.Features |= FeatureSessionUser
		}
	case wordTableSample:
		st.Features |= FeatureTableSample
	case wordOrder:
		st.Features |= FeatureOrderBy
	case wordLimit, wordFetch:
		st.Features |= FeatureLimit
	case wordSearchOrCycle:
		p.searched = true
	case wordRoutine:
		p.routine = true
	case wordAtomic, wordCase, wordEnd:
		p.body(sym, s.prev)
	default:
	}
	s.implied(sym)
}

// mayBegin says whether a statement may begin here inside another: after a
// parenthesis, or after the names of a SEARCH or CYCLE clause.
func (s *Scanner) mayBegin() bool {
	if !s.present.with && !s.present.kinds.Has(KindCopyTo|KindCopyFrom) {
		return false
	}
	switch s.prev {
	case '(', ')':
		return true
	case symName, symQuoted:
		return s.present.searched
	default:
		return s.present.searched && s.prev >= symWord && s.prev < reserved
	}
}

// resolve decides by the token behind it whether INSERT, UPDATE, DELETE or
// MERGE is a statement.
func (s *Scanner) resolve(sym symbol) {
	p := &s.present
	verb := p.pending
	p.pending = 0
	begins := false
	switch verb {
	case wordInsert, wordMerge:
		begins = sym == wordInto
	case wordDelete:
		begins = sym == wordFrom
	case wordUpdate:
		begins = sym == symName || sym == symQuoted || sym == wordOnly || sym >= symWord && sym < reserved
	default:
	}
	if begins {
		s.statement.Features |= FeatureDataModifyingWith
	}
}

// implied notes the functions and operators that a word calls without naming them.
func (s *Scanner) implied(sym symbol) {
	switch sym {
	case wordIn:
		s.operator("=")
		s.operator("<>")
	case wordCase, wordUsing, wordDistinct, wordNullIf, wordNatural:
		s.operator("=")
	case wordBetween:
		for _, operator := range [...]string{"<", ">", "<=", ">="} {
			s.operator(operator)
		}
	case wordLike:
		s.operator("~~")
		s.operator("!~~")
		s.function("like_escape")
	case wordILike:
		s.operator("~~*")
		s.operator("!~~*")
		s.function("like_escape")
	case wordSimilar:
		s.operator("~")
		s.operator("!~")
		s.function("similar_to_escape")
		s.function("similar_escape") // before PostgreSQL 14
	case wordOverlay:
		s.function("overlay")
	case wordPosition:
		s.function("position")
	case wordTrim:
		s.function("btrim")
		s.function("ltrim")
		s.function("rtrim")
	case wordExtract:
		s.function("extract")
		s.function("date_part") // before PostgreSQL 14
	case wordCollation:
		s.function("pg_collation_for")
	case wordAt: // TIME ZONE, LOCAL
		s.function("timezone")
	case wordNormalized:
		s.function("is_normalized")
	default:
	}
}

func (s *Scanner) function(name string) {
	s.name(Name{Schema: functionSchema, Name: name, Parts: 2, Call: true})
}
