package pgtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Transcript is a conversation between clients and a server: what to send, up
// to which message to read, and the recorded answers. The package comment shows
// the format.
type Transcript struct {
	Name  string
	items []item
}

type itemKind int

const (
	itemText    itemKind = iota // blank line or comment
	itemConn                    // [conn name]
	itemStartup                 // startup {json}
	itemSend                    // send ... ----
	itemUntil                   // until ... ----, then the answers
)

// item is one block or one single line of a transcript.
type item struct {
	kind   itemKind
	line   int      // number of its first line
	source []string // its lines without the answers

	conn    string            // itemConn
	params  map[string]string // itemStartup
	data    []byte            // itemSend: the encoded messages
	until   []string          // itemUntil: message types
	ignore  []string          // itemUntil: message types
	answers []string          // itemUntil: as recorded
}

const answerMark = "----"

// Parse reads a transcript; name is for errors.
func Parse(name string, data []byte) (Transcript, error) {
	t := Transcript{Name: name}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	for n := 0; n < len(lines); {
		it := item{line: n + 1}
		size, err := it.parse(lines[n:])
		if err != nil {
			return Transcript{}, fmt.Errorf("%s:%d: %w", name, it.line, err)
		}
		t.items = append(t.items, it)
		n += size
	}
	return t, nil
}

// parse reads one item from the start of lines and returns how many belong to
// it.
func (it *item) parse(lines []string) (int, error) {
	line := strings.TrimSpace(lines[0])
	word, rest, _ := strings.Cut(line, " ")
	it.source = lines[:1]
	switch {
	case line == "" || line[0] == '#':
		return 1, nil
	case word == "[conn" && strings.HasSuffix(rest, "]"):
		it.kind, it.conn = itemConn, strings.TrimSuffix(rest, "]")
		return 1, nil
	case word == "startup":
		it.kind = itemStartup
		return 1, json.Unmarshal([]byte(rest), &it.params)
	case word == "send" && rest == "":
		it.kind = itemSend
		return it.parseBlock(lines, it.addMessage)
	case word == "until":
		it.kind = itemUntil
		if err := it.parseIgnore(rest); err != nil {
			return 0, err
		}
		return it.parseBlock(lines, it.addUntil)
	}
	return 0, fmt.Errorf("unknown line %q", line)
}

// parseBlock gives the lines up to ---- to add, and takes those up to the next
// blank line as answers.
func (it *item) parseBlock(lines []string, add func(string) error) (int, error) {
	mark := slices.Index(lines, answerMark)
	if mark < 0 {
		return 0, fmt.Errorf("%s without %s", lines[0], answerMark)
	}
	for _, line := range lines[1:mark] {
		if err := add(strings.TrimSpace(line)); err != nil {
			return 0, err
		}
	}
	it.source = lines[:mark+1]
	end := mark + 1
	for end < len(lines) && lines[end] != "" {
		end++
	}
	it.answers = lines[mark+1 : end]
	if it.kind == itemSend && len(it.answers) > 0 {
		return 0, fmt.Errorf("answers after send: %q", it.answers[0])
	}
	return end, nil
}

func (it *item) parseIgnore(rest string) error {
	if rest == "" {
		return nil
	}
	list, ok := strings.CutPrefix(rest, "ignore=")
	if !ok {
		return fmt.Errorf("until %s: want ignore=Type,Type", rest)
	}
	it.ignore = strings.Split(list, ",")
	return checkBackendTypes(it.ignore)
}

func (it *item) addUntil(line string) error {
	it.until = append(it.until, line)
	return checkBackendTypes([]string{line})
}

func (it *item) addMessage(line string) error {
	name, text, _ := strings.Cut(line, " ")
	var err error
	it.data, err = appendFrontendMessage(it.data, name, text)
	if err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	return nil
}

// render writes the transcript with the given answers, one list per until.
func (t Transcript) render(answers [][]string) []byte {
	var b bytes.Buffer
	put := func(lines []string) {
		for _, line := range lines {
			b.WriteString(line)
			b.WriteByte('\n')
		}
	}
	for _, it := range t.items {
		put(it.source)
		if it.kind == itemUntil && len(answers) > 0 {
			put(answers[0])
			answers = answers[1:]
		}
	}
	return b.Bytes()
}

// Recorded returns the text of the transcript with its recorded answers, to
// compare with the output of Run.
func (t Transcript) Recorded() []byte {
	var answers [][]string
	for _, it := range t.items {
		if it.kind == itemUntil {
			answers = append(answers, it.answers)
		}
	}
	return t.render(answers)
}

// closedType stands in transcripts for the end of the connection.
const closedType = "Closed"

func checkBackendTypes(names []string) error {
	for _, name := range names {
		if name != closedType && !slices.Contains(backendTypes(), name) {
			return fmt.Errorf("no backend message has the type %q", name)
		}
	}
	return nil
}

func backendTypes() []string {
	messages := []pgproto3.BackendMessage{
		&pgproto3.BindComplete{}, &pgproto3.CloseComplete{}, &pgproto3.CommandComplete{}, &pgproto3.CopyBothResponse{},
		&pgproto3.CopyData{}, &pgproto3.CopyDone{}, &pgproto3.CopyInResponse{}, &pgproto3.CopyOutResponse{},
		&pgproto3.DataRow{}, &pgproto3.EmptyQueryResponse{}, &pgproto3.ErrorResponse{}, &pgproto3.FunctionCallResponse{},
		&pgproto3.NoData{}, &pgproto3.NoticeResponse{}, &pgproto3.NotificationResponse{}, &pgproto3.ParameterDescription{},
		&pgproto3.ParameterStatus{}, &pgproto3.ParseComplete{}, &pgproto3.PortalSuspended{}, &pgproto3.ReadyForQuery{},
		&pgproto3.RowDescription{},
	}
	names := make([]string, len(messages))
	for n, msg := range messages {
		names[n] = typeName(msg)
	}
	return names
}
