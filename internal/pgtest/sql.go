package pgtest

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// DSN returns the keyword/value connection string of the user postgres over
// TCP, with his password if he has one.
func (i *Instance) DSN(database string) string {
	o := i.cluster.opts
	dsn := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=%s", i.Port, quoteDSN(database))
	if o.SuperuserPassword != "" {
		dsn += " password=" + quoteDSN(o.SuperuserPassword)
	}
	if o.TLS {
		return dsn + " sslmode=require"
	}
	return dsn + " sslmode=disable"
}

// Exec runs the statements of sql as postgres and throws their rows away.
func (i *Instance) Exec(ctx context.Context, database, sql string) error {
	_, err := i.Query(ctx, database, sql)
	return err
}

// Query runs the statements of sql as postgres and returns the rows of the last
// one as text; NULL is "".
func (i *Instance) Query(ctx context.Context, database, sql string) ([][]string, error) {
	conn, err := i.connect(ctx, database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %.80q: %w", i.Name, sql, err)
	}
	if len(results) == 0 {
		return nil, nil
	}
	last := results[len(results)-1]
	rows := make([][]string, len(last.Rows))
	for r, row := range last.Rows {
		for _, value := range row {
			rows[r] = append(rows[r], string(value))
		}
	}
	return rows, nil
}

// connect logs in through the unix socket, where everybody is trusted.
func (i *Instance) connect(ctx context.Context, database string) (*pgconn.PgConn, error) {
	return pgconn.Connect(ctx, i.socketDSN()+" dbname="+quoteDSN(database)+" sslmode=disable")
}

func (i *Instance) socketDSN() string {
	return "host=" + quoteDSN(i.SocketDir) + " port=" + strconv.Itoa(i.Port) + " user=postgres"
}

func quoteDSN(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// quoteLiteral quotes s for SQL and for postgresql.conf.
func quoteLiteral(s string) string {
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}
