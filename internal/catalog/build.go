package catalog

import (
	"slices"
	"unicode/utf8"

	"github.com/penstock/penstock/internal/sqlscan"
)

// builder carries verdicts from what is unsafe by itself to everything that
// reaches it. Reasons only grow, so the rounds end.
type builder struct {
	rows      *Rows
	snapshot  *Snapshot
	changed   bool
	builtins  bool // are judged
	functions map[uint32]Reason
	types     map[uint32]Reason
	relations map[uint32]Reason
	extra     map[uint32][]text // by relation: policies and virtual columns
	checks    map[uint32][]text // by type: constraints
	columns   map[uint32][]uint32
	children  map[uint32][]uint32
	kinds     map[uint32]byte // by type
	rowCasts  bool            // some row type can be cast
	bodies    map[uint32]text // by function
	views     map[uint32]text // by relation
}

// text is a piece of the catalog's SQL, reduced to the names that can matter.
type text struct {
	names     []sqlscan.Name
	operators []string
	opaque    bool // not understood: may be anything
}

// Build makes a snapshot out of the facts. It is a pure function.
func Build(rows *Rows) *Snapshot {
	b := &builder{
		rows: rows,
		snapshot: &Snapshot{
			signature: rows.Signature, version: rows.Version,
			names:     make(map[string]mark, len(rows.Functions)),
			operators: map[string]Reason{},
			relations: map[string][]Relation{},
			keys:      map[uint32][]Key{},
		},
		functions: make(map[uint32]Reason, len(rows.Functions)),
		types:     map[uint32]Reason{},
		relations: map[uint32]Reason{},
		extra:     map[uint32][]text{},
		checks:    map[uint32][]text{},
		columns:   map[uint32][]uint32{},
		children:  map[uint32][]uint32{},
		kinds:     map[uint32]byte{},
		bodies:    map[uint32]text{},
		views:     map[uint32]text{},
	}
	if rows.Truncated {
		b.snapshot.all = Verdict{Reason: TooLarge}
		return b.snapshot
	}
	b.register()
	b.readTexts()
	b.settle()
	b.judgeCasts()
	b.judgeSupport()
	b.judgeImplied()
	for name, m := range b.snapshot.names {
		if m.called != Safe || m.anywhere != Safe {
			b.snapshot.foreign = b.snapshot.foreign || foreign(name)
		}
	}
	return b.snapshot
}

// register enters every name that may be called, and the relations.
func (b *builder) register() {
	for i := range b.rows.Functions {
		b.mark(b.rows.Functions[i].Name, func(m *mark) { m.callable = true })
	}
	for i := range b.rows.Types {
		b.mark(b.rows.Types[i].Name, func(m *mark) { m.callable = true })
		b.kinds[b.rows.Types[i].OID] = b.rows.Types[i].Kind
	}
	for _, c := range b.rows.Casts {
		b.rowCasts = b.rowCasts || b.kinds[c.Source] == 'c'
	}
	for i := range b.rows.Operators {
		b.snapshot.operators[b.rows.Operators[i].Name] = Safe
	}
	for i := range b.rows.Relations {
		r := b.rows.Relations[i]
		if r.Kind != 'c' && !builtinSchema(r.OID, r.Schema) {
			r.Text = ""
			b.snapshot.relations[r.Name] = append(b.snapshot.relations[r.Name], r)
		}
	}
	for _, c := range b.rows.Columns {
		b.columns[c.Relation] = append(b.columns[c.Relation], c.Type)
	}
	for _, p := range b.rows.Parents {
		b.children[p.Parent] = append(b.children[p.Parent], p.Child)
	}
	for _, k := range b.rows.Keys {
		b.snapshot.keys[k.Relation] = append(b.snapshot.keys[k.Relation], k)
	}
	for _, keys := range b.snapshot.keys {
		slices.SortStableFunc(keys, func(x, y Key) int {
			switch {
			case x.Primary == y.Primary:
				return 0
			case x.Primary:
				return -1
			default:
				return 1
			}
		})
	}
}

func builtinSchema(oid uint32, schema string) bool {
	return oid < firstUserOID && (schema == "pg_catalog" || schema == "information_schema" || schema == "pg_toast")
}

// mark changes the mark of a name and notes whether that made a difference.
func (b *builder) mark(name string, change func(*mark)) {
	old := b.snapshot.names[name]
	changed := old
	changed.name = name
	change(&changed)
	if changed != old {
		b.snapshot.names[name] = changed
		b.changed = true
	}
}

