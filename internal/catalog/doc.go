// Package catalog knows what a database says about names: which functions may
// run on a replica, which relations are there as on the primary, and what views,
// policies, operators, casts and types reach on their own.
//
// Who calls it: whoever owns a connection to the primary polls [Signature] and,
// when it has changed, takes a new [Snapshot] with [Load]; router asks
// [Snapshot.Check] about each statement that it sees for the first time.
//
// What it promises: a statement that Check calls Safe calls nothing that writes,
// locks, keeps state in its session, or answers differently on a replica that
// has caught up. To keep that without a parser it over-approximates: a name
// counts wherever it stands in the text, whatever schema is written before it,
// and it is judged by the worst of all objects of that name. A name that is
// called and that the snapshot does not have is not safe either.
//
// How functions are judged: PostgreSQL's own by volatility, corrected by three
// lists (builtin.go). A user's function is unsafe if it is volatile, or if its
// text (SQL, PL/pgSQL) reaches something unsafe. In C, and in languages whose
// text we cannot read, it must be immutable, or stable in an extension that is
// known to be harmless. A name behind a dot counts as a call too, where
// PostgreSQL may take it for one: row.function, (value).function. Indexes, checks
// and the like count for their table: the planner evaluates what is IMMUTABLE.
//
// integration/soundness asks real servers whether all this is so.
//
// What it does not see: objects younger than the snapshot that need no call to
// be used (a column-like t.f, an operator); dictionaries and planner hooks of
// superusers; a function that was marked IMMUTABLE against the facts in a
// language we cannot read.
//
// What it never does: it writes nothing, assigns no transaction id, and trusts
// no search_path. It works on a standby and on PostgreSQL 13 to 18.
//
// Goroutines: none. Locks: none; a Snapshot never changes after [Build], and any
// goroutine may read it. [Load] and [Signature] use the connection they are given.
package catalog
