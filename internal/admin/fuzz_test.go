package admin

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgerr"
)

// FuzzConsole: the parser never panics, refuses with an SQLSTATE, and what it
// took from the text stands in the text.
func FuzzConsole(f *testing.F) {
	for _, e := range examples() {
		f.Add(e.sql)
	}
	for _, sql := range []string{
		"", ";", "-- ping", "/* /* */", `PAUSE "a""b";`, "SET a.b = 'c'", "SET x = -1.5e/%", "SELECT 'a'::text AS \"b\", version(1,'2')",
		"SELECT pg_catalog.", "SELECT ::", "\xff\xfe", "SET SESSION", "SET LOCAL x", "SHOW TIME ZONE", "KILL_CLIENT '1'", "SELECT $1", "ROLLBACK TO a",
	} {
		f.Add(sql)
	}
	d := newDictionary()
	f.Fuzz(func(t *testing.T, sql string) {
		tokens, err := split(sql)
		for _, statement := range tokens {
			for _, tok := range statement {
				if tok.start < 0 || tok.end > len(sql) || tok.start >= tok.end {
					t.Fatalf("token %+v is not in %q", tok, sql)
				}
				if (tok.kind == word || tok.kind == symbol) && tok.text != sql[tok.start:tok.end] {
					t.Fatalf("token %+v is not what stands in %q", tok, sql)
				}
			}
		}
		statements, parseErr := d.parse(sql)
		if err != nil && parseErr == nil {
			t.Fatalf("%q has no tokens (%v) and was understood", sql, err)
		}
		var e *pgerr.Error
		if parseErr != nil && (!errors.As(parseErr, &e) || e.Code == pgerr.InternalError) {
			t.Fatalf("%q: %v", sql, parseErr)
		}
		for _, st := range statements {
			if len(st.args.columns) > maxColumns || (st.args.database != "" && len(st.args.database) > len(sql)) {
				t.Fatalf("%q became %+v", sql, st)
			}
			_ = st.String()
		}
	})
}

// FuzzSession: whatever bytes a client sends, the console answers with whole
// frames of a server, as many ReadyForQuery as there were reasons for at most,
// and a client that is no administrator never reaches the Controller.
func FuzzSession(f *testing.F) {
	add := func(messages ...pgproto3.FrontendMessage) {
		var in []byte
		for _, m := range messages {
			in, _ = m.Encode(in)
		}
		f.Add(in)
	}
	for _, e := range examples() {
		add(&pgproto3.Query{String: e.sql}, &pgproto3.Terminate{})
		add(&pgproto3.Parse{Name: "s", Query: e.sql}, &pgproto3.Describe{ObjectType: 'S', Name: "s"},
			&pgproto3.Bind{PreparedStatement: "s", ResultFormatCodes: []int16{1}}, &pgproto3.Describe{ObjectType: 'P'},
			&pgproto3.Execute{MaxRows: 1}, &pgproto3.Flush{}, &pgproto3.Close{ObjectType: 'S', Name: "s"}, &pgproto3.Sync{})
	}
	add(&pgproto3.FunctionCall{}, &pgproto3.CopyData{Data: []byte("x")}, &pgproto3.CopyDone{}, &pgproto3.CopyFail{})
	f.Add([]byte("Q\x00\x00\x00\x03"))
	f.Add([]byte("Q\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := &recorder{}
		var out bytes.Buffer
		rw := struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(in), &out}
		err := r.console().Serve(t.Context(), rw, Identity{User: "u"})
		if r.calls != 0 {
			t.Fatalf("the controller was reached by %q", in)
		}
		fatal := strings.Contains(out.String(), "SFATAL\x00")
		if (err != nil) != fatal {
			t.Fatalf("Serve returned %v, the client was told %q", err, out.String())
		}
		frontend := pgproto3.NewFrontend(&out, nil)
		ready, asked := 0, bytes.Count(in, []byte("Q"))+bytes.Count(in, []byte("S"))+bytes.Count(in, []byte("F"))
		for {
			m, err := frontend.Receive()
			if errors.Is(err, io.ErrUnexpectedEOF) && out.Len() == 0 {
				break
			}
			if err != nil {
				t.Fatalf("not a frame of a server: %v", err)
			}
			if _, ok := m.(*pgproto3.ReadyForQuery); ok {
				ready++
			}
		}
		if ready > asked {
			t.Fatalf("%d times ready for %q", ready, in)
		}
	})
}