// raise makes the verdict of one object at least reason.
func (b *builder) raise(verdicts map[uint32]Reason, oid uint32, reason Reason) {
	if reason > verdicts[oid] {
		verdicts[oid] = reason
		b.changed = true
	}
}

// judgeFunctions carries verdicts to functions and from them to their names.
func (b *builder) judgeFunctions() {
	for i := range b.rows.Functions {
		f := &b.rows.Functions[i]
		reason := b.functions[f.OID]
		if f.OID < firstUserOID {
			if len(f.Parts) == 0 {
				if b.builtins {
					continue // nothing that we learn changes it
				}
				reason = builtinVerdict(f)
			}
		} else {
			reason = max(reason, b.userVerdict(f), b.ofTypes(f.Result, f.Arguments...), b.ofTypes(0, f.Columns...))
		}
		for _, part := range f.Parts {
			reason = max(reason, b.functions[part])
		}
		if reason == Safe {
			continue
		}
		b.raise(b.functions, f.OID, reason)
		attribute, field := Safe, Safe
		if takesOne(f) {
			field = reason
			if b.takesRow(f.Arguments[0]) {
				attribute = reason
			}
		}
		b.mark(f.Name, func(m *mark) {
			m.called = max(m.called, reason)
			m.attribute = max(m.attribute, attribute)
			m.field = max(m.field, field)
		})
	}
	b.builtins = true
}

// userVerdict judges a user's function; see the package comment.
func (b *builder) userVerdict(f *Function) Reason {
	switch {
	case f.Kind == 'p' || f.Extension == "dblink" || f.Extension == "tablefunc" && f.Name != "normal_rand":
		return UnsafeFunction
	case f.Volatile == 'v' && f.Kind != 'a' && !harmlessVolatile(f.Extension, f.Name):
		return UnsafeFunction
	case isDenied(f.Name) || isServerLocal(f.Name):
		return builtinVerdict(f) // of an extension or a compatibility layer
	}
	reason := Safe
	if body, ok := b.bodies[f.OID]; ok {
		reason = b.reach(body, UnsafeFunction)
	}
	if readable(f.Language) || f.Kind == 'a' || f.Volatile == 'i' ||
		harmlessExtension(f.Extension) || harmlessVolatile(f.Extension, f.Name) {
		return reason
	}
	return UnsafeFunction
}

// readable says whether the text of a function in a language is scanned.
func readable(language string) bool { return language == "sql" || language == "plpgsql" }

// takesOne says whether x.name may call the function: PostgreSQL takes it for a
// call with x as the one argument. Where x is a name, x is a row; where it is an
// expression, as in (a + b).name, it may be anything. Manual, Composite Types,
// Using Composite Types in Queries.
func takesOne(f *Function) bool {
	return len(f.Arguments) > 0 && len(f.Arguments)-f.Defaults <= 1 && (f.Kind == 'f' || f.Kind == 'a' || f.Kind == 'w')
}

// takesRow says whether a row may be passed as an argument of a type. A cast
// from some row type may make it any type.
func (b *builder) takesRow(oid uint32) bool {
	switch b.kinds[oid] {
	case 'b', 'e', 'r', 'm':
		return b.rowCasts
	default:
		return true
	}
}

// ofTypes is the verdict of values of some types: their output is part of what
// a statement does.
func (b *builder) ofTypes(one uint32, more ...uint32) Reason {
	reason := b.types[one]
	for _, t := range more {
		reason = max(reason, b.types[t])
	}
	return reason
}

// judgeTypes carries verdicts to user types and from them to their names.
func (b *builder) judgeTypes() {
	for i := range b.rows.Types {
		t := &b.rows.Types[i]
		if t.OID < firstUserOID {
			continue
		}
		reason := b.ofTypes(t.OID, t.Parts...)
		for _, f := range t.Functions {
			// Those of initdb, as domain_in and array_in, do what the parts do.
			if f >= firstUserOID && b.functions[f] != Safe {
				reason = UnsafeType
			}
		}
		for _, column := range b.columns[t.Relation] {
			reason = max(reason, b.types[column])
		}
		for _, check := range b.checks[t.OID] {
			if b.reach(check, UnsafeType) != Safe {
				reason = UnsafeType
			}
		}
		if reason == Safe {
			continue
		}
		b.raise(b.types, t.OID, reason)
		b.mark(t.Name, func(m *mark) { m.anywhere = max(m.anywhere, reason) })
	}
}

