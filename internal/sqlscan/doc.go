// Package sqlscan tells what a SQL text is, without parsing or running it.
// [EffectOf] looks at the first words and says what a statement may leave
// behind on its server connection. A [Scanner] reads the whole text once, by
// the rules of PostgreSQL's own scanner (scan.l), and says what kinds of
// statements are in it, what they may name, call or lock, and a fingerprint
// without constants. A [Cache] keeps what was concluded from a text.
//
//	var s sqlscan.Scanner
//	st := s.Scan(text, sqlscan.Options{})
//	question := st.Kinds.Only(sqlscan.KindSelect | sqlscan.KindValues) &&
//		!st.Features.Has(sqlscan.FeatureNotUnderstood | sqlscan.FeatureInto)
//
// Who calls it: proxy for effects; router and querycache for scans and caches.
//
// What it never does: it never errs to the dangerous side. Where a word may be
// a keyword or a name, it is both; where a text cannot be read for sure, it is
// NotUnderstood. It never returns an error, never recurses, and takes time and
// memory in proportion to the text at most. It knows words, not the catalog:
// implicit casts, what views and functions hide, and which name is a table are
// the caller's to find out. It assumes an encoding whose letters have no ASCII
// bytes but ASCII letters, as UTF8 and LATIN1 have; see Options.UnsafeEncoding,
// and FeatureForeignName for the letters themselves.
//
// Goroutines: none. Locks: one in each shard of a Cache and of Marks, held for
// a look or a change in a map and never while another is held. A Scanner is for
// one goroutine at a time; EffectOf is pure.
package sqlscan
