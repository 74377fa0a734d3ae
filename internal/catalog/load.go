package catalog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// mostRows bounds what one query of [Load] may add to a snapshot.
const mostRows = 200_000

// Querier is a connection to a database, as *pgconn.PgConn.
type Querier interface {
	Exec(ctx context.Context, sql string) *pgconn.MultiResultReader
}

// Signature returns a short text that is another one when anything changed that
// a snapshot depends on. Temporary relations are left out: their session is
// pinned, and they come and go. It takes about a millisecond.
func Signature(ctx context.Context, conn Querier) (string, error) {
	rows, err := query(ctx, conn, signatureSQL)
	if err != nil {
		return "", fmt.Errorf("read the catalog's signature: %w", err)
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return "", errors.New("read the catalog's signature: not one row")
	}
	return string(rows[0][0]), nil
}

// Load reads the catalog and makes a snapshot. It runs in a read-only
// transaction of its own on conn, which must not be in one; after an error the
// connection is in no known state and is to be closed. It takes some tens of
// milliseconds, and waits at most a second for a lock.
func Load(ctx context.Context, conn Querier) (*Snapshot, error) {
	rows, err := Read(ctx, conn)
	if err != nil {
		return nil, err
	}
	return Build(rows), nil
}

// Read is the part of [Load] that needs a server.
func Read(ctx context.Context, conn Querier) (*Rows, error) {
	// Qualified names come out of the deparsing functions, and no one's schema
	// comes before pg_catalog.
	if _, err := query(ctx, conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"+
		"SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL lock_timeout = '1s'"); err != nil {
		return nil, fmt.Errorf("load the catalog: %w", err)
	}
	l := &loader{ctx: ctx, conn: conn, rows: &Rows{}}
	for _, step := range l.steps() {
		if err := l.run(step); err != nil {
			return nil, fmt.Errorf("load the catalog's %s: %w", step.name, err)
		}
	}
	if _, err := query(ctx, conn, "COMMIT"); err != nil {
		return nil, fmt.Errorf("load the catalog: %w", err)
	}
	return l.rows, nil
}

// query runs statements and returns the rows of the last one that has any.
func query(ctx context.Context, conn Querier, sql string) ([][][]byte, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) == 0 {
		return nil, nil
	}
	return results[len(results)-1].Rows, nil
}

// loader reads the catalog, query after query.
type loader struct {
	ctx  context.Context
	conn Querier
	rows *Rows
}

// step is one query and what becomes of each of its rows.
type step struct {
	name string
	sql  string
	take func(row [][]byte)
}

func (l *loader) run(s step) error {
	rows, err := query(l.ctx, l.conn, s.sql+" LIMIT "+strconv.Itoa(mostRows+1))
	if err != nil {
		return err
	}
	if len(rows) > mostRows {
		l.rows.Truncated = true
		return nil
	}
	for _, row := range rows {
		s.take(row)
	}
	return nil
}

// steps lists the queries, which are the same for all versions from 13 on.
func (l *loader) steps() []step {
	r := l.rows
	return []step{
		{"signature", signatureSQL, func(row [][]byte) {
			r.Signature = string(row[0])
		}},
		{"version", versionSQL, func(row [][]byte) {
			r.Version, r.Database = number(row[0]), string(row[1])
		}},
		{"functions", functionsSQL, func(row [][]byte) {
			r.Functions = append(r.Functions, Function{
				OID: oid(row[0]), Schema: string(row[1]), Name: string(row[2]), Language: string(row[3]),
				Volatile: row[4][0], Kind: row[5][0], Arguments: oids(row[6]), Defaults: number(row[7]),
				Result: oid(row[8]), Extension: string(row[9]), Text: string(row[10]), Parts: oids(row[11]),
				Columns: oids(row[12]),
			})
		}},
		{"types", typesSQL, func(row [][]byte) {
			r.Types = append(r.Types, Type{
				OID: oid(row[0]), Schema: string(row[1]), Name: string(row[2]), Kind: row[3][0],
				Relation: oid(row[4]), Parts: oids(row[5]), Functions: oids(row[6]),
			})
		}},
		{"operators", operatorsSQL, func(row [][]byte) {
			r.Operators = append(r.Operators, Operator{
				Name: string(row[0]), Left: oid(row[1]), Right: oid(row[2]), Result: oid(row[3]), Function: oid(row[4]),
			})
		}},
		{"casts", castsSQL, func(row [][]byte) {
			r.Casts = append(r.Casts, Cast{oid(row[0]), oid(row[1]), oid(row[2]), row[3][0]})
		}},
		{"relations", relationsSQL, func(row [][]byte) {
			r.Relations = append(r.Relations, Relation{
				OID: oid(row[0]), Schema: string(row[1]), Name: string(row[2]), Kind: row[3][0],
				Persistence: row[4][0], RowSecurity: string(row[5]) == "t", Text: string(row[6]),
			})
		}},
		{"columns", columnsSQL, func(row [][]byte) {
			r.Columns = append(r.Columns, Column{oid(row[0]), oid(row[1])})
		}},
		{"partitions", parentsSQL, func(row [][]byte) {
			r.Parents = append(r.Parents, Parent{oid(row[0]), oid(row[1])})
		}},
		{"expressions", expressionsSQL, func(row [][]byte) {
			r.Expression = append(r.Expression, Expression{oid(row[0]), oid(row[1]), string(row[2])})
		}},
		{"operator classes", supportSQL, func(row [][]byte) {
			r.Support = append(r.Support, Support{oid(row[0]), oid(row[1])})
		}},
		{"keys", keysSQL, func(row [][]byte) {
			r.Keys = append(r.Keys, Key{oid(row[0]), string(row[1]) == "t", oids(row[2])})
		}},
	}
}

// The values come as text from our own queries; an empty one is 0.

func oid(value []byte) uint32 {
	n, _ := strconv.ParseUint(string(value), 10, 32)
	return uint32(n)
}

func number(value []byte) int {
	n, _ := strconv.Atoi(string(value))
	return n
}

// oids reads numbers with spaces between, and leaves zeros out.
func oids(value []byte) []uint32 {
	var result []uint32
	for field := range strings.FieldsSeq(string(value)) {
		if n := oid([]byte(field)); n != 0 {
			result = append(result, n)
		}
	}
	return result
}
