package admin_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// asked is a statement and its answer.
type asked struct {
	sql  string
	want []string
}

// tolerated checks answers that must not reach the Controller.
func tolerated(t *testing.T, rows []asked) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.sql[:min(len(row.sql), 40)], func(t *testing.T) {
			t.Parallel()
			p := &pooler{}
			equal(t, row.sql, query(t, p, boss(), row.sql), row.want...)
			if p.called() != "" {
				t.Errorf("called %q", p.called())
			}
		})
	}
}

func value(column, oid, v, tag string) []string {
	return []string{"RowDescription " + column + ":" + oid + ":0", "DataRow " + v, "CommandComplete " + tag}
}

func text(column, v string) []string { return value(column, "25", v, "SELECT 1") }

func show(column, v string) []string { return value(column, "25", v, "SHOW") }

func TestSetOfWhatOnlyAServerHasIsIgnored(t *testing.T) {
	t.Parallel()
	var rows []asked
	for _, sql := range []string{
		"SET client_encoding = 'UTF8'",
		"SET extra_float_digits = 3",
		"SET datestyle TO 'ISO'",
		"SET search_path = \"$user\", public",
		"SET SESSION search_path TO a, b",
		"SET LOCAL statement_timeout = 0",
		"SET TIME ZONE 'UTC'",
		"SET SESSION TIME ZONE 'UTC'",
		"SET NAMES 'utf8'",
		"SET ROLE none",
		"SET SESSION AUTHORIZATION DEFAULT",
		"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
		"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
		"SET myapp.user_id = '7'",
	} {
		rows = append(rows, asked{sql, []string{"NOTICE 00000 SET ignored", "CommandComplete SET"}})
	}
	tolerated(t, rows)
}

func TestShowOfParametersIsAnswered(t *testing.T) {
	t.Parallel()
	tolerated(t, []asked{
		{"SHOW client_encoding", show("client_encoding", "UTF8")},
		{"SHOW DateStyle", show("datestyle", "ISO")},
		{"SHOW timezone", show("timezone", "GMT")},
		{"SHOW TIME ZONE", show("timezone", "GMT")},
		{"SHOW default_transaction_isolation", show("default_transaction_isolation", "read committed")},
		{"SHOW TRANSACTION ISOLATION LEVEL", show("transaction_isolation", "read committed")},
		{"SHOW standard_conforming_strings", show("standard_conforming_strings", "on")},
		{"SHOW server_version", show("server_version", "1.25.2/bouncer")},
		{"SHOW application_name", show("application_name", "")},
		{"SHOW search_path", show("search_path", `"$user", public`)},
	})
}

func TestWhatDriversSendIsTolerated(t *testing.T) {
	t.Parallel()
	tolerated(t, []asked{
		{"SELECT 1", value("?column?", "23", "1", "SELECT 1")},
		{"SELECT 3000000000 AS big", value("big", "20", "3000000000", "SELECT 1")},
		{"select 'x' y", text("y", "x")},
		{`select 'x'::text as "Y z"`, text("Y z", "x")},
		{"SELECT NULL", text("?column?", "NULL")},
		{"SELECT true", value("bool", "16", "t", "SELECT 1")},
		{"SELECT current_database()", text("current_database", "penstock")},
		{"SELECT current_catalog", text("current_catalog", "penstock")},
		{"SELECT current_user", text("current_user", "ann")},
		{"SELECT current_setting('DateStyle')", text("current_setting", "ISO")},
		{"SELECT pg_catalog.set_config('search_path', '', false)", text("set_config", "")},
		{"SELECT pg_is_in_recovery()", value("pg_is_in_recovery", "16", "f", "SELECT 1")},
		{"SELECT current_schema(),session_user", []string{
			"RowDescription current_schema:25:0 session_user:25:0", "DataRow public|ann", "CommandComplete SELECT 1",
		}},
		{"SELECT version()", text("version", "PostgreSQL 1.25.2/bouncer (console of Penstock, as of PgBouncer 1.25.2)")},
		{"select b.oid, b.typarray\n from pg_catalog.pg_type a left join pg_catalog.pg_type b on b.oid = a.typelem", []string{
			"RowDescription oid:20:0 typarray:20:0", "CommandComplete SELECT 0",
		}},
		{"SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;", append(text("pg_advisory_unlock_all", ""),
			"CommandComplete CLOSE CURSOR ALL", "CommandComplete UNLISTEN", "CommandComplete RESET")},
		{"DISCARD ALL", []string{"CommandComplete DISCARD ALL"}},
		{"DISCARD PLANS", []string{"CommandComplete DISCARD PLANS"}},
		{"DEALLOCATE ALL", []string{"CommandComplete DEALLOCATE ALL"}},
		{"DISCARD everything", []string{syntaxError + `"everything"`}},
		{"SELECT 1 +", []string{syntaxError + `"+"`}},
		{"SELECT 99999999999999999999", []string{syntaxError + `"99999999999999999999"`}},
	})
}

