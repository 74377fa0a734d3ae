package admin_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/admin"
	"github.com/penstock/penstock/internal/pgerr"
)

func parse(name, sql string) *pgproto3.Parse { return &pgproto3.Parse{Name: name, Query: sql} }

func bind(portal, statement string, formats ...int16) *pgproto3.Bind {
	return &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: statement, ResultFormatCodes: formats}
}

func describe(kind byte, name string) *pgproto3.Describe {
	return &pgproto3.Describe{ObjectType: kind, Name: name}
}

func closing(kind byte, name string) *pgproto3.Close {
	return &pgproto3.Close{ObjectType: kind, Name: name}
}

func execute(portal string, limit uint32) *pgproto3.Execute {
	return &pgproto3.Execute{Portal: portal, MaxRows: limit}
}

func endOfCycle() *pgproto3.Sync { return &pgproto3.Sync{} }

type messages []pgproto3.FrontendMessage

// rowOfPools is a row of SHOW POOLS as the pooler has it, in text.
func rowOfPools(i int) string {
	return fmt.Sprintf("DataRow shop%d|app|1|2|3|4|5|6|7|8|9|10|11|12|13|transaction|NULL", i)
}

const versionData = "DataRow PgBouncer 1.25.2"

// exchange is what a client sends and what it is answered.
type exchange struct {
	name string
	in   messages
	want []string
}

func check(t *testing.T, exchanges []exchange) {
	t.Helper()
	for _, e := range exchanges {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			equal(t, e.name, talk(t, (&pooler{}).console(), guest(), e.in...), e.want...)
		})
	}
}

func TestExtendedQueriesAreAnswered(t *testing.T) {
	t.Parallel()
	check(t, []exchange{
		{
			"one after the other",
			messages{parse("", "SHOW VERSION"), describe('S', ""), bind("", ""), describe('P', ""), execute("", 0), endOfCycle()},
			[]string{
				"ParseComplete", "ParameterDescription", versionRow, "BindComplete", versionRow, versionData,
				"CommandComplete SHOW", "ReadyForQuery I",
			},
		},
		{
			"names and formats",
			messages{parse("s", "SHOW VERSION"), bind("p", "s", 1), describe('P', "p"), execute("p", 0), endOfCycle(), bind("", "s", 0), execute("", 0), endOfCycle()},
			[]string{
				"ParseComplete", "BindComplete", "RowDescription version:25:1", versionData, "CommandComplete SHOW", "ReadyForQuery I",
				"BindComplete", versionData, "CommandComplete SHOW", "ReadyForQuery I",
			},
		},
		{
			"a command has no rows",
			messages{parse("", "RESET ALL"), describe('S', ""), bind("", "", 1), describe('P', ""), execute("", 0), endOfCycle()},
			[]string{
				"ParseComplete", "ParameterDescription", "NoData", "BindComplete", "NoData", "CommandComplete RESET", "ReadyForQuery I",
			},
		},
		{
			"the empty query",
			messages{parse("", "-- ping"), describe('S', ""), bind("", ""), describe('P', ""), execute("", 0), endOfCycle()},
			[]string{
				"ParseComplete", "ParameterDescription", "NoData", "BindComplete", "NoData", "EmptyQueryResponse", "ReadyForQuery I",
			},
		},
		{
			"several to one Sync",
			messages{parse("", "DISCARD ALL"), bind("", ""), execute("", 0), parse("", "SELECT 1"), bind("", ""), execute("", 0), endOfCycle()},
			[]string{
				"ParseComplete", "BindComplete", "CommandComplete DISCARD ALL",
				"ParseComplete", "BindComplete", "DataRow 1", "CommandComplete SELECT 1", "ReadyForQuery I",
			},
		},
		{
			"rows in portions",
			messages{
				parse("", "SHOW POOLS"), bind("", ""), execute("", 2), execute("", 2), execute("", 2), endOfCycle(),
				bind("", ""), execute("", 3), execute("", 0), endOfCycle(),
			},
			[]string{
				"ParseComplete", "BindComplete", rowOfPools(0), rowOfPools(1), "PortalSuspended",
				rowOfPools(2), "CommandComplete SHOW", "CommandComplete SHOW", "ReadyForQuery I",
				"BindComplete", rowOfPools(0), rowOfPools(1), rowOfPools(2), "PortalSuspended",
				"CommandComplete SHOW", "ReadyForQuery I",
			},
		},
	})
}

