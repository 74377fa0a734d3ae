package pgtest_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgtest"
)

// pipe returns a target whose every connection is played by script over
// net.Pipe, and the channel of the scripts' results.
func pipe(t *testing.T, steps ...pgtest.Step) (pgtest.Target, <-chan error) {
	t.Helper()
	played := make(chan error, 10)
	dial := func(context.Context) (net.Conn, error) {
		client, server := net.Pipe()
		go func() { played <- pgtest.Script{Steps: steps}.Run(t.Context(), server) }()
		return client, nil
	}
	return pgtest.Target{Dial: dial, User: "u", Database: "d"}, played
}

func parse(t *testing.T, text string) pgtest.Transcript {
	t.Helper()
	transcript, err := pgtest.Parse("test.pgt", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return transcript
}

const oneQuery = `send
Query {"String":"SELECT 1"}
----

until
ReadyForQuery
----
`

func complete(tag string) *pgproto3.CommandComplete {
	return &pgproto3.CommandComplete{CommandTag: []byte(tag)}
}

var ready = &pgproto3.ReadyForQuery{TxStatus: 'I'}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		"unknown block":          {"\nsendd\n----\n", `test.pgt:2: unknown line "sendd"`},
		"block without end":      {"send\nSync\n", "send without ----"},
		"unknown message":        {"send\nSink\n----\n", `no frontend message has the type "Sink"`},
		"unknown field":          {"send\nQuery {\"Sting\":\"\"}\n----\n", `unknown field "Sting"`},
		"text after the message": {"send\nSync {} {}\n----\n", "text after the JSON value"},
		"bad hex digits":         {"send\nRaw \"5g\"\n----\n", "invalid byte"},
		"half a value":           {"send\nCopyData {}\n----\n", "want {"},
		"answers after send":     {"send\nSync\n----\nanswer\n", "answers after send"},
		"unknown awaited type":   {"until\nReady\n----\n", `no backend message has the type "Ready"`},
		"unknown ignored type":   {"until ignore=Notice\nReadyForQuery\n----\n", `no backend message has the type "Notice"`},
		"bad option":             {"until soon\nReadyForQuery\n----\n", "want ignore="},
		"bad parameters":         {"startup {\n", "unexpected end of JSON"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := pgtest.Parse("test.pgt", []byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestRecordedIsTheFile(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.pgt")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := parse(t, string(data)).Recorded(); !bytes.Equal(got, data) {
			t.Errorf("%s does not survive Parse and Recorded", file)
		}
	}
}

func TestRunWritesAnswersIntoText(t *testing.T) {
	t.Parallel()
	target, played := pipe(t,
		pgtest.Expect(&pgproto3.Query{String: "SELECT 1"}),
		pgtest.Send(complete("SELECT 1"), ready),
		pgtest.ExpectTypes("Sync"), pgtest.Send(ready), pgtest.ExpectTypes("Terminate"))
	got, err := pgtest.Run(t.Context(), target, parse(t, "# Comment\n"+oneQuery+"old answer\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := "# Comment\n" + oneQuery + `{"Type":"CommandComplete","CommandTag":"SELECT 1"}` + "\n" + `{"Type":"ReadyForQuery","TxStatus":"I"}` + "\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := <-played; err != nil {
		t.Error(err)
	}
}

func TestAnswersAreMasked(t *testing.T) {
	t.Parallel()
	target, _ := pipe(t, pgtest.ExpectTypes("Query"), pgtest.Send(
		&pgproto3.NoticeResponse{Severity: "NOTICE", Code: "00000", Message: "m", Detail: "d", File: "f.c", Line: 7},
		&pgproto3.NotificationResponse{PID: 99, Channel: "c", Payload: "p"},
		&pgproto3.ParameterStatus{Name: "n", Value: "v"},
		&pgproto3.ParameterDescription{ParameterOIDs: []uint32{23, 54321}},
		&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("a"), TableOID: 12345, DataTypeOID: 77777}, {Name: []byte("b"), TableOID: 99999}}},
		&pgproto3.DataRow{Values: [][]byte{nil, {}, []byte("ä\t\n"), {0xe4}, {0}}},
		&pgproto3.FunctionCallResponse{},
		ready), pgtest.ExpectTypes("Sync"), pgtest.Send(ready))
	got, err := pgtest.Run(t.Context(), target, parse(t, strings.Replace(oneQuery, "until", "until ignore=ParameterStatus", 1)))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Type":"NoticeResponse","Severity":"NOTICE","Code":"00000","Message":"m"}
{"Type":"NotificationResponse","PID":0,"Channel":"c","Payload":"p"}
{"Type":"ParameterDescription","ParameterOIDs":[23,16384]}
{"Type":"RowDescription","Fields":[{"Name":"a","TableOID":12345,"TableAttributeNumber":0,"DataTypeOID":16384,"DataTypeSize":0,"TypeModifier":0,"Format":0},{"Name":"b","TableOID":16384,"TableAttributeNumber":0,"DataTypeOID":0,"DataTypeSize":0,"TypeModifier":0,"Format":0}]}
{"Type":"DataRow","Values":[null,{"text":""},{"text":"ä\t\n"},{"binary":"e4"},{"binary":"00"}]}
{"Type":"FunctionCallResponse","Result":null}
{"Type":"ReadyForQuery","TxStatus":"I"}
`
	if _, answers, _ := strings.Cut(string(got), "ReadyForQuery\n----\n"); answers != want {
		t.Errorf("got\n%s\nwant\n%s", answers, want)
	}
}

func TestUntilTimesOutAndShowsWhatCame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		target, _ := pipe(t, pgtest.ExpectTypes("Query"), pgtest.Send(complete("SELECT 1")), pgtest.Pause(time.Minute))
		begin := time.Now()
		_, err := pgtest.Run(t.Context(), target, parse(t, oneQuery))
		if err == nil || !strings.Contains(err.Error(), `so far came:`+"\n"+`{"Type":"CommandComplete"`) || !strings.Contains(err.Error(), "test.pgt:5: [conn main] wait for ReadyForQuery") {
			t.Errorf("error %v", err)
		}
		if waited := time.Since(begin); waited != 5*time.Second+time.Second { // the second is Terminate's
			t.Errorf("waited %v", waited)
		}
		synctest.Wait()
		time.Sleep(time.Minute) // the script's
	})
}

func TestRunFindsMessageTooMany(t *testing.T) {
	t.Parallel()
	target, _ := pipe(t, pgtest.ExpectTypes("Query"), pgtest.Send(ready, &pgproto3.BindComplete{}), pgtest.ExpectTypes("Sync"), pgtest.Send(ready))
	_, err := pgtest.Run(t.Context(), target, parse(t, oneQuery))
	if err == nil || !strings.Contains(err.Error(), `unread after the end: {"Type":"BindComplete"}`) {
		t.Errorf("error %v", err)
	}
}

func TestRunTellsEarlyEnd(t *testing.T) {
	t.Parallel()
	target, _ := pipe(t, pgtest.ExpectTypes("Query"), pgtest.HangUp())
	_, err := pgtest.Run(t.Context(), target, parse(t, oneQuery))
	if err == nil || !strings.Contains(err.Error(), "the connection was closed") {
		t.Errorf("error %v", err)
	}
	closed := strings.Replace(oneQuery, "\nReadyForQuery", "\nClosed", 1)
	if _, err := pgtest.Run(t.Context(), target, parse(t, closed)); err != nil {
		t.Errorf("awaited end: %v", err)
	}
	target, _ = pipe(t, pgtest.HangUp())
	if _, err := pgtest.Run(t.Context(), target, parse(t, closed)); err != nil {
		t.Errorf("awaited end, before all was sent: %v", err)
	}
}

func TestStartupParametersAndOneByteWrites(t *testing.T) {
	t.Parallel()
	var writes writeLog
	params := make(chan string, 10)
	target := pgtest.Target{User: "u", Database: "d", OneByteWrites: true, Params: map[string]string{"a": "1", "b": "2"}}
	target.Dial = func(context.Context) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			b := pgproto3.NewBackend(server, server)
			msg, err := b.ReceiveStartupMessage()
			params <- fmt.Sprintf("%+v %v", msg, err)
		}()
		return recordingConn{client, &writes}, nil
	}
	if _, err := pgtest.Run(t.Context(), target, parse(t, "startup {\"b\":\"3\"}\n"+oneQuery)); err == nil {
		t.Error("login without an answer")
	}
	if got, want := <-params, "map[a:1 b:3 database:d user:u]"; !strings.Contains(got, want) {
		t.Errorf("startup %s, want %s", got, want)
	}
	writes.mu.Lock()
	defer writes.mu.Unlock()
	for n, size := range writes.sizes {
		if size != 1 {
			t.Fatalf("write %d has %d bytes", n, size)
		}
	}
	if len(writes.sizes) < 30 {
		t.Errorf("%d writes for a startup message", len(writes.sizes))
	}
}

type writeLog struct {
	mu    sync.Mutex
	sizes []int
}

type recordingConn struct {
	net.Conn
	log *writeLog
}

func (c recordingConn) Write(data []byte) (int, error) {
	c.log.mu.Lock()
	c.log.sizes = append(c.log.sizes, len(data))
	c.log.mu.Unlock()
	return c.Conn.Write(data)
}