// judgeRelations carries verdicts to relations and from them to their names.
func (b *builder) judgeRelations() {
	for i := range b.rows.Relations {
		r := &b.rows.Relations[i]
		reason := max(b.relations[r.OID], kindVerdict(r))
		if !builtinSchema(r.OID, r.Schema) {
			for _, column := range b.columns[r.OID] {
				reason = max(reason, b.types[column])
			}
			for _, child := range b.children[r.OID] {
				reason = max(reason, b.relations[child])
			}
			if view, ok := b.views[r.OID]; ok {
				reason = max(reason, b.reach(view, View))
			}
			for _, extra := range b.extra[r.OID] {
				if b.reach(extra, RowSecurity) != Safe {
					reason = max(reason, RowSecurity)
				}
			}
		}
		if reason == Safe {
			continue
		}
		b.raise(b.relations, r.OID, reason)
		if r.Schema == "information_schema" {
			continue // Check asks for the schema: names like "columns" are everybody's
		}
		b.mark(r.Name, func(m *mark) { m.anywhere = max(m.anywhere, reason) })
	}
}

// kindVerdict judges a relation by what it is.
func kindVerdict(r *Relation) Reason {
	switch {
	case builtinSchema(r.OID, r.Schema):
		return builtinRelation(r.Name)
	case r.Kind == 'f':
		return Foreign
	case r.Persistence == 't':
		return Temporary
	case r.Kind == 'S':
		return Sequence
	case r.Persistence == 'u':
		return Unlogged
	}
	return Safe
}

// judgeOperators carries verdicts from functions and types to operators.
func (b *builder) judgeOperators() {
	for i := range b.rows.Operators {
		o := &b.rows.Operators[i]
		if b.functions[o.Function] == Safe && b.ofTypes(o.Left, o.Right, o.Result) == Safe {
			continue
		}
		if b.snapshot.operators[o.Name] != UnsafeOperator {
			b.snapshot.operators[o.Name] = UnsafeOperator
			b.changed = true
		}
	}
}

// judgeCasts: a cast with an unsafe function makes both its types unsafe, so
// that it cannot be met by accident. Between PostgreSQL's own types that cannot
// be told apart from anything else: then nothing goes to a replica.
func (b *builder) judgeCasts() {
	names := map[uint32]string{}
	for i := range b.rows.Types {
		names[b.rows.Types[i].OID] = b.rows.Types[i].Name
	}
	again := false
	for _, c := range b.rows.Casts {
		if b.functions[c.Function] == Safe {
			continue
		}
		if c.Source < firstUserOID && c.Target < firstUserOID {
			b.poison(UnsafeType, "cast to "+names[c.Target])
			continue
		}
		for _, t := range []uint32{c.Source, c.Target} {
			if t >= firstUserOID && b.types[t] < UnsafeType {
				b.raise(b.types, t, UnsafeType)
				b.mark(names[t], func(m *mark) { m.anywhere = max(m.anywhere, UnsafeType) })
				again = true
			}
		}
	}
	if again {
		b.settle()
	}
}

// settle carries verdicts on until nothing changes.
func (b *builder) settle() {
	for b.changed = true; b.changed; {
		b.changed = false
		b.judgeFunctions()
		b.judgeTypes()
		b.judgeRelations()
		b.judgeOperators()
	}
}

// judgeSupport: ORDER BY, DISTINCT and joins use the functions of an operator
// class without naming anything but a column.
func (b *builder) judgeSupport() {
	again := false
	for _, s := range b.rows.Support {
		switch {
		case b.functions[s.Function] == Safe:
		case s.Type < firstUserOID:
			b.poison(UnsafeOperator, "operator class")
		case b.types[s.Type] < UnsafeType:
			b.raise(b.types, s.Type, UnsafeType)
			again = true
		}
	}
	if again {
		b.settle()
	}
}

// judgeImplied: an unsafe operator that grammar uses without writing it cannot
// be seen in a text.
func (b *builder) judgeImplied() {
	for name, reason := range b.snapshot.operators {
		if reason != Safe && isImplied(name) {
			b.poison(UnsafeOperator, name)
		}
	}
	if reason, ok := b.snapshot.operators["<>"]; ok {
		b.snapshot.operators["!="] = reason
	}
}

// poison keeps all statements of the database on the primary.
func (b *builder) poison(reason Reason, name string) {
	if reason > b.snapshot.all.Reason || reason == b.snapshot.all.Reason && name < b.snapshot.all.Name {
		b.snapshot.all = Verdict{reason, name}
	}
}

// foreign says whether a name can look different in a text: it has letters whose
// bytes and case depend on the encoding, or might have had when it was cut.
func foreign(name string) bool {
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return true
		}
	}
	return len(name) >= 60 && len(name) < 63
}
