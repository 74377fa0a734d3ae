package catalog

import (
	"strings"

	"github.com/penstock/penstock/internal/sqlscan"
)

// Snapshot is what one database said about its names at one time. Make one with
// [Build] or [Load]; it never changes after.
type Snapshot struct {
	signature string
	version   int
	all       Verdict // not Safe: nothing of this database goes to a replica
	names     map[string]mark
	operators map[string]Reason
	relations map[string][]Relation
	keys      map[uint32][]Key
	foreign   bool // something unsafe has a name that its encoding may hide
}

// mark is what is known of all objects of one name.
type mark struct {
	name      string
	called    Reason // the worst function, if it is called
	attribute Reason // the worst function that t.name calls, with a row t
	field     Reason // the worst function that (x).name calls, with any value x
	anywhere  Reason // the worst relation or type
	callable  bool   // a function or type: it may stand before a parenthesis
}

// Check says whether a statement reaches anything that is not safe on a replica,
// judging by names and operators only: what kind of statement it is, router
// judges. It allocates only for an unknown name.
func (s *Snapshot) Check(st *sqlscan.Statement) Verdict {
	if s == nil {
		return Verdict{Reason: NoCatalog}
	}
	worst := s.all
	if s.foreign && st.Features.Has(sqlscan.FeatureForeignName) && worst.Reason < Unknown {
		worst = Verdict{Reason: Unknown}
	}
	for i := range st.Names {
		n := &st.Names[i]
		if reason, name := s.judge(n); reason > worst.Reason {
			worst = Verdict{reason, name}
		}
	}
	for _, operator := range st.Operators {
		if reason := s.operator(operator); reason > worst.Reason {
			worst = Verdict{reason, strings.Clone(operator)}
		}
	}
	return worst
}

// judge returns the worst that a name of a text may mean.
func (s *Snapshot) judge(n *sqlscan.Name) (Reason, string) {
	if n.Schema == "information_schema" {
		return max(SystemCatalog, s.names[n.Name].anywhere), "information_schema"
	}
	m, known := s.names[n.Name]
	if !known {
		if n.Call && !isGrammar(n.Name) {
			return Unknown, strings.Clone(n.Name)
		}
		return Safe, ""
	}
	reason := max(m.anywhere, m.attribute)
	if n.Field {
		reason = max(reason, m.field)
	}
	switch {
	case !n.Call:
	case m.callable:
		reason = max(reason, m.called)
	case !isGrammar(n.Name):
		reason = max(reason, Unknown)
	}
	return reason, m.name
}

// operator judges one operator token.
func (s *Snapshot) operator(token string) Reason {
	reason, known := s.operators[token]
	if !known && !isNoOperator(token) {
		return Unknown
	}
	return reason
}

// Signature is what [Signature] returned when the snapshot was loaded.
func (s *Snapshot) Signature() string {
	if s == nil {
		return ""
	}
	return s.signature
}

// Version is the server's version number, as 150018.
func (s *Snapshot) Version() int {
	if s == nil {
		return 0
	}
	return s.version
}

// Relations returns all relations of a name, in all schemas. The slice is the
// snapshot's own.
func (s *Snapshot) Relations(name string) []Relation {
	if s == nil {
		return nil
	}
	return s.relations[name]
}

// Keys returns the primary key and the unique keys of a relation. The slice is
// the snapshot's own.
func (s *Snapshot) Keys(relation uint32) []Key {
	if s == nil {
		return nil
	}
	return s.keys[relation]
}

// Function says what calling a function of that name means, and whether there is
// one.
func (s *Snapshot) Function(name string) (Reason, bool) {
	if s == nil {
		return NoCatalog, false
	}
	m, ok := s.names[name]
	return m.called, ok && m.callable
}
