package catalog

// Rows are the facts of one database as its catalogs have them: everything that
// [Build] needs, and nothing that needs a server.
type Rows struct {
	Signature  string // see [Signature]; read before the rest
	Database   string
	Version    int  // server_version_num
	Truncated  bool // there was more than a snapshot holds
	Functions  []Function
	Types      []Type
	Operators  []Operator
	Casts      []Cast
	Relations  []Relation
	Columns    []Column
	Parents    []Parent
	Expression []Expression
	Support    []Support
	Keys       []Key
}

// Function is a row of pg_proc.
type Function struct {
	OID       uint32
	Schema    string
	Name      string
	Language  string
	Volatile  byte // i, s, v
	Kind      byte // f, p, a, w
	Arguments []uint32
	Defaults  int // how many of the last arguments may be left out
	Result    uint32
	Extension string   // that it belongs to, "" if none
	Text      string   // body and default expressions, of user functions in a readable language
	Columns   []uint32 // types of a row that is the result, among others
	Parts     []uint32
	// Parts of an aggregate are its transition, final, combine, serial,
	// deserial and moving functions.
}

// Type is a row of pg_type.
type Type struct {
	OID       uint32
	Schema    string
	Name      string
	Kind      byte     // b, c, d, e, p, r, m
	Relation  uint32   // of a composite type
	Parts     []uint32 // element, base and subtype
	Functions []uint32 // input, output, receive, send, typmod, subscript, canonical, subdiff
}

// Operator is a row of pg_operator.
type Operator struct {
	Name     string
	Left     uint32
	Right    uint32
	Result   uint32
	Function uint32
}

// Cast is a row of pg_cast that has a function.
type Cast struct {
	Source   uint32
	Target   uint32
	Function uint32
	Context  byte // i implicit, a assignment, e explicit
}

// Relation is a row of pg_class that a FROM clause may name.
type Relation struct {
	OID         uint32
	Schema      string
	Name        string
	Kind        byte // r, v, m, f, p, S, c
	Persistence byte // p, u, t
	RowSecurity bool // policies are on
	Text        string
}

// Column is a column, of a type that is not PostgreSQL's own, of a relation.
type Column struct {
	Relation uint32
	Type     uint32
}

// Parent tells that a SELECT from Parent reads Child too.
type Parent struct {
	Parent uint32
	Child  uint32
}

// Expression is SQL that runs when a relation is read or a type is used.
type Expression struct {
	Relation uint32 // of a policy or a virtual column, else 0
	Type     uint32 // of a domain's constraint, else 0
	Text     string
}

// Support is a support function of an operator class, used by sorting and
// comparing values of a type.
type Support struct {
	Type     uint32
	Function uint32
}

// Key is a primary key or a unique constraint or index. Partial and expression
// indexes are none. Columns are numbers (attnum), since a column can get another
// name without a new snapshot.
type Key struct {
	Relation uint32
	Primary  bool
	Columns  []uint32
}
