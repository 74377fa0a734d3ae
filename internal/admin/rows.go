package admin

import "github.com/penstock/penstock/internal/stats"

// StatsRow is a row of SHOW STATS.
func StatsRow(database string, total, average stats.Totals) []any {
	row := append([]any{database}, total.Values()...)
	return append(row, average.Values()...)
}

// StatsTotalsRow is a row of SHOW STATS_TOTALS or, of averages, of
// SHOW STATS_AVERAGES.
func StatsTotalsRow(database string, t stats.Totals) []any {
	return append([]any{database}, t.Values()...)
}

// TotalsRows are the rows of SHOW TOTALS, under the names PgBouncer gives them
// there.
func TotalsRows(total, average stats.Totals) [][]any {
	names := []string{
		"server_assignment_count", "xact_count", "query_count", "client_bytes", "server_bytes",
		"xact_time", "query_time", "wait_time",
		"ps_client_parse_count", "ps_server_parse_count", "ps_bind_count",
	}
	var rows [][]any
	for i, v := range total.Values() {
		rows = append(rows, []any{"total_" + names[i], v})
	}
	for i, v := range average.Values() {
		rows = append(rows, []any{"avg_" + names[i], v})
	}
	return rows
}