func TestNamesLiveAsLongAsInPostgreSQL(t *testing.T) {
	t.Parallel()
	check(t, []exchange{
		{
			"close",
			messages{parse("s", "SHOW VERSION"), bind("p", "s"), closing('S', "s"), closing('P', "none"), closing('S', "none"), parse("s", "SHOW VERSION"), execute("p", 0), endOfCycle()},
			[]string{
				"ParseComplete", "BindComplete", "CloseComplete", "CloseComplete", "CloseComplete", "ParseComplete",
				`ERROR 34000 portal "p" does not exist`, "ReadyForQuery I",
			},
		},
		{
			"portals end with the transaction that Sync ends",
			messages{parse("s", "SHOW VERSION"), bind("p", "s"), endOfCycle(), execute("p", 0), endOfCycle()},
			[]string{"ParseComplete", "BindComplete", "ReadyForQuery I", `ERROR 34000 portal "p" does not exist`, "ReadyForQuery I"},
		},
		{
			"portals live in a transaction",
			messages{
				&pgproto3.Query{String: "BEGIN"}, parse("s", "SHOW VERSION"), bind("p", "s"), endOfCycle(), execute("p", 0), endOfCycle(),
				&pgproto3.Query{String: "COMMIT"}, execute("p", 0), endOfCycle(),
			},
			[]string{
				"CommandComplete BEGIN", "ReadyForQuery T", "ParseComplete", "BindComplete", "ReadyForQuery T", versionData,
				"CommandComplete SHOW", "ReadyForQuery T", "CommandComplete COMMIT", "ReadyForQuery I",
				`ERROR 34000 portal "p" does not exist`, "ReadyForQuery I",
			},
		},
		{
			"a simple query ends what has no name",
			messages{parse("", "SHOW VERSION"), endOfCycle(), &pgproto3.Query{}, bind("", ""), endOfCycle()},
			[]string{
				"ParseComplete", "ReadyForQuery I", "EmptyQueryResponse", "ReadyForQuery I",
				"ERROR 26000 unnamed prepared statement does not exist", "ReadyForQuery I",
			},
		},
		{
			"deallocate",
			messages{parse("s", "SHOW VERSION"), parse("r", "SHOW VERSION"), endOfCycle(), &pgproto3.Query{String: "DEALLOCATE PREPARE s"}, describe('S', "r"), describe('S', "s"), endOfCycle()},
			[]string{
				"ParseComplete", "ParseComplete", "ReadyForQuery I", "CommandComplete DEALLOCATE", "ReadyForQuery I",
				"ParameterDescription", versionRow, `ERROR 26000 prepared statement "s" does not exist`, "ReadyForQuery I",
			},
		},
	})
}

func TestExtendedErrorsSkipToSync(t *testing.T) {
	t.Parallel()
	long := parse("", "SHOW POOLS")
	long.ParameterOIDs = []uint32{25}
	with := bind("", "s")
	with.Parameters = [][]byte{[]byte("x")}
	rows := []struct {
		name string
		in   messages
		want string
	}{
		{"syntax", messages{parse("", "HELLO")}, syntaxError + `"HELLO"`},
		{"two commands", messages{parse("", "SHOW POOLS; SHOW POOLS")}, "ERROR 42601 cannot insert multiple commands into a prepared statement"},
		{"parameters in Parse", messages{long}, "ERROR 0A000 a statement with parameters in the console is not supported"},
		{"parameters in the text", messages{parse("", "PAUSE $1")}, "ERROR 0A000 a statement with parameters in the console is not supported"},
		{"parameters in Bind", messages{with}, "ERROR 0A000 a statement with parameters in the console is not supported"},
		{"a statement's name is taken", messages{parse("s", "SHOW POOLS")}, `ERROR 42P05 prepared statement "s" already exists`},
		{"a portal's name is taken", messages{bind("p", "s"), bind("p", "s")}, `ERROR 42P03 portal "p" already exists`},
		{"no such statement", messages{bind("", "x")}, `ERROR 26000 prepared statement "x" does not exist`},
		{"nothing to describe", messages{describe('S', "x")}, `ERROR 26000 prepared statement "x" does not exist`},
		{"no portal to describe", messages{describe('P', "x")}, `ERROR 34000 portal "x" does not exist`},
		{"describe what", messages{describe('X', "")}, "ERROR 08P01 invalid DESCRIBE message subtype 88"},
		{"close what", messages{closing('X', "")}, "ERROR 08P01 invalid CLOSE message subtype 88"},
		{"no such portal", messages{execute("x", 0)}, `ERROR 34000 portal "x" does not exist`},
		{"too many formats", messages{bind("", "s", 0, 0)}, "ERROR 08P01 bind message has 2 result formats but query has 1 columns"},
		{"unknown format", messages{bind("", "s", 2)}, "ERROR 22023 unsupported format code: 2"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := &pooler{}
			in := append(messages{parse("s", "SHOW VERSION"), parse("kill", "KILL")}, row.in...)
			in = append(in, bind("", "kill"), execute("", 0), &pgproto3.Flush{}, &pgproto3.Query{String: "KILL"}, &pgproto3.FunctionCall{}, endOfCycle(),
				&pgproto3.Query{String: "RESET x"})
			var got []string
			for _, l := range talk(t, p.console(), boss(), in...) {
				if l != "ParseComplete" && l != "BindComplete" {
					got = append(got, l)
				}
			}
			equal(t, row.name, got, row.want, "ReadyForQuery I", "CommandComplete RESET", "ReadyForQuery I")
			if p.called() != "" {
				t.Errorf("what should be skipped ran: %s", p.called())
			}
		})
	}
}