func TestWhatTheConsoleCannotAnswerIsRefused(t *testing.T) {
	t.Parallel()
	tolerated(t, []asked{
		{"DEALLOCATE nobody", []string{`ERROR 26000 prepared statement "nobody" does not exist`}},
		{"CLOSE nobody", []string{`ERROR 34000 portal "nobody" does not exist`}},
		{"SELECT * FROM pg_class", []string{"ERROR 0A000 this SELECT in the console is not supported"}},
		{"SELECT 1 FROM pools", []string{"ERROR 0A000 this SELECT in the console is not supported"}},
		{"SELECT oid, relname FROM pg_class", []string{"ERROR 0A000 this SELECT in the console is not supported"}},
		{"SELECT nonsense", []string{`ERROR 42704 unrecognized configuration parameter "nonsense"`}},
		{"SELECT 1,", []string{"ERROR 42601 syntax error at end of input"}},
		{"SELECT version(", []string{"ERROR 42601 syntax error at end of input"}},
		{"SELECT 1 AS", []string{"ERROR 42601 syntax error at end of input"}},
		{"SELECT 1::", []string{"ERROR 42601 syntax error at end of input"}},
		{"SELECT 1" + strings.Repeat(",1", 1664), []string{"ERROR 54000 target lists can have at most 1664 entries"}},
		{"SELECT $1", []string{"ERROR 0A000 a statement with parameters in the console is not supported"}},
	})
}

func TestTransactionsAreAcceptedAndShownInTheStatus(t *testing.T) {
	t.Parallel()
	steps := []struct{ sql, want string }{
		{"BEGIN", "CommandComplete BEGIN, ReadyForQuery T"},
		{"SHOW ME", `ERROR 42704 unrecognized configuration parameter "me", ReadyForQuery T`},
		{"SAVEPOINT a", "CommandComplete SAVEPOINT, ReadyForQuery T"},
		{"ROLLBACK TO SAVEPOINT a", "CommandComplete ROLLBACK, ReadyForQuery T"},
		{"RELEASE a", "CommandComplete RELEASE, ReadyForQuery T"},
		{"COMMIT", "CommandComplete COMMIT, ReadyForQuery I"},
		{"BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY; SET application_name = 'x'", "CommandComplete BEGIN, NOTICE 00000 SET ignored, CommandComplete SET, ReadyForQuery T"},
		{"ROLLBACK", "CommandComplete ROLLBACK, ReadyForQuery I"},
		{"START TRANSACTION READ ONLY", "CommandComplete START TRANSACTION, ReadyForQuery T"},
		{"END", "CommandComplete COMMIT, ReadyForQuery I"},
		{"BEGIN WORK; ABORT", "CommandComplete BEGIN, CommandComplete ROLLBACK, ReadyForQuery I"},
		{"COMMIT", "CommandComplete COMMIT, ReadyForQuery I"},
	}
	var messages []pgproto3.FrontendMessage
	var want []string
	for _, step := range steps {
		messages = append(messages, &pgproto3.Query{String: step.sql})
		want = append(want, step.want)
	}
	got := talk(t, (&pooler{}).console(), guest(), messages...)
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