func TestAPortalRunsItsCommandOnce(t *testing.T) {
	t.Parallel()
	p := &pooler{}
	got := talk(t, p.console(), boss(), parse("", "KILL shop"), bind("", ""), execute("", 1), execute("", 0), endOfCycle())
	equal(t, "twice", got, "ParseComplete", "BindComplete", "CommandComplete KILL",
		`ERROR 55000 portal "" cannot be run`, "ReadyForQuery I")
	if p.called() != "kill(shop)" {
		t.Errorf("called %q", p.called())
	}
}

func TestPreparedStatementsAndPortalsAreBounded(t *testing.T) {
	t.Parallel()
	in := messages{parse("s", "SHOW VERSION"), &pgproto3.Query{String: "BEGIN"}}
	for i := range 1100 {
		in = append(in, parse(fmt.Sprintf("s%d", i), "SHOW VERSION"), endOfCycle(), bind(fmt.Sprintf("p%d", i), "s"), endOfCycle())
	}
	all := strings.Join(talk(t, (&pooler{}).console(), guest(), in...), "\n")
	if n := strings.Count(all, "ERROR 54000 too many prepared statements"); n != 1100-1023 {
		t.Errorf("%d statements refused", n)
	}
	if n := strings.Count(all, "ERROR 54000 too many portals"); n != 1100-1024 {
		t.Errorf("%d portals refused", n)
	}
}

func TestOtherMessages(t *testing.T) {
	t.Parallel()
	check(t, []exchange{
		{"function call", messages{&pgproto3.FunctionCall{}}, []string{"ERROR 0A000 a function call in the console is not supported", "ReadyForQuery I"}},
		{"copy data is ignored", messages{&pgproto3.CopyData{}, &pgproto3.CopyDone{}, &pgproto3.CopyFail{}, endOfCycle()}, []string{"ReadyForQuery I"}},
		{"terminate", messages{&pgproto3.Terminate{}, endOfCycle()}, nil},
	})
}

func TestBadFramesEndTheSessionWithAReason(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name  string
		bytes string
		want  string
		code  pgerr.Code
	}{
		{"unknown type", "?\x00\x00\x00\x04", "FATAL 08P01 invalid message format", pgerr.ProtocolViolation},
		{"impossible length", "Q\x00\x00\x00\x03", "FATAL 08P01 invalid message format", pgerr.ProtocolViolation},
		{"no terminator", "Q\x00\x00\x00\x05x", "FATAL 08P01 invalid message format", pgerr.ProtocolViolation},
		{"too large", "Q\x00\x01\x00\x05", "FATAL 54000 message too large", pgerr.ProgramLimitExceeded},
		{"huge", "Q\x7f\xff\xff\xff", "FATAL 54000 message too large", pgerr.ProgramLimitExceeded},
		{"a password", "p\x00\x00\x00\x05\x00", "FATAL 08P01 unexpected message in the console", pgerr.ProtocolViolation},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := (&pooler{}).console().Serve(t.Context(), stream{strings.NewReader(row.bytes + "X\x00\x00\x00\x04"), &out}, boss())
			if e := pgerr.From(err); err == nil || e.Code != row.code {
				t.Errorf("Serve returned %v", err)
			}
			equal(t, row.name, answers(t, &out), row.want)
		})
	}
}

func TestAClientMayLeaveAtAnyByte(t *testing.T) {
	t.Parallel()
	in, _ := parse("", "SHOW VERSION").Encode(nil)
	in, _ = bind("", "").Encode(in)
	in, _ = execute("", 0).Encode(in)
	in, _ = endOfCycle().Encode(in)
	for n := range in {
		var out bytes.Buffer
		if err := (&pooler{}).console().Serve(t.Context(), stream{bytes.NewReader(in[:n]), &out}, boss()); err != nil {
			t.Errorf("after %d bytes: %v", n, err)
		}
		answers(t, &out)
	}
}

func TestGreetingIsPgBouncers(t *testing.T) {
	t.Parallel()
	got := (&pooler{}).console().AppendGreeting([]byte{'R', 0, 0, 0, 8, 0, 0, 0, 0})
	frontend := pgproto3.NewFrontend(bytes.NewReader(got), nil)
	if _, err := frontend.Receive(); err != nil {
		t.Fatal(err)
	}
	values := make(map[string]string)
	for {
		m, err := frontend.Receive()
		if err != nil {
			break
		}
		p, ok := m.(*pgproto3.ParameterStatus)
		if !ok {
			t.Fatalf("%T in the greeting", m)
		}
		values[p.Name] = p.Value
	}
	want := map[string]string{
		"server_version": "1.25.2/bouncer", "client_encoding": "UTF8", "server_encoding": "UTF8", "DateStyle": "ISO",
		"TimeZone": "GMT", "standard_conforming_strings": "on", "is_superuser": "on", "integer_datetimes": "on",
		"application_name": "",
	}
	for name, value := range want {
		if got, ok := values[name]; !ok || got != value {
			t.Errorf("%s = %q", name, got)
		}
	}
	if len(values) != len(want) {
		t.Errorf("got %v", values)
	}
	if admin.Version != "PgBouncer 1.25.2" {
		t.Errorf("monitors take %q apart", admin.Version)
	}
}
